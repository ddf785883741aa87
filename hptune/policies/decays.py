"""Policies in which LR stays, falls or only rises, the LR range test among them."""

from __future__ import annotations

import numpy as np

from hptune.errors import InputError
from hptune.policies.position import FloatArray, Position, policy


@policy("constant", "the same LR throughout")
def constant(p: Position) -> FloatArray:
    return np.full(len(p.iteration), p.lr)


@policy("own", "what a loop of your own does; its tables show the LR that it was given")
def own(p: Position) -> FloatArray:
    return constant.lr(p)


@policy(
    "step",
    "LR times gamma every stepsize",
    stepsize=(1 / 3, "length of a step"),
    gamma=(0.1, "factor at every step"),
)
def step(p: Position) -> FloatArray:
    return p.lr * p.number("gamma") ** np.floor(p.iteration / p.length("stepsize"))


@policy(
    "multistep",
    "LR times gamma at each milestone",
    milestones=("0.5,0.75", "positions, with commas or as a list"),
    gamma=(0.1, "factor at every milestone"),
)
def multistep(p: Position) -> FloatArray:
    given = p.args["milestones"]
    milestones = given if isinstance(given, list | tuple) else str(given).split(",")
    passed = np.zeros(len(p.iteration))
    for value in milestones:
        passed += p.iteration >= p.length("milestones", value)
    return p.lr * p.number("gamma") ** passed


@policy(
    "exponential",
    "LR times gamma every period, smoothly",
    gamma=(0.1, "factor a period"),
    period=(1.0, "length in which LR falls by gamma; the run by default"),
)
def exponential(p: Position) -> FloatArray:
    return p.lr * p.number("gamma") ** (p.iteration / p.length("period"))


@policy(
    "inv",
    "Caffe's inv: lr (1 + gamma i)^-power",
    gamma=(1e-4, "an iteration"),
    power=(0.75, "exponent"),
)
def inv(p: Position) -> FloatArray:
    return p.lr * (1 + p.number("gamma") * p.iteration) ** -p.number("power")


def _cosine(p: Position, angle: FloatArray) -> FloatArray:
    low = p.low(0.0)
    return low + (p.lr - low) * (1 + np.cos(angle)) / 2


@policy("cosine", "half a cosine from lr to lr_min")
def cosine(p: Position) -> FloatArray:
    return _cosine(p, np.pi * p.iteration / len(p.iteration))


@policy(
    "cosine-restarts",
    "cosine with warm restarts",
    period=(1.0, "length of the first cycle"),
    period_multiplier=(1.0, "each cycle over the one before"),
)
def cosine_restarts(p: Position) -> FloatArray:
    period, factor = p.length("period"), p.number("period_multiplier", least=1)
    if factor == 1:
        return _cosine(p, np.pi * ((p.iteration % period) / period))
    cycle = np.floor(np.log(p.iteration / period * (factor - 1) + 1) / np.log(factor) + 1e-12)
    begin = period * (factor**cycle - 1) / (factor - 1)
    return _cosine(p, np.pi * ((p.iteration - begin) / (period * factor**cycle)))


@policy(
    "linear",
    "a straight line from start_factor lr to end_factor lr",
    start_factor=(1.0, "of lr, at the start"),
    end_factor=(0.0, "of lr, at the end of the length"),
    length=(1.0, "of the line; LR stays afterwards"),
)
def linear(p: Position) -> FloatArray:
    start, end = p.number("start_factor"), p.number("end_factor")
    fraction = np.minimum(p.iteration / p.length("length"), 1.0)
    return p.lr * (start + (end - start) * fraction)


def _fraction_of_range(p: Position) -> FloatArray:
    return p.iteration / max(len(p.iteration) - 1, 1)


@policy(
    "lr-range",
    "the LR range test: from lr_min up to lr",
    _fraction_of_range,
    mode=("linear", "linear or exponential"),
)
def lr_range(p: Position) -> FloatArray:
    fraction = _fraction_of_range(p)
    if p.choice("mode", ("linear", "exponential")) == "linear":
        low = p.low(0.0)
        return low + (p.lr - low) * fraction
    low = p.low(p.lr * 1e-6)
    if low == 0:
        raise InputError(
            "lr_min: 0; must be above 0 where LR rises exponentially; raise it or use mode linear"
        )
    return low * (p.lr / low) ** fraction
