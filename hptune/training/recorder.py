"""The curve of a trial while it grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hptune.policies import Schedule
from hptune.results.records import Curve, TrialProgress
from hptune.step import NOTHING
from hptune.training.evaluation import Evaluation

AS_IS = "loss_as_is"  # of a curve's columns: with the running averages of the step


@dataclass
class CurveRecorder:
    """Collects a trial's losses and evaluations.

    Attributes:
        schedule: LR and momentum of every iteration of the trial.
        iterations_per_epoch: Turns iterations into epochs.
        metrics: Names of the validation metrics.
        weight_decays: Each with the iteration it holds from: a branch begins with its parent's.
        losses: Of the training, one an iteration.
        evaluations: By the iteration after which they were made.
        seconds: From the trial's begin to each evaluation.
        as_is: The loss with the running averages as they are, where those of the evaluation were
            gathered anew.
    """

    schedule: Schedule
    iterations_per_epoch: int
    metrics: Sequence[str]
    weight_decays: list[tuple[int, float]]
    losses: list[float] = field(default_factory=list)
    evaluations: dict[int, Evaluation] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    as_is: dict[int, float] = field(default_factory=dict)

    def stops_early(self, patience: int | None) -> bool:
        """Return whether so many evaluations in a row were no better than the best before."""
        read = list(self.evaluations)
        return patience is not None and len(read) - 1 - read.index(self.lowest_at()) >= patience

    def lowest_at(self) -> int:
        """Return the iteration of the lowest validation loss, the first of equal ones."""
        return min(self.evaluations, key=lambda at: self.evaluations[at].loss)

    def progress(self, at: int, began: int, losses: Sequence[float]) -> TrialProgress:
        """Return where the trial is.

        Args:
            at: The last iteration done.
            began: The iteration that this process began with.
            losses: Of the iterations that were last read together.
        """
        lr = self.schedule.lr
        return TrialProgress(
            iteration=at,
            began=began,
            lr=float(lr[at]),
            momentum=float(self.schedule.momentum[at]),
            train_loss=sum(losses) / len(losses),
            readings=tuple((i, float(lr[i]), e.loss) for i, e in self.evaluations.items()),
        )

    def state(self) -> dict[str, Any]:
        """Return plain values that `load` takes back."""
        return {
            "losses": self.losses,
            "evaluations": {i: (e.loss, dict(e.metrics)) for i, e in self.evaluations.items()},
            "seconds": self.seconds,
            "as_is": self.as_is,
            "weight_decays": self.weight_decays,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a state of the same trial."""
        self.losses, self.seconds = state["losses"], state["seconds"]
        self.as_is = state["as_is"]
        self.evaluations = {i: Evaluation(*read) for i, read in state["evaluations"].items()}
        self.weight_decays = state["weight_decays"]

    def branch(self, state: dict[str, Any]) -> None:
        """Continue from a state of the parent that this trial branches from."""
        _, own = self.weight_decays[-1]
        self.load(state)
        self.weight_decays.append((len(self.losses), own))

    def curve(self) -> Curve:
        """Return the curve so far, a row an iteration."""
        n = len(self.losses)
        val_loss, seconds, weight_decay = np.full((3, n), np.nan)
        metrics = {name: np.full(n, np.nan) for name in self.metrics}
        for i, evaluation in self.evaluations.items():
            val_loss[i], seconds[i] = evaluation.loss, self.seconds[i]
            for name in self.metrics:
                metrics[name][i] = evaluation.metrics[name]
        if self.as_is:
            metrics[AS_IS] = np.full(n, np.nan)
            metrics[AS_IS][list(self.as_is)] = list(self.as_is.values())
        for at, value in self.weight_decays:
            weight_decay[at:] = value
        iteration = np.arange(n)
        return Curve(
            iteration=iteration,
            epoch=(iteration + 1) / self.iterations_per_epoch,
            lr=self.schedule.lr[:n],
            momentum=self.schedule.momentum[:n],
            weight_decay=weight_decay,
            train_loss=np.asarray(self.losses, dtype=np.float64),
            val_loss=val_loss,
            metrics=metrics,
            seconds=seconds,
        )


def filled(losses: Sequence[float], before: Sequence[float]) -> list[float]:
    """Return losses in which a batch without one has that of the batch before, or else the next one."""
    known = [loss for loss in (*before[-1:], *losses) if loss != NOTHING]
    last, filled = known[0] if known else 0.0, list[float]()
    for loss in losses:
        last = last if loss == NOTHING else loss
        filled.append(last)
    return filled
