"""A run as a policy sees it, how its arguments are read, and what a policy is."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hptune.errors import InputError, one_of

FloatArray = NDArray[np.float64]
STEPSIZE = 0.45  # of the run: one cycle, then a tenth of the run at a very small LR
_LENGTH = re.compile(r"(\S+?)\s*(epochs?|iterations?)?")
_LENGTH_RULE = (
    "must be a fraction of the run (0 to 1), a number of iterations (above 1), "
    "or text like '41 epochs' or '5000 iterations'; give one of these"
)


@dataclass(frozen=True)
class Parameter:
    """An argument of a policy. A length is a fraction of the run, iterations, or text with a unit."""

    name: str
    default: float | str | None
    text: str


@dataclass(frozen=True)
class Position:
    """A run as a policy sees it; reading a value that is out of range raises an InputError."""

    iteration: FloatArray  # 0, 1, ... of shape (iterations,)
    lr: float  # the maximum, or the start where a policy only falls
    lr_min: float | None  # the minimum or start of a cycle; None where the user gave none
    per_epoch: float | None  # iterations an epoch, None where it is not known
    args: Mapping[str, Any]  # the policy's own arguments, complete with defaults

    def length(self, name: str, value: Any = None) -> float:
        """Return a length argument in iterations, or `value`, read as one."""
        value = self.args[name] if value is None else value
        text, unit = value, None
        if isinstance(value, str) and (match := _LENGTH.fullmatch(value.strip())):
            text, unit = match.groups()
        number = _finite(text)
        if number is None or number <= 0:
            raise InputError(f"policy.args.{name}: {value!r}; {_LENGTH_RULE}")
        in_iterations = number > 1 if unit is None else unit.startswith("iteration")
        if in_iterations:
            return number
        whole = len(self.iteration) if unit is None else self.per_epoch
        if whole is None:
            raise InputError(
                f"policy.args.{name}: {value!r}; the length of an epoch is not known here; "
                "give a fraction of the run or iterations"
            )
        return max(1.0, float(round(number * whole)))

    def number(self, name: str, least: float = 0.0, most: float = math.inf) -> float:
        """Return an argument that is a number from `least` to `most`."""
        value = _finite(self.args[name])
        if value is None or not least <= value <= most:
            bounds = f"of at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
            raise InputError(
                f"policy.args.{name}: {self.args[name]!r}; must be a number {bounds}; correct it"
            )
        return value

    def choice(self, name: str, options: tuple[str, ...]) -> str:
        """Return an argument that is one of some words."""
        return one_of(options, self.args[name], f"policy.args.{name}")

    def low(self, default: float) -> float:
        """Return the minimum LR, `default` where the user gave none."""
        value = default if self.lr_min is None else self.lr_min
        if not 0 <= value <= self.lr:
            raise InputError(
                f"lr_min: {value:g}; must be from 0 to the maximum LR, which is {self.lr:g}; "
                "lower lr_min or raise lr"
            )
        return value


def triangle(i: FloatArray, stepsize: float) -> FloatArray:
    """Height of a triangle wave with half period `stepsize`: 0 at 0, 1 at `stepsize`, 0 at twice that."""
    cycle = np.floor(1 + i / (2 * stepsize))
    height: FloatArray = np.maximum(0.0, 1 - np.abs(i / stepsize - 2 * cycle + 1))
    return height


def _usual_cycle(p: Position) -> FloatArray:
    return triangle(p.iteration, p.length("stepsize", STEPSIZE))


LrOf = Callable[[Position], FloatArray]


@dataclass(frozen=True)
class Policy:
    """A policy by name."""

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    lr: LrOf
    # How high LR stands in its cycle, from 0 to 1, for the momentum that mirrors it.
    cycle: LrOf


def policy(
    name: str,
    summary: str,
    cycle: LrOf = _usual_cycle,
    **parameters: tuple[float | str, str],
) -> Callable[[LrOf], Policy]:
    """Make a policy of a function that gives the LR; a parameter is its default and what it is."""
    listed = tuple(Parameter(key, *about) for key, about in parameters.items())
    return lambda lr: Policy(name, summary, listed, lr, cycle)


def _finite(value: object) -> float | None:
    """Return a number, or the number that a text holds; None for anything else, NaN and infinity."""
    if isinstance(value, bool) or not isinstance(value, Real | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
