"""Real trainings that differ in nothing but the seed, to check what is said to be beyond the noise.

Candidates that are drawn from them are equal, so that every winner that is named is a false one;
one that is made better by twice the standard deviation over seeds should be found.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

import hptune
from hptune.analysis.criterion import Criterion
from hptune.analysis.ranking import rank
from hptune.procedure.compare import MOST_SEEDS, PairedRuns
from hptune.results.records import Curve, Status, Trial, TrialResult
from hptune.trials.run import Runner
from scripts.quality import store
from scripts.quality.grid import MOMENTUM, MOMENTUM_MIN, grid_curve
from scripts.quality.problems import PROBLEMS

CHEAP = tuple(name for name, problem in PROBLEMS.items() if problem.seeds > 2)
SHARES = (0.25, 1.0)  # of a final run's length
RUNS = 60
DRAWS = 200
BETTER = 2.0  # standard deviations over seeds


def run_identical(name: str, share: float) -> None:
    """Train a problem's first split with many seeds at the grid's best LR, unless that is stored."""
    if store.has("identical", problem=name, share=share):
        return
    problem, task = PROBLEMS[name], PROBLEMS[name].make(0)
    trained = hptune.train(
        task, seeds=RUNS, lr=grid_curve(name).best_lr, momentum=MOMENTUM,
        momentum_min=MOMENTUM_MIN, weight_decay=problem.weight_decay,
        batch_size=problem.batch_size, epochs=share * problem.epochs, seed=0,
        optimizer=problem.optimizer, precision="fp32", device="cpu", progress=False,
    )  # fmt: skip
    for result in trained.results:
        curve = result.curve
        read = [k for k in range(len(curve)) if k == 0 or np.isfinite(curve.val_loss[k])]
        store.add("identical", {
            "problem": name,
            "share": share,
            "seed": result.trial.seed,
            "examples": len(task.validation),
            "status": result.status,
            "iteration": _text(curve.iteration[read]),
            "train_loss": _text(curve.train_loss[read]),
            "val_loss": _text(curve.val_loss[read]),
        })  # fmt: skip


@dataclass(frozen=True)
class Rates:
    """How often a winner is named among equal candidates, and a better one is found."""

    named: float
    found: float


@dataclass(frozen=True)
class Drawn:
    """Runs trials, each a stored training: that of its candidate, by weight decay, and its seed."""

    trainings: Mapping[str, Sequence[TrialResult]]
    side_by_side: int = 1

    def affords(self, trials: Sequence[Trial]) -> bool:
        """Say that the budget has room: how far it goes is not what is asked here."""
        return True

    def run(self, trials: Sequence[Trial]) -> list[TrialResult]:
        """Return what the trials reached."""
        return [self.trainings[f"{trial.weight_decay:g}"][trial.seed] for trial in trials]


def rates(name: str, share: float, *, candidates: int, seeds: int, repeated: bool = False) -> Rates:
    """Ask `rank` many times about candidates drawn from a problem's stored trainings.

    Args:
        name: Of the problem.
        share: Of a final run's length.
        candidates: That are compared.
        seeds: Of each.
        repeated: Whether ties get further seeds, as in a stage that the budget does not end.
    """
    rows = store.chosen(store.read("identical"), problem=name, share=share)
    rows = [row for row in rows if row["status"] == Status.COMPLETE]
    results = [_result(row) for row in rows]
    by = Criterion(examples=int(rows[0]["examples"]))
    better = BETTER * statistics.stdev(by.at_end(r) for r in results)
    draw = random.Random(0)
    named = found = 0
    most = MOST_SEEDS if repeated else seeds

    def told(drawn: Mapping[str, Sequence[TrialResult]]) -> str | None:
        first = {label: own[:seeds] for label, own in drawn.items()}
        runs = PairedRuns(cast(Runner, Drawn(drawn)), by=by)
        return winner(runs.repeat(first) if repeated else first, by)

    for _ in range(DRAWS):
        rest = iter(draw.sample(results, candidates * most))
        drawn = {f"{k:g}": [_as(next(rest), k, j) for j in range(most)] for k in range(candidates)}
        named += told(drawn) is not None
        drawn["0"] = [_lowered(result, better) for result in drawn["0"]]
        found += told(drawn) == "0"
    return Rates(named / DRAWS, found / DRAWS)


def _as(result: TrialResult, candidate: int, seed: int) -> TrialResult:
    """Return a training as that of a candidate and a seed."""
    return replace(result, trial=result.trial.change(weight_decay=float(candidate), seed=seed))


def winner(candidates: Mapping[str, Sequence[TrialResult]], by: Criterion) -> str | None:
    """Return the candidate that is said to be better beyond the noise, None where none is."""
    ranking = rank(candidates, by)
    return ranking.best if len(ranking.ties) == 1 else None


def _lowered(result: TrialResult, by: float) -> TrialResult:
    curve = replace(result.curve, val_loss=result.curve.val_loss - by)
    return replace(result, curve=curve, val_loss=result.val_loss - by)


def _result(row: Mapping[str, str]) -> TrialResult:
    """Return a stored training with the readings of its curve."""
    iteration = np.array(row["iteration"].split(), dtype=np.int64)
    train_loss, val_loss = (
        np.array(row[name].split(), dtype=np.float64) for name in ("train_loss", "val_loss")
    )
    blank = np.full(len(iteration), np.nan)
    curve = Curve(iteration, blank, blank, blank, blank, train_loss, val_loss, {}, blank)
    trial = Trial(
        stage="sweep", task=row["problem"], seed=int(row["seed"]), batch_size=1, lr=1.0,
        momentum=MOMENTUM, weight_decay=0.0, iterations=int(iteration[-1]) + 1,
    )  # fmt: skip
    return TrialResult(
        trial=trial, status=Status.COMPLETE, data="", model="", device="cpu", started="",
        epochs=1.0, seconds=0.0, curve=curve, val_loss=float(val_loss[-1]),
    )  # fmt: skip


def _text(values: np.ndarray) -> str:
    return " ".join(f"{value:.6g}" for value in values)
