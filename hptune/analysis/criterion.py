"""By what candidates are judged: the validation loss, or a metric of the validation set."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hptune.analysis.smoothing import FloatArray
from hptune.results.records import Curve, Status, TrialResult


@dataclass(frozen=True)
class Criterion:
    """By what candidates are judged.

    Attributes:
        name: "loss", or a metric by its name; always of the validation set.
        higher_is_better: Of the metric.
        examples: In the validation set; None where it is not known.
    """

    name: str = "loss"
    higher_is_better: bool = False
    examples: int | None = None

    def __str__(self) -> str:
        return f"{'highest' if self.higher_is_better else 'lowest'} validation {self.name}"

    def at_end(self, result: TrialResult) -> float:
        """Return a result's value, as a cost; infinite where the run did not end with one."""
        value = result.val_loss if self.name == "loss" else result.val_metrics.get(self.name)
        ended = result.status in (Status.COMPLETE, Status.PRUNED)
        if not ended or value is None or not math.isfinite(value):
            return math.inf
        return self._sign * value

    def evaluations(self, curve: Curve) -> FloatArray:
        """Return a cost for each iteration, NaN where the validation set was not read."""
        return self._sign * (curve.val_loss if self.name == "loss" else curve.metrics[self.name])

    def known_evaluations(self, curve: Curve) -> FloatArray:
        """Return the costs that were read and are finite, in their order."""
        values = self.evaluations(curve)
        return values[np.isfinite(values)]

    def start(self, result: TrialResult) -> float:
        """Return the cost at the start: the first evaluation, or the first training loss if lower.

        Some nets start far above the loss of guessing and reach it after a few iterations. That
        fall says nothing of how well a candidate learns. NaN where nothing but the end is known.
        """
        curve = result.curve
        read = self.known_evaluations(curve)
        first = read[:1].tolist() if len(read) > 1 else []  # else it is the end
        if self.name == "loss":
            first += curve.train_loss[:1].tolist()
        return min((value for value in first if math.isfinite(value)), default=math.nan)

    def value(self, cost: float) -> float | None:
        """Return a cost in the metric's own sign, None where the run did not end with one."""
        return self._sign * cost if math.isfinite(cost) else None

    def shown(self, cost: float) -> str:
        """Return a cost as the user knows it."""
        return f"{self._sign * cost:.4g}" if math.isfinite(cost) else "diverged"

    @property
    def _sign(self) -> int:
        return -1 if self.higher_is_better else 1


LOSS = Criterion()
