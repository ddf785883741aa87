"""What an experiment is: a paper's claims as numbers with bounds, what is run for them, a figure.

The rule of verdicts is the same for all, and stands here: see `Claim.verdict`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scipy.stats import t
from torch import nn

import hptune
from hptune.api.results import Trained, Tuned
from hptune.config.load import load_experiment, with_value
from hptune.console.terminal import Console
from hptune.procedure.session.session import Session

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CONFIDENCE = 0.95
CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "neighbours"
Value = int | float | str | list[float]
Cell = Mapping[str, Value]
"""What is run at once and stored as one row: its seed, and every setting that its numbers depend on."""
Row = Mapping[str, Value]


@dataclass(frozen=True)
class Place:
    """Where a cell is run.

    Attributes:
        folder: Of the cell, for its run directories: what is done there is not done again.
        device: As `--device`.
    """

    folder: Path
    device: str = "cpu"

    def train(self, task: hptune.Task, name: str, **options: Any) -> Trained:
        """Train by `hptune.train` in a run directory of this name, in float32.

        By SGD with momentum and weight decay off and a constant LR, unless `options` say otherwise.
        """
        plain = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0}
        plain |= {"policy": "constant", "precision": "fp32"}
        settings = {"training.evaluations": 1} | options.pop("settings", {})
        return hptune.train(
            task, out=self.folder / name, device=self.device, progress=False, settings=settings,
            **plain | options,
        )  # fmt: skip

    def net(self, trained: Trained) -> nn.Module:
        """Return what was trained, on the device, to look at it there."""
        return trained.model().to(self.device)

    def tune(self, task: hptune.Task, name: str, **options: Any) -> Tuned:
        """Let `hptune.tune` decide LR and weight decay, and train once with them, in float32."""
        return hptune.tune(
            task, stages=["lr-range", "weight-decay"], seeds=1, out=self.folder / name,
            device=self.device, precision="fp32", progress=False, **{"optimizer": "sgd"} | options,
        )  # fmt: skip

    def session(self, config: str, changes: Mapping[str, Any], name: str = "run") -> Session:
        """Open an experiment of configs/neighbours/ with some keys changed, for its commands.

        What it trained is then read by `hptune.procedure.session.trained.TrainedRun`.
        """
        experiment = load_experiment(CONFIGS / f"{config}.yaml")
        for key, value in changes.items():
            experiment = with_value(experiment, key, value)
        progress = Console(silent=True)
        return Session.open(experiment, self.folder / name, device=self.device, progress=progress)


@dataclass(frozen=True)
class Verdict:
    """What the numbers say of a claim.

    Attributes:
        word: "shown", "not shown here" or "reversed"; "not run" without numbers.
        numbers: One a seed.
        mean, spread: Of the numbers, and their standard deviation; of ratios the geometric ones, where
            the spread is a factor.
        low, high: The interval of the mean, with 95 % confidence.
    """

    word: str
    numbers: Sequence[float]
    mean: float = math.nan
    spread: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Claim:
    """A claim of a paper, with the number that decides on it, named before it is run.

    Attributes:
        says: The claim, in plain words.
        number: What the number is.
        of: The number of each seed, from the stored rows.
        above: It is shown where the number is above this.
        below: It is reversed where the number is below this; None takes `above`.
        ratio: Whether the number is a ratio above 0, which is judged by its logarithm.
    """

    says: str
    number: str
    of: Callable[[Sequence[Row]], Mapping[int, float]]
    above: float = 0.0
    below: float | None = None
    ratio: bool = False

    def verdict(self, rows: Sequence[Row]) -> Verdict:
        """Judge by Student's interval of the mean over the seeds, at 95 % confidence.

        Shown: the whole interval is above `above`. Reversed: the whole interval is below `below`.
        Anything else, and fewer than three seeds, is not shown here.
        """
        numbers = [value for _, value in sorted(self.of(rows).items())]
        if len(numbers) < 3:
            return Verdict("not shown here" if numbers else "not run", numbers)
        judged = [math.log(number) for number in numbers] if self.ratio else numbers
        mean, spread = statistics.mean(judged), statistics.stdev(judged)
        half = float(t.ppf((1 + CONFIDENCE) / 2, len(judged) - 1)) * spread / math.sqrt(len(judged))
        found = [mean, spread, mean - half, mean + half]
        if self.ratio:
            found = [math.exp(value) for value in found]
        below = self.above if self.below is None else self.below
        shown, reversed_ = found[2] > self.above, found[3] < below
        word = "shown" if shown else "reversed" if reversed_ else "not shown here"
        return Verdict(word, numbers, *found)


@dataclass(frozen=True)
class Experiment:
    """An experiment on a paper.

    Attributes:
        name: Of its file of results, of its figure, and on the command line.
        title: Of its section.
        papers: Whose claims they are.
        tells: What the paper says and why it matters, for a person who never read it.
        setup: What is run here.
        claims: The one that counts most first.
        look: What to look for in the figure.
        change: What to change in the tuning.
        cells: What is to be run, for two cores or, where True is given, for a GPU.
        run: Runs a cell and returns what it measured.
        draw: Draws the stored rows on its axes.
        found: What came out, in words, once it has.
        panels: How many axes, side by side.
    """

    name: str
    title: str
    papers: str
    tells: str
    setup: str
    claims: tuple[Claim, ...]
    look: str
    change: str
    cells: Callable[[bool], Iterable[Cell]]
    run: Callable[[Cell, Place], Row]
    draw: Callable[[Sequence[Row], Sequence[Axes]], None]
    found: str = ""
    panels: int = 1


def by_seed(rows: Sequence[Row], column: str, **where: Value) -> dict[int, float]:
    """Return a column's number by seed, of the rows with these values."""
    return {
        int(row["seed"]): float(row[column])  # type: ignore[arg-type]
        for row in rows
        if where.items() <= row.items()
    }


def paired(
    combine: Callable[[float, float], float], one: Mapping[int, float], other: Mapping[int, float]
) -> dict[int, float]:
    """Combine two numbers of each seed that has both."""
    return {seed: combine(one[seed], other[seed]) for seed in one if seed in other}


def first_at(loss: Sequence[float], values: Sequence[float], at: float) -> float:
    """Return the value where a falling loss first comes down to a level, the last one if it does not.

    Between two readings it is interpolated in the logarithms.
    """
    for (before, old), (after, new) in pairwise(zip(loss, values, strict=True)):
        if after <= at < before:
            share = math.log(before / at) / math.log(before / after)
            return math.exp(math.log(old) + share * (math.log(new) - math.log(old)))
    return values[-1]
