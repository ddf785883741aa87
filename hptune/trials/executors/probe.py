"""Short measurements: what an iteration takes alone and in workers, and how many workers fit."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hptune.results.records import Trial
from hptune.task import Task
from hptune.training.device import Device, cpu_threads
from hptune.training.memory import available_memory, estimated_memory
from hptune.training.speed import measure_iteration
from hptune.trials.executors.fused import Group, measure_fused
from hptune.trials.executors.processes import Processes

FEWEST_FUSED = 4  # trials in a group: of fewer, less is gained than was measured
MEASURED_GROUP = 8
SHARE = 0.8  # of the memory there is, for all workers


def seconds_inline(task: Task, trial: Trial, device: Device, threads: int) -> float:
    """Return the seconds that an iteration takes with so many CPU threads."""
    with cpu_threads(threads):
        return measure_iteration(task, trial, device)


def fastest_group(
    task: Task, trial: Trial, device: Device, most: int
) -> tuple[float, Group] | None:
    """Return the seconds that an iteration takes for each of the fused trials, if they can be.

    Args:
        task: What is trained.
        trial: Stands for all.
        device: Where; a GPU takes no more trials at once than it was measured with.
        most: Trials at once.
    """
    with cpu_threads(1):
        if (found := measure_fused(task, trial, device, size=MEASURED_GROUP)) is not None:
            seconds, how = found
            return seconds, Group(
                most if device.torch_device.type == "cpu" else MEASURED_GROUP, how
            )
        if device.torch_device.type == "cpu":
            return None
        torch.cuda.empty_cache()  # so many may have been too many
        found = measure_fused(task, trial, device, size=FEWEST_FUSED)
        return (found[0], Group(FEWEST_FUSED, found[1])) if found else None


def seconds_in_workers(task: Task, trial: Trial, processes: Processes) -> float | None:
    """Return the seconds that an iteration takes while all workers train; None if they cannot."""
    times = processes.each(task, _iteration, trial)
    seconds = [time for time in times if isinstance(time, float)]
    return sum(seconds) / len(times) if len(seconds) == len(times) else None


def workers_that_fit(task: Task, trial: Trial, device: Device, most: int) -> int:
    """Return how many trials fit into the memory at once."""
    there = available_memory(device) if device.torch_device.type == "cpu" else None
    if there is None or most < 2:
        return most
    sample = min(trial.batch_size, 8)
    size = trial.batch_size
    each = estimated_memory(task, device, batch_size=size, at=sample, seed=trial.seed)
    return max(1, min(most, math.floor(SHARE * there / max(each, 1))))


def usable_cores() -> int:
    """Return the cores that this process may use, by affinity and by its control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores or 1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no control groups, or no limit
        return cores or 1


def _iteration(
    task: Task, trial: Trial, device: Device, report: Callable[[Any], None]
) -> float | None:
    """Measure in a worker; None where the trial cannot run at all."""
    try:
        return measure_iteration(task, trial, device)
    except Exception:  # told when the trial runs
        return None
