"""Several trials of one model trained as one: their parameters are stacked, their steps are not.

Stacked, the forward pass runs over all of them by `torch.func.vmap`, the backward pass once on the
sum of their losses; each trial then steps with its own optimizer on its slice of the gradients.
Concurrent, on a GPU, each trial's passes run on a stream of its own, and all streams are replayed
as one CUDA graph. All that is left is the trial's own: divergence, readings of the validation set,
snapshots.

Shapes: K trials, B examples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from hptune.errors import HptuneError, one_line
from hptune.results.records import Status, Trial, TrialProgress, TrialResult
from hptune.step import Step
from hptune.task import Batch, Task
from hptune.training.capture import Captured, Pass, new_stream
from hptune.training.device import Device, reseed, seeded
from hptune.training.loop import BLOCK, OnProgress, TrialRun
from hptune.training.torch_internals import without_vmap_warnings
from hptune.trials.executors.job import Job, run_job

CHECKED = 4  # iterations in which fused trials are compared with each alone, and timed
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.02}  # of a loss

ProgressOf = Callable[[Job], OnProgress]
How = Literal["stacked", "concurrent"]


@dataclass(frozen=True)
class Group:
    """How many trials are trained as one at most, and how."""

    size: int = 1
    how: How = "stacked"


ALONE = Group()


def in_words(name: str, threads: int | None, group: Group) -> str:
    """Describe an executor by its name, its CPU threads and its groups."""
    words = [name]
    if threads is not None:
        words.append(f"{threads} thread{'s' if threads > 1 else ''}")
    if group.size > 1:
        how = "fused" if group.how == "stacked" else "on concurrent streams"
        words.append(f"up to {group.size} trials {how}")
    return ", ".join(words)


def grouped(jobs: Sequence[Job], size: int) -> list[list[Job]]:
    """Put jobs that can be trained as one into groups of at most `size`; others stay alone."""
    if size < 2:
        return [[job] for job in jobs]
    alike: dict[Any, list[Job]] = {}
    for job in jobs:
        alike.setdefault(_kind(job) or job.trial.id, []).append(job)
    return [
        group[start : start + size]
        for group in alike.values()
        for start in range(0, len(group), size)
    ]


def can_fuse(task: Task, device: Device) -> bool:
    """Say whether trials of a task can be stacked at all on a device."""
    bf16_on_gpu = device.dtype is torch.bfloat16 and device.torch_device.type == "cuda"
    return task.step.stackable and (device.dtype is torch.float32 or bf16_on_gpu)


def run_group(
    task: Task,
    group: Sequence[Job],
    device: Device,
    progress_of: ProgressOf,
    how: How,
    message: Callable[[str], None],
) -> Iterator[tuple[Job, TrialResult]]:
    """Yield the jobs of a group with their results; one after another where they cannot be fused.

    Raises:
        HptuneError: Wrong for every trial; so is an OSError.
    """
    done: set[str] = set()
    if len(group) > 1 and can_fuse(task, device):
        with seeded(group[0].trial.seed, device.torch_device) as outside:
            runs = _started(task, group, device)
            try:
                told = _outside(outside, progress_of)
                for run, ended in _train(runs, group, told, how) if runs else ():
                    job = next(job for job in group if job.trial is run.trial)
                    done.add(job.trial.id)
                    result = run.finish(*ended, job.checkpoint)
                    with outside():
                        yield job, result
            except (HptuneError, OSError):
                raise
            except Exception as error:  # an operation that does not batch, or a bug
                with outside():
                    message(
                        f"  trials cannot be trained as one ({type(error).__name__}: "
                        f"{one_line(error)}); they are trained one after another"
                    )
    for job in group:
        if job.trial.id not in done:
            yield job, run_job(task, job, device, progress_of(job))


def _outside(
    outside: Callable[[], AbstractContextManager[None]], progress_of: ProgressOf
) -> ProgressOf:
    """Let progress be told with the caller's random states."""

    def told(job: Job) -> OnProgress:
        on_progress = progress_of(job)

        def tell(trial_progress: TrialProgress) -> None:
            with outside():
                on_progress(trial_progress)

        return tell

    return told


