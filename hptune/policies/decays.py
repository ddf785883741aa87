"""Policies in which LR stays, falls or only rises, the LR range test among them."""

from __future__ import annotations

import numpy as np

from hptune.errors import InputError
from hptune.policies.position import FloatArray, Parameter, Policy, Position, length_of


def _constant(p: Position) -> FloatArray:
    return np.full(len(p.iteration), p.lr)


def _step(p: Position) -> FloatArray:
    return p.lr * p.number("gamma") ** np.floor(p.iteration / p.length("stepsize"))


def _multistep(p: Position) -> FloatArray:
    given = p.args["milestones"]
    milestones = given if isinstance(given, list | tuple) else str(given).split(",")
    passed = np.zeros(len(p.iteration))
    for value in milestones:
        passed += p.iteration >= length_of("milestones", value, len(p.iteration), p.per_epoch)
    return p.lr * p.number("gamma") ** passed


def _exponential(p: Position) -> FloatArray:
    return p.lr * p.number("gamma") ** (p.iteration / p.length("period"))


def _inv(p: Position) -> FloatArray:
    return p.lr * (1 + p.number("gamma") * p.iteration) ** -p.number("power")


def _cosine(p: Position) -> FloatArray:
    low = p.low(0.0)
    return low + (p.lr - low) * (1 + np.cos(np.pi * p.iteration / len(p.iteration))) / 2


def _restarts_position(p: Position) -> FloatArray:
    """Return how far each iteration is into its cycle, from 0 to 1."""
    period, factor = p.length("period"), p.number("period_multiplier", least=1)
    if factor == 1:
        return (p.iteration % period) / period
    cycle = np.floor(np.log(p.iteration / period * (factor - 1) + 1) / np.log(factor) + 1e-12)
    begin = period * (factor**cycle - 1) / (factor - 1)
    place: FloatArray = (p.iteration - begin) / (period * factor**cycle)
    return place


def _cosine_restarts(p: Position) -> FloatArray:
    low = p.low(0.0)
    return low + (p.lr - low) * (1 + np.cos(np.pi * _restarts_position(p))) / 2


def _linear(p: Position) -> FloatArray:
    start, end = p.number("start_factor"), p.number("end_factor")
    fraction = np.minimum(p.iteration / p.length("length"), 1.0)
    return p.lr * (start + (end - start) * fraction)


def _lr_range(p: Position) -> FloatArray:
    fraction = _range_position(p)
    if p.choice("mode", ("linear", "exponential")) == "linear":
        low = p.low(0.0)
        return low + (p.lr - low) * fraction
    low = p.low(p.lr * 1e-6)
    if low == 0:
        raise InputError(
            "lr_min: 0; must be above 0 where LR rises exponentially; raise it or use mode linear"
        )
    return low * (p.lr / low) ** fraction


def _range_position(p: Position) -> FloatArray:
    return p.iteration / max(len(p.iteration) - 1, 1)


DECAYS = (
    Policy("constant", "the same LR throughout", (), _constant),
    Policy(
        "step",
        "LR times gamma every stepsize",
        (
            Parameter("stepsize", 1 / 3, "length of a step"),
            Parameter("gamma", 0.1, "factor at every step"),
        ),
        _step,
    ),
    Policy(
        "multistep",
        "LR times gamma at each milestone",
        (
            Parameter("milestones", "0.5,0.75", "positions, with commas or as a list"),
            Parameter("gamma", 0.1, "factor at every milestone"),
        ),
        _multistep,
    ),
    Policy(
        "exponential",
        "LR times gamma every period, smoothly",
        (
            Parameter("gamma", 0.1, "factor a period"),
            Parameter("period", 1.0, "length in which LR falls by gamma; the run by default"),
        ),
        _exponential,
    ),
    Policy(
        "inv",
        "Caffe's inv: lr (1 + gamma i)^-power",
        (
            Parameter("gamma", 1e-4, "an iteration"),
            Parameter("power", 0.75, "exponent"),
        ),
        _inv,
    ),
    Policy("cosine", "half a cosine from lr to lr_min", (), _cosine),
    Policy(
        "cosine-restarts",
        "cosine with warm restarts",
        (
            Parameter("period", 1.0, "length of the first cycle"),
            Parameter("period_multiplier", 1.0, "each cycle over the one before"),
        ),
        _cosine_restarts,
    ),
    Policy(
        "linear",
        "a straight line from start_factor lr to end_factor lr",
        (
            Parameter("start_factor", 1.0, "of lr, at the start"),
            Parameter("end_factor", 0.0, "of lr, at the end of the length"),
            Parameter("length", 1.0, "of the line; LR stays afterwards"),
        ),
        _linear,
    ),
    Policy(
        "lr-range",
        "the LR range test: from lr_min up to lr",
        (Parameter("mode", "linear", "linear or exponential"),),
        _lr_range,
        _range_position,
    ),
)
