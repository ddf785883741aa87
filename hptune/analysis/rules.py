"""The named rules of other LR finders, on the same curve, for comparison.

Source: fastai's `learner.lr_find` (valley, steep, minimum, slide).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
SMOOTHING = 0.98  # fastai's, over iterations


def named_rules(lr: FloatArray, train_loss: FloatArray) -> dict[str, float]:
    """Return what valley, steep, minimum and slide suggest; NaN where a rule finds nothing.

    Args:
        lr: Rising, (N,), of an exponential test.
        train_loss: (N,).
    """
    usable = np.isfinite(lr) & np.isfinite(train_loss) & (lr > 0)
    lr, loss = lr[usable], _ema(train_loss[usable])
    if len(lr) < 10:
        return dict.fromkeys(("valley", "steep", "minimum", "slide"), float("nan"))
    # fastai stops at four times the best and leaves out the first tenth and the last points.
    end = len(loss)
    if loss.min() > 0:
        over = np.flatnonzero(loss > 4 * np.minimum.accumulate(loss))
        end = int(over[0]) + 1 if len(over) else end
    lr, loss = lr[:end], loss[:end]
    skip = max(1, len(lr) // 10)
    slopes = np.gradient(loss, np.log10(lr))
    return {
        "valley": _valley(lr, loss),
        "steep": float(lr[skip:][slopes[skip:].argmin()]),
        "minimum": float(lr[loss.argmin()]) / 10,
        "slide": _slide(lr, slopes, loss),
    }


def _ema(values: FloatArray) -> FloatArray:
    smoothed = np.empty_like(values)
    mean = 0.0
    for k, value in enumerate(values):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        smoothed[k] = mean / (1 - SMOOTHING ** (k + 1))
    return smoothed


def _valley(lr: FloatArray, loss: FloatArray) -> float:
    """Two thirds down the longest falling stretch."""
    n = len(loss)
    longest = np.ones(n, dtype=int)
    begin = 0
    end = 1
    for i in range(1, n):
        for j in range(i):
            if loss[i] < loss[j] and longest[i] < longest[j] + 1:
                longest[i] = longest[j] + 1
        if longest[i] > longest[end]:
            end = i
            begin = end - longest[end]
    third = (end - begin) // 3
    return float(lr[max(0, begin + third + third // 2)])


def _slide(lr: FloatArray, slopes: FloatArray, loss: FloatArray, gap: int = 15) -> float:
    """Where the slope before the steep rise is gentle again."""
    right, left = -1, -gap
    usable = slopes
    while right >= -len(loss) + gap and abs(usable[right] - usable[left]) > 0.5:
        right, left = right - 1, left - 1
        if abs(left) > len(loss):
            break
    return float(lr[max(left, -len(lr))])
