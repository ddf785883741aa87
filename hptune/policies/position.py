"""A run as a policy sees it, and how its arguments are read: lengths, numbers, choices."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hptune.errors import InputError, did_you_mean

FloatArray = NDArray[np.float64]
STEPSIZE = 0.45  # of the run: one cycle, then a tenth of the run at a very small LR
_LENGTH = re.compile(r"(\S+?)\s*(epochs?|iterations?)?")


@dataclass(frozen=True)
class Parameter:
    """An argument of a policy. A length is a fraction of the run, iterations, or text with a unit."""

    name: str
    default: float | str | None
    text: str


@dataclass(frozen=True)
class Position:
    """A run as a policy sees it.

    Attributes:
        iteration: 0, 1, ... of shape (iterations,), as floats.
        lr: The maximum, or the start where a policy only falls.
        lr_min: The minimum or start of a cycle; None where the user gave none.
        per_epoch: Iterations an epoch, None where it is not known.
        args: The policy's own arguments, complete with defaults.
    """

    iteration: FloatArray
    lr: float
    lr_min: float | None
    per_epoch: float | None
    args: Mapping[str, Any]

    def length(self, name: str) -> float:
        """Return a length argument in iterations."""
        return length_of(name, self.args[name], len(self.iteration), self.per_epoch)

    def number(self, name: str, least: float = 0.0, most: float = math.inf) -> float:
        """Return an argument that is a plain number.

        Raises:
            InputError: It is no number, or outside `least` to `most`.
        """
        value = _finite(self.args[name])
        if value is None or not least <= value <= most:
            bounds = f"of at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
            raise InputError(
                f"policy.args.{name}: {self.args[name]!r}; must be a number {bounds}; correct it"
            )
        return value

    def choice(self, name: str, options: tuple[str, ...]) -> str:
        """Return an argument that is one of some words.

        Raises:
            InputError: It is none of them.
        """
        value = self.args[name]
        if value not in options:
            raise InputError(
                f"policy.args.{name}: {value!r}; must be of {', '.join(options)}; "
                + did_you_mean(value, options, "choose one of these")
            )
        return str(value)

    def low(self, default: float) -> float:
        """Return the minimum LR, `default` where the user gave none.

        Raises:
            InputError: It is not between 0 and the maximum.
        """
        value = default if self.lr_min is None else self.lr_min
        if not 0 <= value <= self.lr:
            raise InputError(
                f"lr_min: {value:g}; must be from 0 to the maximum LR, which is {self.lr:g}; "
                "lower lr_min or raise lr"
            )
        return value


@dataclass(frozen=True)
class Policy:
    """A policy by name.

    Attributes:
        lr: LR of every iteration.
        cycle: How high LR stands in its cycle, from 0 to 1, for the momentum that mirrors
            it; None where LR does not cycle.
    """

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    lr: Callable[[Position], FloatArray]
    cycle: Callable[[Position], FloatArray] | None = None


def length_of(name: str, value: Any, iterations: int, per_epoch: float | None) -> float:
    """Return a length in iterations: of a fraction, a number of iterations, or text with a unit.

    Raises:
        InputError: It is none of these.
    """
    rule = (
        "must be a fraction of the run (0 to 1), a number of iterations (above 1), "
        "or text like '41 epochs' or '5000 iterations'; give one of these"
    )
    text, unit = value, None
    if isinstance(value, str) and (match := _LENGTH.fullmatch(value.strip())):
        text, unit = match.groups()
    number = _finite(text)
    if number is None or number <= 0:
        raise InputError(f"policy.args.{name}: {value!r}; {rule}")
    if unit is None:
        return number if number > 1 else max(1.0, float(round(number * iterations)))
    if unit.startswith("iteration"):
        return number
    if per_epoch is None:
        raise InputError(
            f"policy.args.{name}: {value!r}; the length of an epoch is not known here; "
            "give a fraction of the run or iterations"
        )
    return max(1.0, float(round(number * per_epoch)))


def _finite(value: object) -> float | None:
    """Return a number, or the number that a text holds; None for anything else, NaN and infinity."""
    if isinstance(value, bool) or not isinstance(value, Real | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
