"""A run as a policy sees it, and the lengths that its arguments are given in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hptune.errors import InputError

FloatArray = NDArray[np.float64]
STEPSIZE = 0.45  # of the run: one cycle, then a tenth of the run at a very small LR


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


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message: the nearest name, or that one has to be chosen."""
    close = get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else "; choose one of these"


def length_of(name: str, value: Any, iterations: int, per_epoch: float | None) -> float:
    """Return a length in iterations: of a fraction, a number of iterations, or text with a unit.

    Raises:
        InputError: It is none of these.
    """
    rule = (
        "must be a fraction of the run (0 to 1), a number of iterations (above 1), "
        "or text like '41 epochs' or '5000 iterations'; give one of these"
    )
    number, unit = value, ""
    if isinstance(value, str):
        head, _, unit = value.strip().partition(" ")
        try:
            number = float(head)
        except ValueError:
            raise InputError(f"policy.args.{name}: {value!r}; {rule}") from None
    if isinstance(number, bool) or not isinstance(number, int | float) or not number > 0:
        raise InputError(f"policy.args.{name}: {value!r}; {rule}")
    if unit.startswith("epoch"):
        if per_epoch is None:
            raise InputError(
                f"policy.args.{name}: {value!r}; the length of an epoch is not known here; "
                "give a fraction of the run or iterations"
            )
        return max(1.0, float(round(number * per_epoch)))
    if unit.startswith("iteration"):
        return float(number)
    if unit:
        raise InputError(f"policy.args.{name}: {value!r}; {rule}")
    return float(number) if number > 1 else max(1.0, float(round(number * iterations)))
