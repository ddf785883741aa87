"""The report's 1cycle for a training loop of one's own, as a `torch.optim.lr_scheduler`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, PlainValidator
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from hptune.checked import CountNumber, WholeNumber, checked, plain
from hptune.errors import InputError
from hptune.policies import complete, evaluate, find_policy
from hptune.policies.position import STEPSIZE, Position

__all__ = ["OneCycle"]

_POLICY = find_policy("1cycle")


def _optimizer(given: Any) -> Any:
    if isinstance(given, Optimizer):
        return given
    raise ValueError("must be an optimizer that is made already; give torch.optim.SGD(...), say")


def _rates(given: Any) -> Any:
    values = given if isinstance(given, list | tuple) else [given]
    for value in map(plain, values):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (number and 0 <= value < np.inf):
            raise ValueError("must be a number of at least 0, or one a parameter group; correct it")
    return [plain(value) for value in given] if isinstance(given, list | tuple) else plain(given)


_Rates = Annotated[float | Sequence[float] | None, PlainValidator(_rates)]


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

    @checked
    def __init__(
        self,
        optimizer: Annotated[Optimizer, PlainValidator(_optimizer)],
        *,
        iterations: CountNumber,
        lr: _Rates = None,
        lr_min: _Rates = None,
        momentum: _Rates = 0.95,
        momentum_min: _Rates = 0.85,
        stepsize: Annotated[Any, BeforeValidator(plain)] = STEPSIZE,
        last_epoch: WholeNumber = -1,
    ) -> None:
        groups = optimizer.param_groups
        # A group keeps the LR it had before any scheduler under "initial_lr".
        own = [float(group.get("initial_lr", group["lr"])) for group in groups]
        given = {"lr": own if lr is None else lr, "lr_min": lr_min}
        given |= {"momentum": momentum, "momentum_min": momentum_min}
        columns = [_each(name, value, len(groups)) for name, value in given.items()]
        self._given = list(zip(*columns, strict=True))
        if momentum is not None and not all("momentum" in g or "betas" in g for g in groups):
            raise InputError(
                f"momentum: {type(optimizer).__name__} has neither momentum nor betas to move; pass "
                "momentum=None"
            )
        if last_epoch >= 0 and not all("initial_lr" in group for group in groups):
            raise InputError(
                f"last_epoch: {last_epoch}; the optimizer's groups have no initial_lr, so it was not "
                "restored; load its state_dict first"
            )
        args = complete(_POLICY, {"stepsize": stepsize})
        run = Position(np.zeros(iterations), 1.0, None, None, args)
        self._args = args | {"stepsize": run.length("stepsize")}
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """Return the LR of each group at this iteration, and set its momentum."""
        at = np.array([float(self.last_epoch)])
        lrs: list[float | Tensor] = []
        for group, given in zip(self.optimizer.param_groups, self._given, strict=True):
            lr, lr_min, momentum, momentum_min = given
            position = Position(at, lr, lr_min, None, self._args)
            lowest = None if momentum is None else momentum_min
            now = evaluate(_POLICY, position, momentum or 0.0, lowest)
            lrs.append(float(now.lr[0]))
            # Here, as in torch's OneCycleLR: every way to step a scheduler leads through get_lr.
            if momentum is not None and "betas" in group:
                group["betas"] = (float(now.momentum[0]), *group["betas"][1:])
            elif momentum is not None:
                group["momentum"] = float(now.momentum[0])
        return lrs

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state, with its LR and momentum at once.

        The state's cycle holds, as it does with torch's schedulers; a warning says where this
        scheduler was made with another. For a new length, leave the state out and give
        `last_epoch`. The optimizer's state may be loaded before or after: making a scheduler sets
        its optimizer to the first iteration, which this undoes.
        """
        if not isinstance(state_dict, Mapping) or not {"_args", "_given"} <= state_dict.keys():
            raise InputError(
                "state_dict: none of an hptune.schedulers.OneCycle; must be what its state_dict() gave; "
                "give that, or make the scheduler with last_epoch"
            )
        self._warn_of_another_cycle(state_dict)
        super().load_state_dict(state_dict)
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def _warn_of_another_cycle(self, state: Mapping[str, Any]) -> None:
        own, held = self._args["stepsize"], state["_args"]["stepsize"]
        given, theirs = (np.array(values, dtype=float) for values in (self._given, state["_given"]))
        if own != held:
            what = f"half a cycle is {own:g} iterations here and {held:g} in the state"
        elif not np.array_equal(given, theirs, equal_nan=True):
            what = "LR or momentum here are not those of the state"
        else:
            return
        warnings.warn(
            f"OneCycle: {what}; the state's cycle holds, with LR at its lowest after {2 * held:g} "
            "iterations; for another one load the optimizer's state alone and give "
            f"last_epoch={state['last_epoch'] - 1}",
            stacklevel=3,
        )


def _each(name: str, value: float | Sequence[float] | None, groups: int) -> list[float | None]:
    """Return one value a group."""
    if value is None or isinstance(value, int | float):
        return [value] * groups
    if len(value) != groups:
        raise InputError(
            f"{name}: {len(value)} values; the optimizer has {groups} parameter groups; give one "
            "number or one value a group"
        )
    return list(value)
