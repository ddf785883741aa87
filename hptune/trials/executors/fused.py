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
from torch import Tensor

from hptune.errors import HptuneError, one_line
from hptune.results.records import Status, Trial, TrialProgress, TrialResult
from hptune.task import Batch, Task
from hptune.training.capture import Captured, Pass
from hptune.training.device import Device, reseed, seeded
from hptune.training.loop import BLOCK, OnProgress, TrialRun
from hptune.trials.executors.job import Job, run_job
from hptune.trials.executors.passes import Stack, Streams

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
    at_end_of_block = {
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
            if end := at_end_of_block[run.trial.id](iteration, own):
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
