"""The loss on a process's part of a batch, whose backward pass leaves the gradient of the whole batch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hptune.results.records import Trial
from hptune.step import Step
from hptune.task import Batch
from hptune.training.capture import as_before
from hptune.training.compiled import CompiledLoss
from hptune.training.device import Device
from hptune.training.model import LossOnBatch


def loss_on_batches(
    model: nn.Module, step: Step, device: Device, trial: Trial
) -> Callable[[Batch], Tensor]:
    """Return what computes a model's loss on a batch, or on this process's part of one."""
    if device.ranks.joined:
        return SharedGradients(LossOnBatch(model, step), device, trial.settings.accumulate)
    if device.compiles(trial.batch_size, trial.iterations):
        return CompiledLoss(model, step, device.torch_device)
    return lambda batch: step(model, batch)[0]


class SharedGradients:
    """Wraps a model's loss so that all processes of a trial get the mean of their gradients.

    Whether a model leaves parameters unused, which takes a longer way, shows in a first pass that
    leaves no trace.

    Args:
        loss: A module that returns the loss on a batch.
        device: Of this process.
        accumulate: Passes of a step, in the last of which the gradients are shared.
    """

    def __init__(self, loss: nn.Module, device: Device, accumulate: int) -> None:
        self._loss, self._device, self._accumulate = loss, device, accumulate
        self._parallel: DistributedDataParallel | None = None
        self._passes = 0

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss on this process's part of a batch."""
        if self._parallel is None:
            unused = self._leaves_unused(batch)
            self._parallel = DistributedDataParallel(self._loss, find_unused_parameters=unused)
        self._passes += 1
        is_last = self._passes % self._accumulate == 0
        with nullcontext() if is_last else self._parallel.no_sync():
            loss: Tensor = self._parallel(batch)
        return loss

    def _leaves_unused(self, batch: Batch) -> bool:
        """Say whether a pass of any process leaves a parameter without a gradient."""
        place = self._device.torch_device
        parameters = [p for p in self._loss.parameters() if p.requires_grad]
        with as_before(list(self._loss.buffers()), parameters, place):
            self._loss(batch).backward()
            unused = sum(parameter.grad is None for parameter in parameters)
        return bool(self._device.ranks.total(torch.tensor(unused, device=place)) > 0)
