"""Forward and backward pass over a batch: of a trial alone, or of several at once.

Stacked, the parameters of all trials are one tensor each: the forward pass runs over them by
`torch.func.vmap`, the backward pass once on the sum of their losses. Concurrent, each trial's pass
runs on a stream of the GPU. Where it pays, the pass is recorded and replayed as one CUDA graph, and
the optimizers' steps with it where they can be.

Shapes: K trials, B examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from hptune.results.records import Trial
from hptune.step import Step
from hptune.task import Batch, Resident
from hptune.training.capture import Captured, Pass, new_stream
from hptune.training.device import Device
from hptune.training.model import LossOnBatch
from hptune.training.torch_internals import without_vmap_warnings
from hptune.training.trial_run import TrialRun

How = Literal["alone", "stacked", "concurrent"]
OnBatch = Callable[[TrialRun, Batch], Tensor]
"""What a trial does with a batch; it returns the loss, detached."""


def pass_of(runs: Sequence[TrialRun], how: How, iteration: int) -> Pass:
    """Return the pass of all trials from an iteration on, replayed where it can be and that pays.

    It takes the step of a trial, too, whose optimizer is on the device. It is given choices where
    batches are read in it: see `reads`.
    """
    for run in runs:
        run.optimizer.step_from_host()
    first, computing = runs[0], _Computing(runs, how, reads=reads(runs[0], iteration))
    if not is_recorded(first, iteration):
        return computing.gradients
    # Sharpness-aware steps are of two passes each; noise is drawn anew by the host for each step.
    if (
        first.device.graph_steps
        and not {"sam", "gradient_noise"} & first.trial.settings.methods.keys()
    ):
        return Stepping(runs, computing, iteration)
    return _captured(runs, computing.gradients)


def can_be_recorded(trial: Trial, device: Device) -> bool:
    """Say whether a trial's passes can be replayed: one a step, with gradients that need no scaling."""
    return trial.settings.accumulate == 1 and device.dtype is not torch.float16


def is_recorded(run: TrialRun, iteration: int) -> bool:
    """Say whether the passes of a trial are recorded from an iteration on."""
    left = run.trial.iterations - iteration
    return can_be_recorded(run.trial, run.device) and run.device.uses_graph(left)


def reads(run: TrialRun, iteration: int) -> bool:
    """Say whether the passes read their batches themselves: as part of what is recorded."""
    return isinstance(run.train_data, Resident) and is_recorded(run, iteration)


def _captured(runs: Sequence[TrialRun], compute: Pass, changed: Sequence[Tensor] = ()) -> Captured:
    return Captured(compute, [run.model for run in runs], runs[0].device.torch_device, changed)


class _Computing:
    """The passes of all trials, without their steps or with them."""

    def __init__(self, runs: Sequence[TrialRun], how: How, *, reads: bool) -> None:
        first = runs[0]
        self.gradients: Pass = first.gradients
        self.steps: Pass = first.step_on
        if how == "stacked":
            stack = Stack([run.model for run in runs], first.task.step, first.device)
            self.gradients, self.steps = stack.gradients, partial(_stepping, runs, stack.gradients)
        elif how == "concurrent":
            self.gradients = concurrent(runs, TrialRun.gradients)
            self.steps = concurrent(runs, TrialRun.step_on)
        if reads:
            assert isinstance(first.train_data, Resident)
            read = first.train_data.read
            self.gradients = partial(_reading, read, self.gradients)
            self.steps = partial(_reading, read, self.steps)


class Stepping:
    """Passes that take the optimizers' steps, too, once each optimizer has its state.

    Args:
        runs: The trials.
        computing: Their passes.
        iteration: Of the first pass.
    """

    def __init__(self, runs: Sequence[TrialRun], computing: _Computing, iteration: int) -> None:
        self._runs, self._computing, self._iteration = runs, computing, iteration
        self._pass: Captured | None = None
        self._begun = False
        self.error: str | None = None

    def __call__(self, batch: Batch) -> Tensor:
        """Return the losses on a batch; see `pass_of`."""
        if not self._begun:
            self._begun = True
            return self._computing.gradients(batch)
        if self._pass is None:
            self._pass = self._recorded(batch)
        return self._pass(batch)

    def _recorded(self, batch: Batch) -> Captured:
        """Return the passes with the steps recorded; without them where that cannot be."""
        rates = slice(self._iteration + 1, None)
        try:
            for run in self._runs:
                # Whoever times steps may take more of them than the trial has.
                run.optimizer.step_on_device(run.rates[rates] or run.rates[-1:])
        except ValueError as error:
            self.error = str(error)
        else:
            steps = [run.optimizer.on_device for run in self._runs]
            changed = [tensor for step in steps if step for tensor in step.changed]
            with_steps = _captured(self._runs, self._computing.steps, changed)
            with_steps.record(batch)
            if with_steps.error is None:
                return with_steps
            self.error = with_steps.error
        for run in self._runs:
            run.optimizer.step_from_host()
        return _captured(self._runs, self._computing.gradients)


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


def concurrent(runs: Sequence[TrialRun], each: OnBatch) -> Pass:
    """Return what K trials do side by side, each on a stream of the GPU; one by one on a CPU."""
    device = runs[0].device.torch_device
    if device.type != "cuda":
        return lambda batch: torch.stack([each(run, batch) for run in runs])
    streams = [new_stream(device) for _ in runs]

    def side_by_side(batch: Batch) -> Tensor:
        here, losses = torch.cuda.current_stream(device), list[Tensor]()
        for run, stream in zip(runs, streams, strict=True):
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                losses.append(each(run, batch))
        for stream in streams:
            here.wait_stream(stream)
        return torch.stack(losses)

    return side_by_side


def _reading(read: Callable[[Any], Batch], compute: Pass, choice: Any) -> Tensor:
    return compute(read(choice))


def _stepping(runs: Sequence[TrialRun], compute: Pass, batch: Batch) -> Tensor:
    """Compute all gradients, and take the step of each trial from them."""
    losses = compute(batch)
    for run in runs:
        run.step()
    return losses
