"""Learning-rate policies: LR and momentum as pure functions of the position in a run.

Every policy gives two arrays with a value for each iteration. Momentum moves by the same
mechanism as LR, mirrored: it falls while LR rises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hptune.errors import InputError
from hptune.policies.cycles import CYCLES, triangle
from hptune.policies.decays import DECAYS
from hptune.policies.position import (
    STEPSIZE,
    FloatArray,
    Parameter,
    Policy,
    Position,
    did_you_mean,
    length_of,
)

__all__ = ["COMMON", "MOMENTUM_MODES", "POLICIES", "Schedule", "find_policy", "schedule"]

MOMENTUM_MODES = ("auto", "cyclical", "increasing", "constant")
POLICIES: Mapping[str, Policy] = {policy.name: policy for policy in (*CYCLES, *DECAYS)}
COMMON = (
    Parameter("warmup", None, "length of a linear rise in front of the policy; none by default"),
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
            or "auto": cyclical where a minimum is given, else constant.
        iterations_per_epoch: Lets lengths be given in epochs.
        args: The policy's own arguments.

    Raises:
        InputError: Unknown policy or argument, or a value out of range.
    """
    policy = find_policy(name)
    given = dict(args or {})
    known = {p.name: p.default for p in (*policy.parameters, *COMMON)}
    for key in given:
        if key not in known:
            raise InputError(
                f"policy {name}: no argument {key!r}; must be of {', '.join(sorted(known))}"
                + did_you_mean(key, known)
            )
    if iterations < 1:
        raise InputError(f"iterations: {iterations}; must be at least 1; lengthen the run")
    if momentum_mode not in MOMENTUM_MODES:
        raise InputError(
            f"policy.momentum: {momentum_mode!r}; must be of {', '.join(MOMENTUM_MODES)}"
            + did_you_mean(momentum_mode, MOMENTUM_MODES)
        )
    position = Position(
        iteration=np.arange(iterations, dtype=np.float64),
        lr=lr,
        lr_min=lr_min,
        per_epoch=iterations_per_epoch,
        args=known | given,
    )
    return Schedule(
        lr=_warmed_up(policy, position),
        momentum=_momentum(policy, position, momentum, momentum_min, momentum_mode),
    )


def find_policy(name: str) -> Policy:
    """Return a policy by name.

    Raises:
        InputError: There is none of this name.
    """
    if name not in POLICIES:
        raise InputError(
            f"policy: {name!r}; must be of {', '.join(POLICIES)}" + did_you_mean(name, POLICIES)
        )
    return POLICIES[name]


def _warmed_up(policy: Policy, p: Position) -> FloatArray:
    if p.args["warmup"] is None:
        return policy.lr(p)
    n = len(p.iteration)
    warmup = min(int(p.length("warmup")), n)
    first = policy.lr(_shortened(p, max(n - warmup, 1)))
    factor = float(p.args["warmup_factor"])
    rise = first[0] * (factor + (1 - factor) * np.arange(warmup) / warmup)
    return np.concatenate([rise, first])[:n]


def _shortened(p: Position, iterations: int) -> Position:
    return Position(np.arange(iterations, dtype=np.float64), p.lr, p.lr_min, p.per_epoch, p.args)


def _momentum(policy: Policy, p: Position, high: float, low: float | None, mode: str) -> FloatArray:
    if mode == "auto":
        mode = "constant" if low is None or low == high else "cyclical"
    if mode == "constant" or low is None:
        return np.full(len(p.iteration), high)
    if p.args["momentum_stepsize"] is not None:
        height = triangle(p.iteration, p.length("momentum_stepsize"))
    elif policy.cycle is not None:
        height = policy.cycle(p)
    else:
        stepsize = length_of("stepsize", STEPSIZE, len(p.iteration), p.per_epoch)
        height = triangle(p.iteration, stepsize)
    return high - (high - low) * height if mode == "cyclical" else low + (high - low) * height
