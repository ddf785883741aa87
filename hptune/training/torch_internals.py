"""All that hptune uses of torch's private parts, each with what is done where torch has changed it.

- The fused update of SGD and Adam without the Python of their classes, by the kernels that the
  classes call, on the state that the classes own: the same to the bit. Without: their `step`.
- NAdamW on a CPU by AdamW's fused kernel, which torch has none of for NAdam: 0.25 of the time of
  torch's own step on the digits MLP (0.23-0.40, n = 7), 0.32 on ResNet-20 (0.27-0.36), equal but for
  rounding. Without: its `step`.
- Methods of optimizers without their mark for torch's compiler. Calling a marked one imports the
  compiler, 1.0 s a process. Without: the marked ones.
- `vmap` without a warning for each operation that it runs one by one. Without: the warnings.

Measured: the digits MLP (batch 64, SGD) on one thread of a two-core Xeon, torch 2.14, 5 runs of
2,000 iterations in each of 3 processes: 1231 ± 68 iterations/s with the fused update, 1050 ± 43
without it (best of each process, mean ± std; processor time).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from hptune.training.nadamw import NAdamW

QuickStep = Callable[[], bool]
"""Updates the parameters, or returns False where only the class's own step can."""
Group = dict[str, Any]
Update = Callable[[list[Tensor]], None]
"""Updates a group's parameters from their gradients."""

OptimizerClass = type[torch.optim.Optimizer]
Make = Callable[[torch.optim.Optimizer, Group], Update]


def unmarked(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of torch's optimizers as it is without its mark for torch's compiler.

    One of another class is returned as it is: what it is wrapped in may be part of it.
    """
    if not method.__module__.startswith("torch."):
        return method
    plain: Callable[..., Any] = inspect.unwrap(method)
    return plain


@contextmanager
def adding_groups_unmarked() -> Iterator[None]:
    """Let optimizers that are made in the block call `add_param_group` without its mark."""
    marked = torch.optim.Optimizer.add_param_group
    torch.optim.Optimizer.add_param_group = unmarked(marked)  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.optim.Optimizer.add_param_group = marked  # type: ignore[method-assign]


@contextmanager
def without_vmap_warnings() -> Iterator[None]:
    """Let vmap run operations one by one in the block without a warning.

    That they are slow, the executor's probe measures. A filter of Python's warnings would let all
    others be shown again.
    """
    functorch = getattr(torch._C, "_functorch", None)
    enable = getattr(functorch, "_set_vmap_fallback_warning_enabled", lambda wanted: None)
    enable(False)
    try:
        yield
    finally:
        enable(True)


def plain_step(optimizer: torch.optim.Optimizer) -> None:
    """Take a step by the optimizer's class."""
    with torch.no_grad():
        unmarked(type(optimizer).step)(optimizer)


def quick_step(optimizer: torch.optim.Optimizer) -> QuickStep:
    """Return a quick step for an optimizer that has taken its first one, in which it made its state."""
    groups, (make, fits) = optimizer.param_groups, _UPDATES.get(type(optimizer), (None, None))
    if make is None or fits is None or not all(_is_alike(g) and fits(g) for g in groups):
        return never
    try:
        updates = [make(optimizer, group) for group in groups]
    except (AttributeError, KeyError):  # kernels or state that are not what they were
        return never
    parameters = [p for group in groups for p in group["params"]]

    def step() -> bool:
        gradients = [p.grad for p in parameters if p.grad is not None]
        # At momentum 0 SGD leaves its buffers alone.
        if len(gradients) < len(parameters) or 0 in [group.get("momentum") for group in groups]:
            return False
        first = 0
        with torch.no_grad():
            for group, update in zip(groups, updates, strict=True):
                end = first + len(group["params"])
                update(gradients[first:end])
                first = end
        return True

    return step


def never() -> bool:
    """Leave every step to the optimizer's class."""
    return False


def _is_alike(group: Group) -> bool:
    """Return whether a group is one kernel's, in the one form that is handled here."""
    alike = {(p.device, p.dtype) for p in group["params"]}
    unusual = ("differentiable", "capturable", "amsgrad", "maximize")
    return len(alike) == 1 and not any(map(group.get, unusual))


def _is_fused(group: Group) -> bool:
    return bool(group.get("fused"))


def _is_on_cpu(group: Group) -> bool:
    first: Tensor = group["params"][0]
    return first.device.type == "cpu" and first.is_floating_point() and not group["foreach"]


_ADAM_VALUES = ("lr", "weight_decay", "eps")
_SGD_VALUES = ("weight_decay", "momentum", "lr", "dampening", "nesterov")


def _sgd(optimizer: torch.optim.Optimizer, group: Group) -> Update:
    parameters: list[Tensor] = group["params"]
    buffers = [optimizer.state[p]["momentum_buffer"] for p in parameters]
    kernel = torch._fused_sgd_
    if any(buffer is None for buffer in buffers):
        raise KeyError("momentum_buffer")

    def update(gradients: list[Tensor]) -> None:
        kernel(
            parameters,
            gradients,
            buffers,
            **{name: group[name] for name in _SGD_VALUES},
            maximize=False,
            is_first_step=False,
        )

    return update


def _adam(optimizer: torch.optim.Optimizer, group: Group) -> Update:
    parameters: list[Tensor] = group["params"]
    first, second, steps = (
        [optimizer.state[p][name] for p in parameters] for name in ("exp_avg", "exp_avg_sq", "step")
    )
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
            **{name: group[name] for name in _ADAM_VALUES},
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            amsgrad=False,
            maximize=False,
        )

    return update


