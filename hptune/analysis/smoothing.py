"""Smoothing of noisy, uneven curves, and how noisy they are."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

SPREAD = 0.5  # of an example's loss, as a share of the mean
FEW_EXAMPLES = 256  # validation sets below this leave much to chance


def smooth(values: FloatArray, fraction: float = 0.05) -> FloatArray:
    """Return the curve without its spikes: a running median, then a running mean of that.

    Args:
        values: (N,), finite.
        fraction: Of the curve, the width of either neighbourhood; three points at least.
    """
    import pandas as pd  # whose running median is not of the points times the width

    width = width_of(len(values), fraction)
    near = pd.Series(values).rolling(width, center=True, min_periods=1)  # fewer points at the ends
    return _running_mean(np.pad(near.median().to_numpy(), width // 2, mode="edge"), width)


def _running_mean(padded: FloatArray, width: int) -> FloatArray:
    """Return the means of neighbours, of blocks that double: no sum leaves its rounding to others."""
    total, taken, blocks = np.zeros(len(padded) - width + 1), 0, padded
    for size in (1 << bit for bit in range(width.bit_length())):
        if width & size:
            total += blocks[taken : taken + len(total)]
            taken += size
        blocks = blocks[:-size] + blocks[size:]
    return total / width


def width_of(points: int, fraction: float = 0.05) -> int:
    """Return the points in a neighbourhood of a curve of so many."""
    return max(3, 2 * round(points * fraction / 2) + 1)


def noise_of(values: FloatArray) -> float:
    """Return the standard deviation of a curve around its own course, robust against spikes.

    From second differences, which a straight course leaves at 0; a curve of fewer than
    three points shows no noise.
    """
    if len(values) < 3:
        return 0.0
    second = values[2:] - 2 * values[1:-1] + values[:-2]
    # The variance of a second difference is 6 times the noise's; 1.4826 turns a MAD into a std.
    return float(1.4826 * np.median(np.abs(second)) / np.sqrt(6))


def sampling_error(loss: float, examples: int) -> float:
    """Return about how far a mean loss over so many examples is from that over all there could be."""
    return SPREAD * abs(loss) / math.sqrt(examples)
