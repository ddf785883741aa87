"""A fresh model of a task, where and as it trains fastest, and what a model factory must be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from hptune.errors import InputError, one_line
from hptune.step import Step
from hptune.task import Batch, Task
from hptune.training.device import Device
from hptune.training.freezing import parts


class LossOnBatch(nn.Module):
    """A model's loss on a batch as a module, so that wrappers see all that a step reads of the model."""

    def __init__(self, model: nn.Module, step: Step) -> None:
        super().__init__()
        self.model, self._step = model, step

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss, ()."""
        return self._step(self.model, batch)[0]


def make_model(task: Task, device: Device) -> nn.Module:
    """Make a fresh model on the device, in the memory layout that convolutions run fastest in.

    What never trains of it is frozen.
    """
    model = task.make_model().to(device.torch_device)
    if task.channels_last:
        model = nn.utils.convert_conv2d_weight_memory_format(model, torch.channels_last)
    if task.freeze is not None and not task.freeze.release:
        for part in parts(model, task.freeze):
            part.freeze()
    return model


def fresh_models(make_model: Callable[..., nn.Module]) -> tuple[nn.Module, nn.Module]:
    """Call a model factory twice: one model to describe, one to try on the CPU.

    Raises:
        InputError: It is no factory: a model, something else, or one that gives the same model twice.
    """
    if isinstance(make_model, nn.Module) or not callable(make_model):
        kind = type(make_model).__name__
        call = f"{kind}(...)" if isinstance(make_model, nn.Module) else "Net(...)"
        raise InputError(
            f"make_model: a {kind}; must be a function that makes a fresh model for each trial; "
            f"give lambda: {call}"
        )
    try:
        net, other = make_model(), make_model()
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"make_model: fails ({type(error).__name__}: {one_line(error)}); must return a model when "
            "called without arguments; give lambda: Net(...)"
        ) from error
    if not isinstance(net, nn.Module):
        raise InputError(
            f"make_model: returns a {type(net).__name__}; must return a torch.nn.Module; correct it"
        )
    if net is other or {id(p) for p in net.parameters()} & {id(p) for p in other.parameters()}:
        raise InputError(
            "make_model: gives the same parameters each time; must make fresh ones, or trials would "
            "train one model after the other; build the model inside the function"
        )
    return net, other.cpu()


def initialize_lazy(
    make_model: Callable[..., nn.Module], step: Step, batch: Batch, **args: Any
) -> nn.Module:
    """Return a fresh model whose lazy parameters have their shapes, from a first batch on the CPU."""
    net = make_model(**args).cpu().eval()
    with torch.no_grad():
        step(net, batch)
    return net.train()


def supports_channels_last(net: nn.Module, step: Step, batch: Batch) -> bool:
    """Say whether a model with convolutions still runs when these are in channels-last layout.

    Leaves them so.
    """
    if not any(isinstance(module, nn.Conv2d) for module in net.modules()):
        return True
    net = nn.utils.convert_conv2d_weight_memory_format(net, torch.channels_last)
    try:
        step(net, batch)
    except Exception:  # a view of what is no longer contiguous
        return False
    return True


def dropout_rate(task: Task) -> float | None:
    """Return the highest rate of the dropout layers that `model.dropout` sets; None without any."""
    with torch.random.fork_rng(devices=[]):
        layers = [m for m in task.make_model().modules() if isinstance(m, _DropoutNd)]
    return max((layer.p for layer in layers), default=None)
