"""The curve of a trial while it grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hptune.policies import Schedule
from hptune.results.records import Curve, FloatArray, TrialProgress
from hptune.training.evaluation import Evaluation

AS_IS = "loss_as_is"  # of a curve's columns: with the running averages of the step


class CurveRecorder:
    """Collects a trial's losses and evaluations.

    Args:
        schedule: LR and momentum of every iteration of the trial.
        weight_decay: Constant through a trial.
        iterations_per_epoch: Turns iterations into epochs.
        metrics: Names of the validation metrics.
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
        self.as_is: dict[int, float] = {}
        self._metrics = tuple(metrics)

    def add_losses(self, losses: Sequence[float]) -> None:
        """Add the training losses of the next iterations."""
        self.losses.extend(losses)

    def add_evaluation(
        self, iteration: int, evaluation: Evaluation, seconds: float, as_is: float | None = None
    ) -> None:
        """Add what was read after `iteration`, `seconds` after the trial began.

        Args:
            iteration: The last one before the reading.
            evaluation: Of the validation set.
            seconds: Since the trial began.
            as_is: The loss with the running averages as they are, where those of the evaluation
                were gathered anew.
        """
        self.evaluations[iteration] = evaluation
        self.seconds[iteration] = seconds
        if as_is is not None:
            self.as_is[iteration] = as_is

    def cut(self, iterations: int) -> None:
        """Keep only the first `iterations` iterations."""
        del self.losses[iterations:]
        for iteration in [i for i in self.evaluations if i >= iterations]:
            del self.evaluations[iteration], self.seconds[iteration]
            self.as_is.pop(iteration, None)

    def best_loss(self) -> float | None:
        """Return the lowest finite validation loss."""
        losses = [e.loss for e in self.evaluations.values() if math.isfinite(e.loss)]
        return min(losses, default=None)

    def best_metric(self, name: str, *, higher_is_better: bool) -> float | None:
        """Return the best finite validation value of a metric."""
        values = [e.metrics[name] for e in self.evaluations.values()]
        values = [value for value in values if math.isfinite(value)]
        return (max if higher_is_better else min)(values, default=None)

    def stops_early(self, patience: int | None) -> bool:
        """Return whether so many evaluations in a row were no better than the best before."""
        losses = [evaluation.loss for evaluation in self.evaluations.values()]
        return patience is not None and len(losses) - 1 - losses.index(min(losses)) >= patience

    def progress(self, iteration: int, began: int, losses: Sequence[float]) -> TrialProgress:
        """Return where the trial is.

        Args:
            iteration: The last one whose loss is known.
            began: The iteration that this process began with.
            losses: Those that were last read together.
        """
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
            "losses": list(self.losses),
            "evaluations": {i: (e.loss, dict(e.metrics)) for i, e in self.evaluations.items()},
            "seconds": dict(self.seconds),
            "as_is": dict(self.as_is),
            "weight_decays": list(self._weight_decays),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a state of the same trial."""
        self._weight_decays = [(at, value) for at, value in state["weight_decays"]]
        self.losses = list(state["losses"])
        self.evaluations = {
            i: Evaluation(loss, metrics) for i, (loss, metrics) in state["evaluations"].items()
        }
        self.seconds = dict(state["seconds"])
        self.as_is = dict(state["as_is"])

    def branch(self, state: dict[str, Any]) -> None:
        """Continue from a state of the parent that this trial branches from."""
        _, own = self._weight_decays[-1]
        self.load(state)
        self._weight_decays.append((len(self.losses), own))

    def curve(self) -> Curve:
        """Return the curve so far, a row an iteration."""
        n = len(self.losses)
        val_loss, seconds = np.full(n, np.nan), np.full(n, np.nan)
        metrics = {name: np.full(n, np.nan) for name in self._metrics}
        for i, evaluation in self.evaluations.items():
            val_loss[i], seconds[i] = evaluation.loss, self.seconds[i]
            for name in self._metrics:
                metrics[name][i] = evaluation.metrics[name]
        if self.as_is:
            metrics[AS_IS] = np.full(n, np.nan)
            metrics[AS_IS][list(self.as_is)] = list(self.as_is.values())
        iteration = np.arange(n)
        return Curve(
            iteration=iteration,
            epoch=(iteration + 1) / self._iterations_per_epoch,
            lr=self._schedule.lr[:n],
            momentum=self._schedule.momentum[:n],
            weight_decay=self._weight_decay_by_iteration(n),
            train_loss=np.asarray(self.losses, dtype=np.float64),
            val_loss=val_loss,
            metrics=metrics,
            seconds=seconds,
        )

    def _weight_decay_by_iteration(self, n: int) -> FloatArray:
        values = np.empty(n)
        for at, value in self._weight_decays:
            values[at:] = value
        return values
