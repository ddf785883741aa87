"""Policies in which LR rises and falls: 1cycle as the author ran it, torch's, and CLR."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hptune.policies.position import STEPSIZE, FloatArray, Position, policy, triangle


def _halving_triangles(p: Position) -> FloatArray:
    """Return the height of triangles of which each is half as high as the one before.

    Source: the author's published logs, in which momentum goes on after the cycle; his solver's
    cycles are "triangular2".
    """
    s = p.length("stepsize")
    return triangle(p.iteration, s) / 2.0 ** np.floor(p.iteration / (2 * s))


@policy(
    "1cycle",
    "the report's: one linear cycle shorter than the run, then a very small LR",
    _halving_triangles,
    stepsize=(STEPSIZE, "half a cycle"),
    floor=(1e-3, "lowest LR over the LR at the start"),
)
def one_cycle(p: Position) -> FloatArray:
    """Rise for a stepsize and fall to 0 for another, but never below a thousandth of the start.

    Source: measured from the author's published logs, Smith 2018.
    """
    low = p.low(p.lr / 10)
    s = p.length("stepsize")
    i = p.iteration
    rise = low + (p.lr - low) * i / s
    fall = p.lr * (1 - (i - s) / s)
    return np.where(i <= s, rise, np.maximum(fall, low * p.number("floor", most=1)))


def _phases(p: Position, values: Sequence[float]) -> FloatArray:
    """Return what torch's OneCycleLR makes of the values at the ends of its two or three phases."""
    i, n = p.iteration, len(p.iteration)
    three = len(values) == 4
    up = p.number("pct_start", most=0.5 if three else 1)
    ends = [up * n - 1, 2 * up * n - 2, n - 1] if three else [up * n - 1, n - 1]
    # Ends that are out of order are below 0, where there is no iteration.
    phase = np.minimum(np.searchsorted(ends, i), len(ends) - 1)
    begin, end = np.array([0.0, *ends])[[phase, phase + 1]]
    first, last = np.array(values)[[phase, phase + 1]]
    fraction = (i - begin) / np.maximum(end - begin, 1e-12)
    result: FloatArray = (last - first) * fraction + first
    if p.choice("anneal", ("cos", "linear")) == "cos":
        result = last + (first - last) / 2.0 * (1 + np.cos(np.pi * fraction))
    return result


_OF_TORCH: dict[str, tuple[float | str, str]] = {
    "pct_start": (0.3, "fraction of the run in which LR rises"),
    "final_div_factor": (1e4, "LR at the start over LR at the end"),
    "anneal": ("cos", "cos or linear"),
}


@policy(
    "1cycle-cosine",
    "torch's OneCycleLR: cosine up, cosine down",
    lambda p: _phases(p, [0.0, 1.0, 0.0]),
    **_OF_TORCH,
)
def one_cycle_cosine(p: Position) -> FloatArray:
    low = p.low(p.lr / 25)
    return _phases(p, [low, p.lr, low / p.number("final_div_factor", least=1)])


@policy(
    "1cycle-three-phase",
    "torch's OneCycleLR with three_phase: up, down to the start, on to nearly 0",
    lambda p: _phases(p, [0.0, 1.0, 0.0, 0.0]),
    **_OF_TORCH,
)
def one_cycle_three_phase(p: Position) -> FloatArray:
    low = p.low(p.lr / 25)
    return _phases(p, [low, p.lr, low, low / p.number("final_div_factor", least=1)])


def _clr_height(p: Position) -> FloatArray:
    mode = p.choice("mode", ("triangular", "triangular2", "exp-range"))
    if mode == "triangular2":
        return _halving_triangles(p)
    height = triangle(p.iteration, p.length("stepsize"))
    return height * p.number("gamma", most=1) ** p.iteration if mode == "exp-range" else height


@policy(
    "clr",
    "cyclical LR: triangles between lr_min and lr",
    _clr_height,
    stepsize=(STEPSIZE, "half a cycle"),
    mode=("triangular", "triangular, triangular2 or exp-range"),
    gamma=(0.9999, "decay an iteration in exp-range"),
)
def clr(p: Position) -> FloatArray:
    low = p.low(p.lr / 10)
    return low + (p.lr - low) * _clr_height(p)
