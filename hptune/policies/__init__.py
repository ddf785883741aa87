"""Learning-rate policies: LR and momentum as pure functions of the position in a run.

Every policy gives two arrays with a value for each iteration. Momentum moves by the same
mechanism as LR, mirrored: it falls while LR rises.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hptune.errors import InputError, did_you_mean
from hptune.policies.cycles import CYCLES, triangle
from hptune.policies.decays import DECAYS
from hptune.policies.position import (
    STEPSIZE,
    FloatArray,
    Parameter,
    Policy,
    Position,
    length_of,
)

__all__ = ["COMMON", "MOMENTUM_MODES", "POLICIES", "Schedule", "find_policy", "schedule"]

MOMENTUM_MODES = ("auto", "cyclical", "increasing", "constant")
POLICIES: Mapping[str, Policy] = {policy.name: policy for policy in (*CYCLES, *DECAYS)}
COMMON = (
    Parameter(
        "warmup", None, "length of a linear rise before the policy, which gets the rest of the run"
    ),
    Parameter("warmup_factor", 0.1, "LR at the start of the warm-up over the policy's first LR"),
    Parameter("momentum_stepsize", None, "half a cycle of momentum where it is not LR's own cycle"),
)


@dataclass(frozen=True)
class Schedule:
    """LR and momentum of every iteration of a run, each of shape (iterations,)."""

    lr: FloatArray
    momentum: FloatArray


def schedule(
    name: str,
    iterations: int,
    *,
    lr: float,
    lr_min: float | None = None,
    momentum: float = 0.9,
    momentum_min: float | None = None,
    momentum_mode: str = "auto",
    iterations_per_epoch: float | None = None,
    args: Mapping[str, Any] | None = None,
) -> Schedule:
    """Compute a policy's LR and momentum for a whole run.

    Args:
        name: One of `POLICIES`.
        iterations: Length of the run.
        lr: Maximum LR.
        lr_min: Minimum LR; each policy has its default.
        momentum: Maximum of momentum.
        momentum_min: Minimum of momentum.
        momentum_mode: "cyclical" (falls while LR rises), "increasing" (rises with it), "constant",
            or "auto", which is cyclical. Without a minimum there is no cycle: constant.
        iterations_per_epoch: Lets lengths be given in epochs.
        args: The policy's own arguments.

    Raises:
        InputError: Unknown policy or argument, or a value out of range.
    """
    policy = find_policy(name)
    if iterations < 1:
        raise InputError(f"iterations: {iterations}; must be at least 1; lengthen the run")
    if not 0 < lr < math.inf:
        raise InputError(f"lr: {lr:g}; must be a number above 0; choose another")
    if momentum_mode not in MOMENTUM_MODES:
        raise InputError(
            f"policy.momentum: {momentum_mode!r}; must be of {', '.join(MOMENTUM_MODES)}; "
            + did_you_mean(momentum_mode, MOMENTUM_MODES, "choose one of these")
        )
    position = Position(
        iteration=np.arange(iterations, dtype=np.float64),
        lr=lr,
        lr_min=lr_min,
        per_epoch=iterations_per_epoch,
        args=_complete(policy, args or {}),
    )
    warmup = _warmup(position)
    rest = replace(position, iteration=np.arange(max(iterations - warmup, 1), dtype=np.float64))
    lr_rest = policy.lr(rest)
    momentum_rest = _momentum(policy, rest, momentum, momentum_min, momentum_mode)
    factor = position.number("warmup_factor", most=1)
    rise = lr_rest[0] * np.linspace(factor, 1, warmup, endpoint=False)
    # Momentum waits at its start, so that its cycle and LR's stay one.
    wait = np.full(warmup, momentum_rest[0])
    return Schedule(
        lr=np.concatenate([rise, lr_rest])[:iterations],
        momentum=np.concatenate([wait, momentum_rest])[:iterations],
    )


def find_policy(name: str) -> Policy:
    """Return a policy by name.

    Raises:
        InputError: There is none of this name.
    """
    if name not in POLICIES:
        raise InputError(
            f"policy: {name!r}; must be of {', '.join(POLICIES)}; "
            + did_you_mean(name, POLICIES, "choose one of these")
        )
    return POLICIES[name]


def _complete(policy: Policy, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a policy's arguments with the defaults of those that are not given."""
    known = {p.name: p.default for p in (*policy.parameters, *COMMON)}
    for key in given:
        if key not in known:
            raise InputError(
                f"policy {policy.name}: no argument {key!r}; must be of {', '.join(sorted(known))}; "
                + did_you_mean(key, known, "choose one of these")
            )
    return known | dict(given)


def _warmup(p: Position) -> int:
    """Return the iterations of the warm-up, 0 for none."""
    return min(int(p.length("warmup")), len(p.iteration)) if p.args["warmup"] else 0


def _momentum(policy: Policy, p: Position, high: float, low: float | None, mode: str) -> FloatArray:
    if not 0 <= high <= 1:
        raise InputError(f"momentum: {high:g}; must be from 0 to 1; choose another")
    if mode == "constant" or low is None:
        return np.full(len(p.iteration), high)
    if not 0 <= low <= high:
        raise InputError(
            f"momentum_min: {low:g}; must be from 0 to the maximum of momentum, which is {high:g}; "
            "lower momentum_min or raise momentum"
        )
    if p.args["momentum_stepsize"] is not None:
        height = triangle(p.iteration, p.length("momentum_stepsize"))
    elif policy.cycle is not None:
        height = policy.cycle(p)
    else:
        stepsize = length_of("stepsize", STEPSIZE, len(p.iteration), p.per_epoch)
        height = triangle(p.iteration, stepsize)
    return low + (high - low) * height if mode == "increasing" else high - (high - low) * height
