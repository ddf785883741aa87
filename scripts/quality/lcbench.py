"""The LCBench surrogate behind hptune's own seams: a runner and a context whose trials cost nothing.

LCBench trained multi-layer perceptrons by SGD on 34 OpenML tables, 1 to 52 epochs; a network was
fitted to what they reached. A trial ends in microseconds with a validation error, so that orders
and budgets of trials can be judged on all tables. It has no LR range test and no noise of seeds.

Source: Zimmer, Lindauer and Hutter 2021 (LCBench); Pfisterer et al. 2022 (the surrogate, YAHPO).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hptune.analysis.criterion import Criterion
from hptune.results.records import Curve, Decision, Status, Trial, TrialResult
from hptune.training.lengths import iterations_per_epoch
from hptune.trials.budget import Budget
from hptune.trials.progress import Silent
from hptune.trials.space import Choice, Range, Space

FloatArray = NDArray[np.float64]

DATA = Path(os.environ.get("HPTUNE_SHARED_DATA", "../shared/data")) / "lcbench"

EPOCHS = 52
NO_TABLE = ("#na#", "167083")  # encoded, but not measured
NET = (3, 256, 0.2)  # layers, units, dropout: an ordinary net
ERROR = Criterion("error")
SPACE: Space = {
    "lr": Range(1e-4, 1e-1, log=True),
    "momentum": Range(0.1, 0.99),
    "weight_decay": Range(1e-5, 1e-1, log=True),
    "batch_size": Choice((16, 32, 64, 128, 256, 512)),
}
EXAMPLES = 512  # of the imagined training set: the largest batch is an epoch


@cache
def _model() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(DATA / "model.onnx", options)


@cache
def tables() -> dict[str, int]:
    """Return the index of each table by its OpenML task."""
    text = (DATA / "encoding.json").read_text()
    return {k: v for k, v in json.loads(text)["OpenML_task_id"].items() if k not in NO_TABLE}


def error(table: str, settings: FloatArray, epochs: FloatArray | float = EPOCHS) -> FloatArray:
    """Return validation errors in per cent, (N,).

    Args:
        table: OpenML task.
        settings: LR, momentum, weight decay, batch size, (N, 4); each is held within `SPACE`.
        epochs: Trained, of the `EPOCHS` of the schedule.
    """
    n = len(settings)
    low, high = np.array([_ends(dimension) for dimension in SPACE.values()]).T
    lr, momentum, decay, size = np.clip(settings, low, high).T
    columns = [np.broadcast_to(epochs, n), size, lr, momentum, decay]
    columns += [np.full(n, value) for value in NET]
    given = {
        "x_cat": np.full((n, 1), tables()[table], np.int32),
        "x_cont": np.column_stack(columns).astype(np.float32),
    }
    return 100 - _model().run(None, given)[0][:, 1].astype(float)


def _ends(dimension: Range | Choice) -> tuple[float, float]:
    if isinstance(dimension, Range):
        return dimension.low, dimension.high
    return min(dimension.values), max(dimension.values)


def sample(count: int, seed: int) -> FloatArray:
    """Return settings drawn at random from `SPACE`, momentum by 1 - momentum's logarithm, (N, 4)."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(size=(3, count))
    lr = 1e-4 * 1e3 ** share[0]
    momentum = 1 - 0.01 * 90 ** share[1]
    decay = 1e-5 * 1e4 ** share[2]
    size = rng.choice(SPACE["batch_size"].values, count)  # type: ignore[union-attr]
    return np.column_stack([lr, momentum, decay, size])


@cache
def best_known(table: str) -> float:
    """Return the lowest error of a large random sample, per cent."""
    return float(error(table, sample(20_000, seed=7)).min())


def setting_of(trial: Trial) -> FloatArray:
    """Return a trial as a row of `settings`."""
    return np.array([trial.lr, trial.momentum, trial.weight_decay, trial.batch_size], dtype=float)


