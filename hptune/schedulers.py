"""The report's 1cycle for a training loop of one's own, as a `torch.optim.lr_scheduler`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from hptune.errors import InputError
from hptune.policies import find_policy, schedule
from hptune.policies.position import STEPSIZE, Position, length_of

__all__ = ["OneCycle"]

_POLICY = find_policy("1cycle")


@dataclass(frozen=True)
class _Now:
    """LR and momentum of one parameter group at one iteration; momentum None leaves it alone."""

    lr: float
    momentum: float | None


class OneCycle(LRScheduler):
    """1cycle as the author of the report ran it: LR and momentum of every iteration.

    LR rises linearly from `lr_min` to `lr` in `stepsize` iterations and falls linearly towards 0
    in as many, but never below a thousandth of `lr_min`, where it stays. Momentum (beta1 of Adam
    and its kin) falls while LR rises and rises while LR falls. Call `step` once an iteration,
    after the optimizer's. torch's `OneCycleLR` differs: it is cosine by default, and it refuses
    to go on after its last step.

    A number holds for every parameter group; a list has one value a group.

    Args:
        optimizer: Whose parameter groups are driven.
        iterations: Length of the run; `stepsize` may be a fraction of it.
        lr: Maximum. None takes the LR that each group of the optimizer has.
        lr_min: Start of the rise. None takes a tenth of the maximum.
        momentum: Maximum. None leaves the optimizer's momentum as it is.
        momentum_min: Minimum. None holds momentum constant.
        stepsize: Half a cycle: a fraction of the run (0 to 1) or iterations (above 1).
        last_epoch: The last iteration done, where a run goes on without this scheduler's state.

    Raises:
        InputError: A value out of range, or momentum for an optimizer that has none.

    Source: Smith 2018, section 4 and the author's published logs.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        iterations: int,
        lr: float | Sequence[float] | None = None,
        lr_min: float | Sequence[float] | None = None,
        momentum: float | Sequence[float] | None = 0.95,
        momentum_min: float | Sequence[float] | None = 0.85,
        stepsize: float = STEPSIZE,
        last_epoch: int = -1,
    ) -> None:
        groups = optimizer.param_groups
        # A group keeps the LR it had before any scheduler under "initial_lr".
        own = [float(group.get("initial_lr", group["lr"])) for group in groups]
        self._lr = own if lr is None else _each("lr", lr, len(groups))
        tenth = [value / 10 for value in self._lr]
        self._lr_min = tenth if lr_min is None else _each("lr_min", lr_min, len(groups))
        self._momentum = None if momentum is None else _each("momentum", momentum, len(groups))
        self._momentum_min = (
            None if momentum_min is None else _each("momentum_min", momentum_min, len(groups))
        )
        if self._momentum is not None:
            for group in groups:
                _check_has_momentum(optimizer, group)
        for k in range(len(groups)):
            schedule(
                "1cycle",
                1,
                lr=self._lr[k],
                lr_min=self._lr_min[k],
                momentum=0.0 if self._momentum is None else self._momentum[k],
                momentum_min=self._lowest_momentum(k),
            )
        self._stepsize = length_of("stepsize", stepsize, iterations, None)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """Return the LR of each group at this iteration, and set its momentum."""
        now = self._now()
        # Here, as in torch's OneCycleLR: every way to step a scheduler leads through get_lr.
        self._set_momentum(now)
        return [values.lr for values in now]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state, with its LR and momentum at once.

        The optimizer's state may be loaded before or after: making a scheduler sets its
        optimizer to the first iteration, which this undoes.
        """
        super().load_state_dict(state_dict)
        now = self._now()
        self._set_momentum(now)
        for group, values in zip(self.optimizer.param_groups, now, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(values.lr)
            else:
                group["lr"] = values.lr

    def _set_momentum(self, now: Sequence[_Now]) -> None:
        for group, values in zip(self.optimizer.param_groups, now, strict=True):
            if values.momentum is None:
                continue
            if "betas" in group:
                group["betas"] = (values.momentum, *group["betas"][1:])
            else:
                group["momentum"] = values.momentum

    def _now(self) -> list[_Now]:
        """Return what holds for each group at this iteration."""
        defaults = {parameter.name: parameter.default for parameter in _POLICY.parameters}
        result = []
        for k, (lr, lr_min) in enumerate(zip(self._lr, self._lr_min, strict=True)):
            position = Position(
                iteration=np.array([float(self.last_epoch)]),
                lr=lr,
                lr_min=lr_min,
                per_epoch=None,
                args=defaults | {"stepsize": self._stepsize},
            )
            result.append(_Now(float(_POLICY.lr(position)[0]), self._momentum_at(k, position)))
        return result

    def _momentum_at(self, group: int, position: Position) -> float | None:
        if self._momentum is None:
            return None
        high, low = self._momentum[group], self._lowest_momentum(group)
        if low is None:
            return high
        assert _POLICY.cycle is not None
        return float(high - (high - low) * _POLICY.cycle(position)[0])

    def _lowest_momentum(self, group: int) -> float | None:
        if self._momentum is None or self._momentum_min is None:
            return None
        return self._momentum_min[group]


def _each(name: str, value: float | Sequence[float], groups: int) -> list[float]:
    """Return one value a group."""
    if isinstance(value, int | float):
        return [float(value)] * groups
    if len(value) != groups:
        raise InputError(
            f"{name}: {len(value)} values; the optimizer has {groups} parameter groups; give one "
            "number or one value a group"
        )
    return [float(v) for v in value]


def _check_has_momentum(optimizer: Optimizer, group: dict[str, Any]) -> None:
    if "momentum" not in group and "betas" not in group:
        raise InputError(
            f"momentum: {type(optimizer).__name__} has neither momentum nor betas to move; pass "
            "momentum=None"
        )
