"""A column of several curves along an axis: its mean and its spread over the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hptune.results.records import Curve

FloatArray = NDArray[np.float64]
LOG_SPAN = 8.0  # largest over smallest value from which on a log axis shows more


@dataclass(frozen=True)
class MeanCurve:
    """Values along an axis: (N,) each; `low` and `high` are a standard deviation away."""

    x: FloatArray
    mean: FloatArray
    low: FloatArray
    high: FloatArray

    def __len__(self) -> int:
        return len(self.x)


def values(curve: Curve, column: str) -> FloatArray:
    """Return a column of a curve by its name in the CSV; blank where the curve has none."""
    if column.startswith("val_") and column != "val_loss":
        blank = np.full(len(curve), np.nan)
        return curve.metrics.get(column.removeprefix("val_"), blank)
    found: FloatArray = getattr(curve, column)
    return found.astype(np.float64)


def over_seeds(curves: Sequence[Curve], column: str, axis: str = "epoch") -> MeanCurve:
    """Return the mean of a column and its standard deviation over curves.

    Args:
        curves: Of one candidate, one a seed.
        column: Of the CSV.
        axis: epoch, iteration, seconds or lr; the mean over the curves that have it.
    """
    read = [np.isfinite(values(c, column)) & np.isfinite(values(c, axis)) for c in curves]
    at = sorted({int(i) for c, known in zip(curves, read, strict=True) for i in c.iteration[known]})
    shape = (len(curves), len(at))
    x, y = np.full(shape, np.nan), np.full(shape, np.nan)
    for row, (curve, known) in enumerate(zip(curves, read, strict=True)):
        places = np.searchsorted(at, curve.iteration[known])
        x[row, places] = values(curve, axis)[known]
        y[row, places] = values(curve, column)[known]
    if not at:
        return MeanCurve(*(np.empty(0) for _ in range(4)))
    count = np.isfinite(y).sum(axis=0)
    mean = np.nansum(y, axis=0) / count
    squares = np.nansum((y - mean) ** 2, axis=0)
    deviation = np.sqrt(squares / np.maximum(count - 1, 1))
    return MeanCurve(np.nansum(x, axis=0) / count, mean, mean - deviation, mean + deviation)


def wants_log(series: Sequence[FloatArray]) -> bool:
    """Return whether values are positive and far enough apart for a logarithmic axis."""
    finite = [own[np.isfinite(own)] for own in series]
    together = np.concatenate([own for own in finite if len(own)] or [np.ones(1)])
    smallest = float(together.min())
    return smallest > 0 and float(np.quantile(together, 0.98)) > LOG_SPAN * smallest