@dataclass
class SurrogateRunner:
    """Stands in for `hptune.trials.run.Runner`: trials end as the surrogate says.

    Attributes:
        table: OpenML task.
        budget: Counts epochs.
        noise: Standard deviation of the error between seeds, points; 0 is the surrogate's own.
    """

    table: str
    budget: Budget
    noise: float = 0.0
    progress: Silent = field(default_factory=Silent)
    known: dict[str, TrialResult] = field(default_factory=dict)
    side_by_side: int = 1

    def __post_init__(self) -> None:
        metrics = {ERROR.name: SimpleNamespace(higher_is_better=False)}
        self.task: Any = SimpleNamespace(
            metrics=metrics, train=range(EXAMPLES), validation=range(EXAMPLES), fingerprint=""
        )
        self.run_dir: Any = SimpleNamespace(result=lambda trial: self.known.get(trial.digest))

    def run(self, trials: Sequence[Trial], until: Sequence[int] = ()) -> list[TrialResult]:
        """Return how trials end; with `until`, where they stand after so many iterations."""
        pauses = until or [trial.iterations for trial in trials]
        results = []
        for trial, pause in zip(trials, pauses, strict=True):
            result = self.known.get(trial.digest) or self._result(trial, pause)
            if result.status is not Status.PRUNED:
                self.known.setdefault(trial.digest, result)
                if result.trial.stage == trial.stage:
                    self.budget.count(result.trial, result.epochs)
            results.append(result)
        return results

    def keep(self, result: TrialResult) -> None:
        """Keep a paused trial that will not go on."""
        self.known[result.trial.digest] = result
        self.budget.count(result.trial, result.epochs)

    def affords(self, trials: Sequence[Trial]) -> bool:
        """Say whether the budget allows these."""
        new = {trial.digest: trial for trial in trials if trial.digest not in self.known}
        return self.budget.affords(sum(_epochs(trial, trial.iterations) for trial in new.values()))

    def examples_per_second(self, trial: Trial) -> float:
        """Return the same speed for every batch size: LCBench compares equal epochs."""
        return 1.0

    def _result(self, trial: Trial, pause: int) -> TrialResult:
        end = _epochs(trial, pause)
        epochs = np.append(np.arange(1, math.ceil(end - 1e-9)), end)
        errors = error(self.table, np.tile(setting_of(trial), (len(epochs), 1)), epochs)
        seeds = [trial.seed, int(trial.digest, 16)]
        errors = errors + self.noise * np.random.default_rng(seeds).standard_normal()
        blank = np.full(len(epochs), math.nan)
        return TrialResult(
            trial=trial,
            status=Status.COMPLETE if pause == trial.iterations else Status.PRUNED,
            data=self.table,
            model="lcbench",
            device="",
            started="",
            epochs=end,
            seconds=0.0,
            val_loss=float(errors[-1]),
            val_metrics={ERROR.name: float(errors[-1])},
            curve=Curve(
                iteration=np.arange(len(epochs)),
                epoch=epochs,
                lr=blank,
                momentum=blank,
                weight_decay=blank,
                train_loss=blank,
                val_loss=errors,
                metrics={ERROR.name: errors},
                seconds=blank,
            ),
        )


def _epochs(trial: Trial, iterations: int) -> float:
    return iterations / iterations_per_epoch(EXAMPLES, trial.batch_size)


class SurrogateSession:
    """Values that decisions change, and the trials so far.

    Args:
        table: OpenML task.
        trainings: Full trainings that all stages together may take.
        noise: As of `SurrogateRunner`.
    """

    pauses = True

    def __init__(self, table: str, trainings: float, noise: float = 0.0) -> None:
        self.runner: Any = SurrogateRunner(table, Budget(trainings * EPOCHS), noise)
        self.searched: list[TrialResult] = []
        self.values: dict[str, Any] = {
            "lr": math.sqrt(1e-4 * 1e-1),  # the middle of its range: there is no range test
            "momentum": 0.9,
            "weight_decay": 1e-3,
            "batch_size": 64,
        }

    def take_in(self, decisions: Sequence[Decision], results: Sequence[TrialResult]) -> None:
        """Go on from what a stage has decided."""
        self.searched += results
        self.values |= {d.parameter: d.value for d in decisions if d.parameter in self.values}

    def regret(self) -> float:
        """Return the error at the decided values above the best known, points."""
        decided = np.array([[self.values[name] for name in SPACE]], dtype=float)
        return float(error(self.runner.table, decided)[0]) - best_known(self.runner.table)

    def run(self, stage: str, length: float = 1.0) -> Trial:
        """Return a run of a part of the full length, with the values that hold now."""
        per_epoch = iterations_per_epoch(EXAMPLES, self.values["batch_size"])
        iterations = round(length * EPOCHS * per_epoch)
        return Trial(stage=stage, task="", seed=0, iterations=iterations, **self.values)
