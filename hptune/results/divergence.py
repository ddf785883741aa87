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
    start + factor * max(|start|, spread), where start is the mean of the first losses and
    spread how far the loss has come down since. This holds for losses of any sign and scale. The answer
    does not depend on how the losses are cut into blocks.

    Args:
        factor: How far above the start is divergence.
    """

    def __init__(self, factor: float = FACTOR) -> None:
        self.seen = 0
        self._factor = factor
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
        if len(self._start) < START:
            self._start.append(loss)
            self._mean = sum(self._start) / len(self._start)
            self._lowest = min(self._lowest, self._mean)
            return False
        start = sum(self._start) / START
        # Limited, so that a single huge loss cannot carry the mean over the line alone.
        limit = start + self._factor * max(abs(start), start - self._lowest, 1e-12)
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * min(loss, limit * 2 - start)
        self._lowest = min(self._lowest, self._mean)
        return self._mean > limit


def diverged_at(losses: Sequence[float], factor: float = FACTOR) -> int | None:
    """Return the place of the first loss at which a run has diverged, or None."""
    return DivergenceMonitor(factor).update(losses)
