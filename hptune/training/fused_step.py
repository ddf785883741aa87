"""Torch's fused SGD and Adam steps without the Python of their optimizer classes.

For a small net on a CPU that Python takes several times as long as the update itself. The
kernels are those that the classes call, on the state that the classes own, so what is computed
and what a snapshot holds are the same to the bit.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Step = Callable[[], bool]
"""Updates the parameters, or returns False where only the class's own step can."""


def unmarked(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of torch's optimizers as it is without its mark for torch's compiler.

    Calling a marked one imports the compiler for the mark alone, which takes a second or more.
    """
    plain: Callable[..., Any] = inspect.unwrap(method)
    return plain


def first_step(optimizer: torch.optim.Optimizer) -> None:
    """Take an optimizer's first step, in which it makes its state."""
    if type(optimizer) in _MAKERS:
        with torch.no_grad():
            unmarked(type(optimizer).step)(optimizer)
    else:
        optimizer.step()


def fused_step(optimizer: torch.optim.Optimizer) -> Step | None:
    """Return a quick step for an optimizer that has taken its first one; None where there is none."""
    make = _MAKERS.get(type(optimizer))
    if make is None or not all(_is_plain(group) for group in optimizer.param_groups):
        return None
    updates = [make(optimizer, group) for group in optimizer.param_groups]
    known = [update for update in updates if update is not None]
    if len(known) < len(updates):
        return None
    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def step() -> bool:
        gradients = [p.grad for p in parameters if p.grad is not None]
        momenta = [group.get("momentum") for group in optimizer.param_groups]
        # At momentum 0 SGD leaves its buffers alone.
        if len(gradients) < len(parameters) or 0 in momenta:
            return False
        first = 0
        with torch.no_grad():
            for update, count in known:
                update(gradients[first : first + count])
                first += count
        return True

    return step


Group = dict[str, Any]
Update = tuple[Callable[[list[Tensor]], None], int]
"""Updates a group's parameters from their gradients; and how many there are."""


def _is_plain(group: Group) -> bool:
    """Say whether a group uses the fused kernel, in the one form that is handled here."""
    parameters: list[Tensor] = group["params"]
    alike = {(p.device, p.dtype) for p in parameters}
    unusual = ("differentiable", "capturable", "amsgrad", "maximize")
    return bool(group.get("fused")) and len(alike) == 1 and not any(map(group.get, unusual))


def _sgd(optimizer: torch.optim.Optimizer, group: Group) -> Update | None:
    parameters: list[Tensor] = group["params"]
    buffers = [optimizer.state[p].get("momentum_buffer") for p in parameters]
    if any(buffer is None for buffer in buffers):
        return None

    def update(gradients: list[Tensor]) -> None:
        torch._fused_sgd_(
            parameters,
            gradients,
            buffers,
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            lr=group["lr"],
            dampening=group["dampening"],
            nesterov=group["nesterov"],
            maximize=False,
            is_first_step=False,
        )

    return update, len(parameters)


def _adam(optimizer: torch.optim.Optimizer, group: Group) -> Update | None:
    parameters: list[Tensor] = group["params"]
    states = [optimizer.state[p] for p in parameters]
    if not all({"exp_avg", "exp_avg_sq", "step"} <= set(state) for state in states):
        return None
    first, second, steps = ([s[name] for s in states] for name in ("exp_avg", "exp_avg_sq", "step"))
    decoupled = group["decoupled_weight_decay"]
    kernel: Callable[..., None] = torch._fused_adamw_ if decoupled else torch._fused_adam_

    def update(gradients: list[Tensor]) -> None:
        torch._foreach_add_(steps, 1)
        kernel(
            parameters,
            gradients,
            first,
            second,
            [],
            steps,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )

    return update, len(parameters)


_MAKERS = {torch.optim.SGD: _sgd, torch.optim.Adam: _adam, torch.optim.AdamW: _adam}
