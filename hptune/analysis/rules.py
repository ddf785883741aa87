"""The named rules of other LR finders, on the same curve, for comparison.

Source: fastai's `learner.lr_find` (valley, steep, minimum, slide).
"""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from hptune.analysis.smoothing import FloatArray

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
        "slide": _slide(lr, slopes),
    }


def _ema(values: FloatArray) -> FloatArray:
    """Return the exponential moving average, corrected for its start at 0."""
    means = accumulate(
        values.tolist(), lambda mean, value: SMOOTHING * mean + (1 - SMOOTHING) * value, initial=0.0
    )
    return np.array([mean / (1 - SMOOTHING**k) for k, mean in enumerate(means) if k])


def _valley(lr: FloatArray, loss: FloatArray) -> float:
    """Two thirds down the longest falling stretch."""
    longest = np.ones(len(loss), dtype=int)
    for i in range(1, len(loss)):
        longest[i] += longest[:i][loss[:i] > loss[i]].max(initial=0)
    end = 1 + int(longest[1:].argmax())
    begin = end - int(longest[end])
    third = (end - begin) // 3
    return float(lr[max(0, begin + third + third // 2)])


def _slide(lr: FloatArray, slopes: FloatArray, gap: int = 15) -> float:
    """Where the slope before the steep rise is gentle again."""
    right, left = -1, -gap
    while left > -len(lr) and abs(slopes[right] - slopes[left]) > 0.5:
        right, left = right - 1, left - 1
    return float(lr[max(left, -len(lr))])
