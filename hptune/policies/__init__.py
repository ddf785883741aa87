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

from hptune.errors import InputError, one_of
from hptune.policies import cycles, decays
from hptune.policies.position import FloatArray, Parameter, Policy, Position, triangle

_MOMENTUM_MODES = ("auto", "cyclical", "increasing", "constant")
POLICIES: Mapping[str, Policy] = {
    item.name: item
    for module in (cycles, decays)
    for item in vars(module).values()
    if isinstance(item, Policy)
}
# What a user can choose: what a loop of their own does is none of it.
CHOICES = tuple(name for name in POLICIES if name != decays.own.name)
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
    position = Position(
        iteration=np.arange(iterations, dtype=np.float64),
        lr=lr,
        lr_min=lr_min,
        per_epoch=iterations_per_epoch,
        args=complete(policy, args or {}),
    )
    warmup = min(int(position.length("warmup")), iterations) if position.args["warmup"] else 0
    rest = replace(position, iteration=position.iteration[: max(iterations - warmup, 1)])
    after = evaluate(policy, rest, momentum, momentum_min, momentum_mode)
    factor = position.number("warmup_factor", most=1)
    rise = after.lr[0] * np.linspace(factor, 1, warmup, endpoint=False)
    # Momentum waits at its start, so that its cycle and LR's stay one.
    wait = np.full(warmup, after.momentum[0])
    return Schedule(
        lr=np.concatenate([rise, after.lr])[:iterations],
        momentum=np.concatenate([wait, after.momentum])[:iterations],
    )


def evaluate(
    policy: Policy,
    p: Position,
    momentum: float,
    momentum_min: float | None,
    momentum_mode: str = "auto",
) -> Schedule:
    """Compute a policy's LR and momentum at some iterations; arguments as for `schedule`.

    Raises:
        InputError: A value is out of range.
    """
    if not 0 < p.lr < math.inf:
        raise InputError(f"lr: {p.lr:g}; must be a number above 0; choose another")
    if not 0 <= momentum <= 1:
        raise InputError(f"momentum: {momentum:g}; must be from 0 to 1; choose another")
    mode = one_of(_MOMENTUM_MODES, momentum_mode, "policy.momentum")
    lr = policy.lr(p)
    if mode == "constant" or momentum_min is None:
        return Schedule(lr, np.full(len(lr), momentum))
    if not 0 <= momentum_min <= momentum:
        raise InputError(
            f"momentum_min: {momentum_min:g}; must be from 0 to the maximum of momentum, which is "
            f"{momentum:g}; lower momentum_min or raise momentum"
        )
    own = p.args["momentum_stepsize"] is not None
    height = triangle(p.iteration, p.length("momentum_stepsize")) if own else policy.cycle(p)
    swing = (momentum - momentum_min) * height
    return Schedule(lr, momentum_min + swing if mode == "increasing" else momentum - swing)


def find_policy(name: str) -> Policy:
    """Return a policy by name.

    Raises:
        InputError: There is none of this name.
    """
    return POLICIES[one_of(POLICIES, name, "policy")]


def complete(policy: Policy, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a policy's arguments with the defaults of those that are not given.

    Raises:
        InputError: It has no argument of this name.
    """
    known = {p.name: p.default for p in (*policy.parameters, *COMMON)}
    for key in given:
        one_of(known, key, f"argument of policy {policy.name}")
    return known | dict(given)
