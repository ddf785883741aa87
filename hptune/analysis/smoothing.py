"""Smoothing of noisy, uneven curves, and how noisy they are."""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
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
    width = width_of(len(values), fraction)
    half = width // 2
    near = sliding_window_view(np.pad(values, half, constant_values=np.nan), width)
    medians = np.nanmedian(near, axis=1)  # of fewer points at the ends
    padded = np.pad(medians, half, mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")


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