def _nadamw(optimizer: torch.optim.Optimizer, group: Group) -> Update:
    """Return NAdamW's update as one of AdamW with another beta1 and LR, and a correction of the moment.

    NAdamW steps along A g + B m, where m = b m_before + (1 - b) g. That is S (c m_before + (1 - c) g),
    of which AdamW's kernel makes its step where c is its beta1; it leaves c m_before + (1 - c) g as m.
    """
    parameters: list[Tensor] = group["params"]
    first, second, steps, products = (
        [optimizer.state[p][name] for p in parameters]
        for name in ("exp_avg", "exp_avg_sq", "step", "mu_product")
    )
    if len(set(zip(map(float, steps), map(float, products), strict=True))) > 1:
        raise KeyError("step")  # one LR and one beta1 are not those of all of them
    kernel: Callable[..., None] = torch._fused_adamw_

    def update(gradients: list[Tensor]) -> None:
        torch._foreach_add_(steps, 1)
        (b, beta2), lr = group["betas"], group["lr"]
        torch._foreach_mul_(products, b)
        product, step = float(products[0]), float(steps[0])
        of_gradient, of_moment = (1 - b) / (1 - product), b / (1 - product * b)
        scale = of_moment + of_gradient  # S, for both parts of the step sum to it
        c = of_moment * b / scale
        along = lr * scale * (1 - c**step)
        kernel(
            parameters,
            gradients,
            first,
            second,
            [],
            steps,
            lr=along,
            weight_decay=lr * group["weight_decay"] / along if along else 0.0,
            eps=group["eps"],
            beta1=c,
            beta2=beta2,
            amsgrad=False,
            maximize=False,
        )
        ratio = (
            b / c if c else 1.0
        )  # without momentum the kernel leaves the gradient, as it is to be
        torch._foreach_mul_(first, ratio)
        torch._foreach_add_(first, gradients, alpha=1 - b - (1 - c) * ratio)

    return update


_UPDATES: dict[OptimizerClass, tuple[Make, Callable[[Group], bool]]] = {
    torch.optim.SGD: (_sgd, _is_fused),
    torch.optim.Adam: (_adam, _is_fused),
    torch.optim.AdamW: (_adam, _is_fused),
    NAdamW: (_nadamw, _is_on_cpu),
}
