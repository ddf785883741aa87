"""The curve of a trial while it grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hptune.policies import Schedule
from hptune.results.records import Curve, TrialProgress
from hptune.training.evaluation import Evaluation


class CurveRecorder:
    """Collects a trial's losses and evaluations.

    Args:
        schedule: LR and momentum of every iteration of the trial.
        weight_decay: Constant through a trial.
        iterations_per_epoch: Turns iterations into epochs.
        metrics: Names of the validation metrics.

    Attributes:
        losses: Of the training, one an iteration.
        evaluations: By the iteration after which they were made.
        seconds: From the trial's begin to each evaluation.
    """

    def __init__(
        self,
        schedule: Schedule,
        *,
        weight_decay: float,
        iterations_per_epoch: int,
        metrics: Sequence[str],
    ) -> None:
        self._schedule = schedule
        # From which iteration on which holds: a branch begins with its parent's.
        self._weight_decays = [(0, weight_decay)]
        self._iterations_per_epoch = iterations_per_epoch
        self.losses: list[float] = []
        self.evaluations: dict[int, Evaluation] = {}
        self.seconds: dict[int, float] = {}
        self._metrics = tuple(metrics)

    def stops_early(self, patience: int | None) -> bool:
        """Return whether so many evaluations in a row were no better than the best before."""
        losses = [evaluation.loss for evaluation in self.evaluations.values()]
        return patience is not None and len(losses) - 1 - losses.index(min(losses)) >= patience

    def progress(self, iteration: int, began: int, losses: Sequence[float]) -> TrialProgress:
        """Return where the trial is; see `TrialProgress`."""
        lr, momentum = self._schedule.lr, self._schedule.momentum
        return TrialProgress(
            iteration=iteration,
            began=began,
            lr=float(lr[iteration]),
            momentum=float(momentum[iteration]),
            train_loss=sum(losses) / len(losses),
            readings=tuple((at, float(lr[at]), e.loss) for at, e in self.evaluations.items()),
        )

    def state(self) -> dict[str, Any]:
        """Return plain values that `load` takes back."""
        return {
            "losses": self.losses,
            "evaluations": {i: (e.loss, dict(e.metrics)) for i, e in self.evaluations.items()},
            "seconds": self.seconds,
            "weight_decays": self._weight_decays,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a state of the same trial."""
        self.losses, self.seconds = state["losses"], state["seconds"]
        self.evaluations = {i: Evaluation(*read) for i, read in state["evaluations"].items()}
        self._weight_decays = state["weight_decays"]

    def branch(self, state: dict[str, Any]) -> None:
        """Continue from a state of the parent that this trial branches from."""
        _, own = self._weight_decays[-1]
        self.load(state)
        self._weight_decays.append((len(self.losses), own))

    def curve(self) -> Curve:
        """Return the curve so far, a row an iteration."""
        n = len(self.losses)
        val_loss, seconds, weight_decay = np.full((3, n), np.nan)
        metrics = {name: np.full(n, np.nan) for name in self._metrics}
        for i, evaluation in self.evaluations.items():
            val_loss[i], seconds[i] = evaluation.loss, self.seconds[i]
            for name in self._metrics:
                metrics[name][i] = evaluation.metrics[name]
        for at, value in self._weight_decays:
            weight_decay[at:] = value
        iteration = np.arange(n)
        return Curve(
            iteration=iteration,
            epoch=(iteration + 1) / self._iterations_per_epoch,
            lr=self._schedule.lr[:n],
            momentum=self._schedule.momentum[:n],
            weight_decay=weight_decay,
            train_loss=np.asarray(self.losses, dtype=np.float64),
            val_loss=val_loss,
            metrics=metrics,
            seconds=seconds,
        )
