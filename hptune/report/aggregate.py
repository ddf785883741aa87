"""A column of several curves along an axis: its mean and its spread over the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hptune.results.records import Curve, FloatArray

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
    found = getattr(curve, column, None)
    if found is None:
        found = curve.metrics.get(column.removeprefix("val_"), np.full(len(curve), np.nan))
    return np.asarray(found, dtype=np.float64)


def over_seeds(curves: Sequence[Curve], column: str, axis: str = "epoch") -> MeanCurve:
    """Return the mean of a column and its standard deviation over curves.

    Args:
        curves: Of one candidate, one a seed.
        column: Of the CSV.
        axis: epoch, iteration, seconds or lr; the mean over the curves that have it.
    """
    x, y = np.full((2, len(curves), max(map(len, curves), default=0)), np.nan)
    for n, curve in enumerate(curves):
        x[n, : len(curve)], y[n, : len(curve)] = values(curve, axis), values(curve, column)
    unread = ~(np.isfinite(x) & np.isfinite(y))
    some = ~unread.all(axis=0)
    mean_x, mean = (np.ma.array(own, mask=unread).mean(axis=0).data[some] for own in (x, y))
    # One curve alone shows no deviation.
    deviation = np.ma.array(y, mask=unread).std(axis=0, ddof=1).filled(0.0)[some]
    return MeanCurve(mean_x, mean, mean - deviation, mean + deviation)


def wants_log(series: Sequence[FloatArray]) -> bool:
    """Return whether values are positive and far enough apart for a logarithmic axis."""
    together = np.concatenate(series)
    finite = together[np.isfinite(together)]
    if not len(finite) or finite.min() <= 0:
        return False
    return float(np.quantile(finite, 0.98)) > LOG_SPAN * float(finite.min())