class _Loss(nn.Module):
    """A model's loss on a batch as a module, so that whatever a step reads of it can be replaced."""

    def __init__(self, model: nn.Module, step: Step) -> None:
        super().__init__()
        self.model, self._step = model, step

    def forward(self, batch: Batch) -> Tensor:
        return self._step(self.model, batch)[0]


class Stack:
    """The parameters and buffers of K models in one tensor each; the models' own are views of it.

    Args:
        models: Of one architecture.
        step: Computes the loss of a batch.
        device: Gives the precision.
    """

    def __init__(self, models: Sequence[nn.Module], step: Step, device: Device) -> None:
        self._device = device
        self._base = _Loss(models[0], step)
        self._own = [dict(model.named_parameters()) for model in models]
        self.parameters = {
            name: _stacked([own[name].detach() for own in self._own]).requires_grad_(
                parameter.requires_grad
            )
            for name, parameter in self._own[0].items()
        }
        buffers = [dict(model.named_buffers()) for model in models]
        self.buffers = {name: _stacked([b[name] for b in buffers]) for name in buffers[0]}
        for k in range(len(models)):
            for name, own in self._own[k].items():
                own.data = self.parameters[name].detach()[k]
            for name, buffer in buffers[k].items():
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


class Streams:
    """The passes of K trials side by side, each on a stream of the GPU; one by one on a CPU.

    Args:
        runs: The trials.
    """

    def __init__(self, runs: Sequence[TrialRun]) -> None:
        self._runs, self._device = runs, runs[0].device.torch_device
        on_gpu = self._device.type == "cuda"
        self._streams = [new_stream(self._device) for _ in runs] if on_gpu else []

    def gradients(self, batch: Batch) -> Tensor:
        """Leave each model its gradients on a batch, and return the losses (K,)."""
        if not self._streams:
            return torch.stack([run.gradients(batch) for run in self._runs])
        here, losses = torch.cuda.current_stream(self._device), list[Tensor]()
        for run, stream in zip(self._runs, self._streams, strict=True):
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                losses.append(run.gradients(batch))
        for stream in self._streams:
            here.wait_stream(stream)
        return torch.stack(losses)


def _together(runs: Sequence[TrialRun], how: How, iterations: int) -> Pass:
    """Return the pass of all trials, replayed where that pays in so many iterations."""
    device, models, step = runs[0].device, [run.model for run in runs], runs[0].task.step
    if how == "concurrent":
        compute: Pass = Streams(runs).gradients
    else:
        compute = Stack(models, step, device).gradients
    if device.uses_graph(iterations):
        return Captured(compute, models, device.torch_device)
    return compute


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([tensor.contiguous() for tensor in tensors])


def _kind(job: Job) -> tuple[object, ...] | None:
    """Return what fused trials have in common; None where a trial can only be trained alone."""
    trial, settings = job.trial, job.trial.settings
    if settings.accumulate > 1 or trial.snapshot:
        return None
    return (
        trial.seed,
        trial.iterations,
        trial.batch_size,
        str(trial.optimizer),
        str(settings),
        job.until,
    )


def _started(task: Task, group: Sequence[Job], device: Device) -> list[TrialRun]:
    """Make the runs, resumed where they were interrupted; none where they are not at one point."""
    runs = []
    for job in group:
        run = _run(task, job.trial, device)
        run.time_share = 1 / len(group)
        run.resume(job.snapshot)
        runs.append(run)
    first = {run.first_iteration for run in runs}
    return runs if len(first) == 1 and (group[0].until or 1e9) > min(first) else []


