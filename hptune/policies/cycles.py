"""Policies in which LR rises and falls: 1cycle as the author ran it, torch's, and CLR."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hptune.policies.position import STEPSIZE, FloatArray, Parameter, Policy, Position


def _one_cycle(p: Position) -> FloatArray:
    """The author's: up for a stepsize, down to 0 for another, never below a thousandth of the start.

    Source: measured from the author's published logs, Smith 2018.
    """
    low = p.low(p.lr / 10)
    s = p.length("stepsize")
    i = p.iteration
    rise = low + (p.lr - low) * i / s
    fall = p.lr * (1 - (i - s) / s)
    return np.where(i <= s, rise, np.maximum(fall, low * p.number("floor", most=1)))


def triangle(i: FloatArray, stepsize: float) -> FloatArray:
    """Height of a triangle wave with half period `stepsize`: 0 at 0, 1 at `stepsize`, 0 at twice that."""
    cycle = np.floor(1 + i / (2 * stepsize))
    height: FloatArray = np.maximum(0.0, 1 - np.abs(i / stepsize - 2 * cycle + 1))
    return height


def _one_cycle_height(p: Position) -> FloatArray:
    """The author's momentum goes on after the cycle with the same period and half the height.

    Source: the author's published logs; his solver's cycles are "triangular2".
    """
    s = p.length("stepsize")
    return triangle(p.iteration, s) / 2.0 ** np.floor(p.iteration / (2 * s))


def _anneal(start: float, end: float, fraction: FloatArray, how: str) -> FloatArray:
    if how == "linear":
        return (end - start) * fraction + start
    return end + (start - end) / 2.0 * (1 + np.cos(np.pi * fraction))


def _torch_phases(p: Position, three: bool) -> list[float]:
    """Return the last iterations of the phases of torch's OneCycleLR."""
    n, up = len(p.iteration), p.number("pct_start", most=0.5 if three else 1)
    if three:
        return [up * n - 1, 2 * up * n - 2, n - 1]
    return [up * n - 1, n - 1]


def _phased(p: Position, ends: list[float], values: list[float]) -> FloatArray:
    how = p.choice("anneal", ("cos", "linear"))
    result = np.full(len(p.iteration), values[-1])
    start = 0.0
    covered = np.zeros(len(p.iteration), dtype=bool)
    for k, end in enumerate(ends):
        here = ~covered & ((p.iteration <= end) | (k == len(ends) - 1))
        fraction = (p.iteration - start) / max(end - start, 1e-12)
        result[here] = _anneal(values[k], values[k + 1], fraction, how)[here]
        covered |= here
        start = end
    return result


def _torch_one_cycle(three: bool) -> Callable[[Position], FloatArray]:
    def lr(p: Position) -> FloatArray:
        low = p.low(p.lr / 25)
        last = low / p.number("final_div_factor", least=1)
        values = [low, p.lr, low, last] if three else [low, p.lr, last]
        return _phased(p, _torch_phases(p, three), values)

    return lr


def _torch_one_cycle_height(three: bool) -> Callable[[Position], FloatArray]:
    def height(p: Position) -> FloatArray:
        values = [0.0, 1.0, 0.0, 0.0] if three else [0.0, 1.0, 0.0]
        return _phased(p, _torch_phases(p, three), values)

    return height


def _clr_height(p: Position) -> FloatArray:
    s = p.length("stepsize")
    height = triangle(p.iteration, s)
    mode = p.choice("mode", ("triangular", "triangular2", "exp-range"))
    if mode == "triangular2":
        return height / 2.0 ** np.floor(p.iteration / (2 * s))
    if mode == "exp-range":
        return height * p.number("gamma", most=1) ** p.iteration
    return height


def _clr(p: Position) -> FloatArray:
    low = p.low(p.lr / 10)
    return low + (p.lr - low) * _clr_height(p)


_STEPSIZE = Parameter("stepsize", STEPSIZE, "half a cycle")
_TORCH = (
    Parameter("pct_start", 0.3, "fraction of the run in which LR rises"),
    Parameter("final_div_factor", 1e4, "LR at the start over LR at the end"),
    Parameter("anneal", "cos", "cos or linear"),
)

CYCLES = (
    Policy(
        "1cycle",
        "the report's: one linear cycle shorter than the run, then a very small LR",
        (_STEPSIZE, Parameter("floor", 1e-3, "lowest LR over the LR at the start")),
        _one_cycle,
        _one_cycle_height,
    ),
    Policy(
        "1cycle-cosine",
        "torch's OneCycleLR: cosine up, cosine down",
        _TORCH,
        _torch_one_cycle(False),
        _torch_one_cycle_height(False),
    ),
    Policy(
        "1cycle-three-phase",
        "torch's OneCycleLR with three_phase: up, down to the start, on to nearly 0",
        _TORCH,
        _torch_one_cycle(True),
        _torch_one_cycle_height(True),
    ),
    Policy(
        "clr",
        "cyclical LR: triangles between lr_min and lr",
        (
            _STEPSIZE,
            Parameter("mode", "triangular", "triangular, triangular2 or exp-range"),
            Parameter("gamma", 0.9999, "decay an iteration in exp-range"),
        ),
        _clr,
        _clr_height,
    ),
)
