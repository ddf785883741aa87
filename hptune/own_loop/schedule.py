"""LR, momentum and weight decay of a trial in optimizers of the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from hptune.errors import InputError
from hptune.own_loop.assignment import Rates

Group = dict[str, Any]


class Optimizer(Protocol):
    """What is driven: a torch optimizer, or whatever wraps one and shows its parameter groups."""

    param_groups: list[Group]


class Schedule:
    """Drives the parameter groups of optimizers: each keeps its ratio to the first one's LR.

    It has what torch's schedulers have, so frameworks take it in the place of one.

    Args:
        optimizers: Whose groups are driven.
        rates: LR and momentum of every iteration; the last one holds on.
        weight_decay: Of the groups that decay most. A group without weight decay beside groups with
            it stays without; where none has any, all get it.
        reference: The LR that the first driven group was made with.
        moves_momentum: Whether momentum, or beta1, follows too.
    """

    def __init__(
        self,
        optimizers: Sequence[Optimizer],
        rates: Rates,
        *,
        weight_decay: float,
        reference: float,
        moves_momentum: bool = True,
    ) -> None:
        self._rates, self._moves_momentum, self.last_epoch = rates, moves_momentum, 0
        self._groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        if not self._groups:
            raise InputError(
                "trial.schedule: the optimizer has no parameter groups; must be one of "
                "torch.optim or shaped alike; give it the optimizer"
            )
        self._ratios = [_number(group["lr"]) / reference for group in self._groups]
        self.has_betas = any("betas" in group for group in self._groups)
        self.has_momentum = moves_momentum and any(map(_has_momentum, self._groups))
        self.has_weight_decay = any("weight_decay" in group for group in self._groups)
        decays = [_number(group.get("weight_decay", 0.0)) for group in self._groups]
        most = max(decays)
        for group, own in zip(self._groups, decays, strict=True):
            if "weight_decay" in group:
                group["weight_decay"] = weight_decay * (own / most if most else 1.0)
        self.go_to(0)

    def step(self, *_: Any) -> None:
        """Set LR and momentum of the next iteration; call it after the optimizer's step."""
        self.go_to(self.last_epoch + 1)

    def go_to(self, iteration: int) -> None:
        """Set LR and momentum of an iteration."""
        self.last_epoch = iteration
        lr, momentum = self._rates[min(iteration, len(self._rates) - 1)]
        for group, ratio in zip(self._groups, self._ratios, strict=True):
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
        return [_number(group["lr"]) for group in self._groups]

    def state_dict(self) -> dict[str, int]:
        """Return what `load_state_dict` takes."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where another one was."""
        self.go_to(state["last_epoch"])

    @property
    def parameters(self) -> list[Tensor]:
        """All that the groups train."""
        return [p for group in self._groups for p in group.get("params", ())]


def name_of(optimizer: Any) -> str:
    """Return the name of an optimizer's class in small letters, of the one within a wrapper."""
    inner = getattr(optimizer, "optimizer", None)
    if inner is not None and hasattr(inner, "param_groups"):
        return name_of(inner)
    return type(optimizer).__name__.lower()


def _has_momentum(group: Group) -> bool:
    return "betas" in group or "momentum" in group


def _number(value: Any) -> float:
    return float(value)
