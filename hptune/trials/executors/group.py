"""Groups of trials that are trained as one, and what a group does where it cannot be.

What the trials of a group share is the pass over a batch (`hptune.training.passes`). The rest is
each trial's own: optimizer step, divergence, readings of the validation set, snapshots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hptune.errors import HptuneError, one_line
from hptune.results.records import TrialResult
from hptune.task import Task
from hptune.training.device import Device
from hptune.training.loop import run_lanes, run_trial
from hptune.training.passes import How
from hptune.training.trial_run import Job
from hptune.trials.executors.executor import Listener


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
        trial, settings = job.trial, job.trial.settings
        if settings.accumulate > 1 or trial.snapshot:
            kind: tuple[Any, ...] = (trial.id,)
        else:
            lengths = (trial.iterations, trial.batch_size, job.until)
            kind = (trial.seed, *lengths, str(trial.optimizer), str(settings))
        alike.setdefault(kind, []).append(job)
    return [
        group[start : start + size]
        for group in alike.values()
        for start in range(0, len(group), size)
    ]


def can_fuse(task: Task, device: Device) -> bool:
    """Say whether trials of a task can be trained as one at all on a device."""
    bf16_on_gpu = device.dtype is torch.bfloat16 and device.torch_device.type == "cuda"
    return task.step.stackable and (device.dtype is torch.float32 or bf16_on_gpu)


def run_group(
    task: Task, group: Sequence[Job], device: Device, how: How, listener: Listener
) -> Iterator[tuple[Job, TrialResult]]:
    """Yield the jobs of a group with their results; one after another where they cannot be fused.

    Raises:
        HptuneError: Wrong for every trial; so is an OSError.
    """
    left = {job.trial.id: job for job in group}
    if len(group) > 1 and can_fuse(task, device):
        try:
            for job, result in run_lanes(task, group, device, listener.progressed, how):
                del left[job.trial.id]
                yield job, result
        except (HptuneError, OSError):
            raise
        except Exception as error:  # an operation that does not batch, or a bug
            listener.message(
                f"  trials cannot be trained as one ({type(error).__name__}: {one_line(error)}); "
                "they are trained one after another"
            )
    for job in left.values():
        yield job, run_trial(task, job, device, listener.progressed)