def _train(
    runs: list[TrialRun], group: Sequence[Job], progress_of: ProgressOf, how: How
) -> Iterator[tuple[TrialRun, tuple[Status, str]]]:
    """Train all runs, and yield each with how it ended."""
    first = runs[0]
    jobs = {job.trial.id: job for job in group}
    looks = {
        run.trial.id: partial(
            run.end_of_block,
            snapshot=jobs[run.trial.id].snapshot,
            on_progress=progress_of(jobs[run.trial.id]),
            until=jobs[run.trial.id].until,
        )
        for run in runs
    }
    together = _together(runs, how, first.trial.iterations - first.first_iteration)
    batches, losses = first.batches(), list[Tensor]()
    for run in runs:
        run.optimizer.match_layout()
        run.begin()
    for iteration in range(first.first_iteration, first.trial.iterations):
        for run in runs:
            run.optimizer.set(
                float(run.schedule.lr[iteration]), float(run.schedule.momentum[iteration])
            )
        losses.append(_step(together, runs, next(batches)))
        if iteration not in first.evaluate_at and len(losses) < BLOCK:
            continue
        read = torch.stack(losses, 1).tolist()
        losses.clear()
        ended = {}
        for run, own in zip(runs, read, strict=True):
            if end := looks[run.trial.id](iteration, own):
                ended[run.trial.id] = end
        yield from ((run, ended[run.trial.id]) for run in runs if run.trial.id in ended)
        if ended:
            runs = [run for run in runs if run.trial.id not in ended]
            if not runs:
                return
            together = _together(runs, how, first.trial.iterations - iteration - 1)
    yield from ((run, (Status.COMPLETE, "")) for run in runs)


def measure_fused(
    task: Task, trial: Trial, device: Device, *, size: int
) -> tuple[float, How] | None:
    """Return the seconds that an iteration takes for each of so many fused trials, and how.

    Returns:
        None where they cannot be fused, or do not learn as a trial alone does: where its layout
        in memory matters, as for dropout between convolutions, or where batches do.
    """
    if not can_fuse(task, device):
        return None
    trials = [trial.change(lr=trial.lr / (k + 1), lr_min=None) for k in range(size)]
    ways: tuple[How, ...] = (
        ("stacked", "concurrent") if device.uses_graph(trial.iterations) else ("stacked",)
    )
    found = [(_seconds(task, trials, device, how), how) for how in ways]
    return min(((s / size, how) for s, how in found if s is not None), default=None)


def _seconds(task: Task, trials: Sequence[Trial], device: Device, how: How) -> float | None:
    """Return the seconds of an iteration of all trials; None where they do not learn as alone."""
    tolerance = TOLERANCE[device.dtype]
    try:
        with seeded(trials[0].seed, device.torch_device):
            alone = [_first_losses([_run(task, each, device)], how) for each in trials[:2]]
            runs = [_run(task, each, device) for each in trials]
            together = _first_losses(runs, how)
            if not torch.allclose(torch.cat(alone), together[:2], rtol=tolerance, atol=1e-5):
                return None
            return min(_times(runs, how))
    except Exception:  # an operation that does not batch; an error is told when the trials run
        return None


def _run(task: Task, trial: Trial, device: Device) -> TrialRun:
    reseed(trial.seed)
    return TrialRun(task, trial, device)


def _first_losses(runs: Sequence[TrialRun], how: How) -> Tensor:
    """Take a few iterations; return the losses, (K, iterations)."""
    batches = runs[0].batches()
    if len(runs) == 1:
        return torch.stack([runs[0].step(batches) for _ in range(CHECKED)])[None]
    together = _together(runs, how, runs[0].trial.iterations)
    return torch.stack([_step(together, runs, next(batches)) for _ in range(CHECKED)], 1)


def _times(runs: Sequence[TrialRun], how: How) -> list[float]:
    together = _together(runs, how, runs[0].trial.iterations)
    batches, times = runs[0].batches(), list[float]()
    for _ in range(CHECKED + 1):
        began = time.perf_counter()
        _step(together, runs, next(batches)).tolist()
        times.append(time.perf_counter() - began)
    return times[1:]  # the first one may record a graph


def _step(together: Pass, runs: Sequence[TrialRun], batch: Batch) -> Tensor:
    """Take an iteration of all trials; return their losses (K,)."""
    losses_K = together(batch)
    for run in runs:
        run.clip()
        run.optimizer.step()
    return losses_K
