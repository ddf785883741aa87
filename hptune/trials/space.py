"""The space of a joint search: hyper-parameters with their ranges or choices."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """Numbers between two ends.

    Attributes:
        low, high: The ends, both included.
        log: Whether equal ratios are equally likely; both ends are then above 0.
    """

    low: float
    high: float
    log: bool = False

    def points(self, count: int) -> list[float]:
        """Return so many evenly spaced values, to three significant figures."""
        if count == 1:
            return [self.high]
        steps = [k / (count - 1) for k in range(count)]
        if self.log:
            values = [self.low * (self.high / self.low) ** step for step in steps]
        else:
            values = [self.low + (self.high - self.low) * step for step in steps]
        return [float(f"{value:.3g}") for value in values]


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: Sequence[float]

    def points(self, count: int) -> list[float]:
        """Return all of them, however many are asked for."""
        return list(self.values)


Space = Mapping[str, Range | Choice]
"""Dimensions by the field of a trial that they set."""


def grid(space: Space, size: int) -> Iterator[dict[str, float]]:
    """Yield the points of a grid with about `size` points, the same number along every range."""
    ranges = sum(isinstance(dimension, Range) for dimension in space.values())
    choices = math.prod(len(d.values) for d in space.values() if isinstance(d, Choice))
    count = max(2, math.floor((size / choices) ** (1 / max(ranges, 1)) + 1e-9))
    axes = [dimension.points(count) for dimension in space.values()]
    for values in itertools.product(*axes):
        yield dict(zip(space, values, strict=True))
