"""Forward and backward pass over a batch: of a trial alone, or of several at once.

Stacked, the parameters of all trials are one tensor each: the forward pass runs over them by
`torch.func.vmap`, the backward pass once on the sum of their losses. Concurrent, each trial's pass
runs on a stream of the GPU. Where it pays, the pass is recorded and replayed as one CUDA graph.

Shapes: K trials, B examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from hptune.results.records import Trial
from hptune.step import Step
from hptune.task import Batch
from hptune.training.capture import Captured, Pass, new_stream
from hptune.training.device import Device
from hptune.training.model import LossOnBatch
from hptune.training.torch_internals import without_vmap_warnings
from hptune.training.trial_run import TrialRun

How = Literal["alone", "stacked", "concurrent"]


def pass_of(runs: Sequence[TrialRun], how: How, iterations: int) -> Pass:
    """Return the pass of all trials, replayed where it can be and that pays in so many iterations."""
    first, models = runs[0], [run.model for run in runs]
    compute: Pass = first.gradients
    if how == "stacked":
        compute = Stack(models, first.task.step, first.device).gradients
    elif how == "concurrent":
        compute = concurrent(runs)
    if can_be_recorded(first.trial, first.device) and first.device.uses_graph(iterations):
        return Captured(compute, models, first.device.torch_device)
    return compute


def can_be_recorded(trial: Trial, device: Device) -> bool:
    """Say whether a trial's passes can be replayed: one a step, with gradients that need no scaling."""
    return trial.settings.accumulate == 1 and device.dtype is not torch.float16


class Stack:
    """The parameters and buffers of K models in one tensor each; the models' own are views of it.

    Args:
        models: Of one architecture.
        step: Computes the loss of a batch.
        device: Gives the precision.
    """

    def __init__(self, models: Sequence[nn.Module], step: Step, device: Device) -> None:
        self._device = device
        self._base = LossOnBatch(models[0], step)
        parameters, buffers = stack_module_state(list(models))
        self.parameters = {
            name: stacked.detach().contiguous().requires_grad_(stacked.requires_grad)
            for name, stacked in parameters.items()
        }
        self.buffers = {name: stacked.contiguous() for name, stacked in buffers.items()}
        self._own = [dict(model.named_parameters()) for model in models]
        for k, model in enumerate(models):
            for name, own in self._own[k].items():
                own.data = self.parameters[name].detach()[k]
            for name, buffer in model.named_buffers():
                buffer.data = self.buffers[name][k]
        self._wanted = [name for name, p in self.parameters.items() if p.requires_grad]

    def gradients(self, batch: Batch) -> Tensor:
        """Leave each model its gradients on a batch, and return the losses (K,)."""

        def of_one(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
            own = {f"model.{name}": value for name, value in (parameters | buffers).items()}
            loss: Tensor = functional_call(self._base, own, (batch,))
            return loss

        with without_vmap_warnings(), self._device.autocast():
            # Paired trials drop the same activations, as they do one after another.
            losses_K: Tensor = vmap(of_one, randomness="same")(self.parameters, self.buffers)
        wanted = [self.parameters[name] for name in self._wanted]
        stacked = torch.autograd.grad(losses_K.sum(), wanted)
        for name, gradient in zip(self._wanted, stacked, strict=True):
            # Fused optimizers take it for granted that gradients are laid out as parameters are.
            for own, part in zip(self._own, gradient.contiguous().unbind(0), strict=True):
                own[name].grad = part
        return losses_K.detach()


def concurrent(runs: Sequence[TrialRun]) -> Pass:
    """Return the passes of K trials side by side, each on a stream of the GPU; one by one on a CPU."""
    device = runs[0].device.torch_device
    if device.type != "cuda":
        return lambda batch: torch.stack([run.gradients(batch) for run in runs])
    streams = [new_stream(device) for _ in runs]

    def gradients(batch: Batch) -> Tensor:
        here, losses = torch.cuda.current_stream(device), list[Tensor]()
        for run, stream in zip(runs, streams, strict=True):
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                losses.append(run.gradients(batch))
        for stream in streams:
            here.wait_stream(stream)
        return torch.stack(losses)

    return gradients
