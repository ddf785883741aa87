"""LR, momentum and weight decay of a trial in optimizers of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor

from hptune.errors import InputError
from hptune.own_loop.assignment import Rates

Group = dict[str, Any]


class Optimizer(Protocol):
    """What is driven: a torch optimizer, or whatever wraps one and shows its parameter groups."""

    @property
    def param_groups(self) -> list[Group]:
        """The groups, as torch has them."""


class Schedule:
    """Drives the parameter groups of optimizers: each keeps its ratio to the first one's LR.

    It has what torch's schedulers have, so frameworks take it in the place of one.

    Args:
        optimizers: Whose groups are driven.
        rates: LR and momentum of every iteration; the last one holds on.
        weight_decay: Of the groups that decay most. A group without weight decay beside groups with
            it stays without; where none has any, all get it.
        reference: The LR that stands for the rates' own; None for the first group's.
        moves_momentum: Whether momentum, or beta1, follows too.
        next_one: Says which iteration comes next; by default each step is one.

    Attributes:
        last_epoch: The iteration whose LR is set, as torch's schedulers call it.

    Raises:
        InputError: There is no group, or no LR to keep ratios to.
    """

    def __init__(
        self,
        optimizers: Sequence[Optimizer],
        rates: Rates,
        *,
        weight_decay: float,
        reference: float | None = None,
        moves_momentum: bool = True,
        next_one: Callable[[], int] | None = None,
    ) -> None:
        self._rates, self._moves_momentum = rates, moves_momentum
        self._optimizers, self._next_one = optimizers, next_one
        groups = self._groups()
        self.reference = _lr_of(groups[0]) if reference is None else reference
        if not self.reference > 0:
            raise InputError(
                f"schedule: LR {self.reference:g} in the optimizer's first group; must be above 0, "
                "for the groups keep their ratios to it; give lr=trial.lr"
            )
        self._ratios: list[list[float]] = [[] for _ in optimizers]
        self.has_betas = any("betas" in group for group in groups)
        self.has_momentum = moves_momentum and any(map(_has_momentum, groups))
        decaying = [group for group in groups if "weight_decay" in group]
        self.has_weight_decay = bool(decaying)
        most = max((float(group["weight_decay"]) for group in decaying), default=0.0)
        for group in decaying:
            own = float(group["weight_decay"])
            group["weight_decay"] = weight_decay * (own / most if most else 1.0)
        self.last_epoch = 0
        self.go_to(0)

    def step(self, *_: Any) -> None:
        """Set LR and momentum of the next iteration; call it after the optimizer's step."""
        self.go_to(self.last_epoch + 1 if self._next_one is None else self._next_one())

    def go_to(self, iteration: int) -> None:
        """Set LR and momentum of an iteration."""
        self.last_epoch = iteration
        lr, momentum = self._rates[iteration if iteration < len(self._rates) else -1]
        for optimizer, ratios in zip(self._optimizers, self._ratios, strict=True):
            # Asked for anew each time: loading a state puts other groups in their place.
            groups = optimizer.param_groups
            if len(ratios) < len(groups):
                ratios += [_lr_of(group) / self.reference for group in groups[len(ratios) :]]
            for group, ratio in zip(groups, ratios, strict=True):
                if isinstance(group["lr"], Tensor):  # which a captured step reads
                    group["lr"].fill_(lr * ratio)
                else:
                    group["lr"] = lr * ratio
                if not self._moves_momentum:
                    continue
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                elif "momentum" in group:
                    group["momentum"] = momentum

    def get_last_lr(self) -> list[float]:
        """Return the LR of each group."""
        return [float(group["lr"]) for group in self._groups()]

    def state_dict(self) -> dict[str, int]:
        """Return what `load_state_dict` takes."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where another one was."""
        self.go_to(state["last_epoch"])

    @property
    def parameters(self) -> list[Tensor]:
        """All that the groups train."""
        return [p for group in self._groups() for p in group.get("params", ())]

    def _groups(self) -> list[Group]:
        for optimizer in self._optimizers:
            if not getattr(optimizer, "param_groups", None):
                raise InputError(
                    f"schedule: a {type(optimizer).__name__}; must be an optimizer, which has "
                    "param_groups; give it the optimizer"
                )
        if not self._optimizers:
            raise InputError("schedule: no optimizer; must be one at least; give it the optimizer")
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]


def name_of(optimizer: Any) -> str:
    """Return the name of an optimizer's class in small letters, of the one within a wrapper."""
    inner = getattr(optimizer, "optimizer", None)
    if inner is not None and hasattr(inner, "param_groups"):
        return name_of(inner)
    return type(optimizer).__name__.lower()


def _lr_of(group: Group) -> float:
    """Return the LR that a group was made with, which schedulers keep under another name."""
    return float(group["initial_lr" if "initial_lr" in group else "lr"])


def _has_momentum(group: Group) -> bool:
    return "betas" in group or "momentum" in group
