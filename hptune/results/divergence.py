"""The rule for divergence, the same for a run that goes on and for a curve that is read."""

from __future__ import annotations

import math
from collections.abc import Sequence

FACTOR = 3.0
SMOOTHING = 0.8  # of the running mean: one bad batch in a good run is not divergence
START = 5  # losses that make up the start


class DivergenceMonitor:
    """Watches a training loss and says at which iteration it diverged.

    A loss has diverged when it is not finite, or when its running mean stands above
    start + factor * max(|start|, start - lowest), where start is the mean of the first losses and
    lowest the lowest loss of a batch so far. This holds for losses of any sign and scale: where
    they are noise around 0, the start says nothing of their scale and the lowest one does. The
    answer does not depend on how the losses are cut into blocks.

    Args:
        factor: How far above the start is divergence.
    """

    def __init__(self, factor: float = FACTOR) -> None:
        self.seen = 0
        self.factor = factor
        self._start: list[float] = []
        self._mean = 0.0
        self._lowest = math.inf

    def update(self, losses: Sequence[float]) -> int | None:
        """Take in the next losses; return the iteration that diverged, counted from the first loss ever."""
        for loss in losses:
            at = self.seen
            self.seen += 1
            if not math.isfinite(loss) or self._too_high(loss):
                return at
        return None

    def _too_high(self, loss: float) -> bool:
        self._lowest = min(self._lowest, loss)
        if len(self._start) < START:
            self._start.append(loss)
            self._mean = sum(self._start) / len(self._start)
            return False
        start = sum(self._start) / START
        # Limited, so that a single huge loss cannot carry the mean over the line alone.
        limit = start + self.factor * max(abs(start), start - self._lowest, 1e-12)
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * min(loss, limit * 2 - start)
        return self._mean > limit


def diverged_at(losses: Sequence[float], factor: float = FACTOR) -> int | None:
    """Return the place of the first loss at which a run has diverged, or None."""
    return DivergenceMonitor(factor).update(losses)


def divergence_message(losses: Sequence[float], lr: float, factor: float = FACTOR) -> str:
    """Say why a trial ended as diverged, of its training losses and the LR of its last iteration."""
    at = len(losses) - 1
    if diverged_at(losses, factor) is None:
        return f"the validation loss after iteration {at} is not finite"
    return (
        f"the training loss diverged at iteration {at}, LR {lr:.3g}: {losses[at]:.4g} after "
        f"{losses[0]:.4g} at the start"
    )
