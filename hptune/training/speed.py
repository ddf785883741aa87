"""How fast a trial trains, from a short timed piece of it."""

from __future__ import annotations

import statistics
import time

import torch

from hptune.results.records import Trial
from hptune.task import Task
from hptune.training.device import Device, seeded
from hptune.training.loop import TrialRun

SECONDS = 1.0  # that measuring the speed at a batch size takes, about
MOST = 400  # iterations that are timed: their fast quantile does not move after fewer


def measure_speed(task: Task, trial: Trial, device: Device, *, seconds: float = SECONDS) -> float:
    """Return training examples per second at the trial's batch size.

    A fast quantile over single iterations, after a few that are not timed: other work on the
    machine makes iterations slower, never faster.

    Args:
        task: What to train.
        trial: Its batch size and optimizer are used; nothing of it is recorded.
        device: Where.
        seconds: How long to measure at most, about.
    """
    times = _iterations(task, trial, device, least=8, seconds=seconds)
    return trial.batch_size / statistics.quantiles(times[3:], n=5)[0]


def measure_iteration(task: Task, trial: Trial, device: Device, *, seconds: float = 0.2) -> float:
    """Return the seconds that an iteration of a trial takes, by a quick look; a fast quantile, too.

    Args:
        task: What to train.
        trial: Its batch size and optimizer are used; nothing of it is recorded.
        device: Where.
        seconds: How long to measure, about.
    """
    times = _iterations(task, trial, device, least=4, seconds=seconds)
    return statistics.quantiles(times[1:], n=5)[0]


def _iterations(
    task: Task, trial: Trial, device: Device, *, least: int, seconds: float
) -> list[float]:
    """Return the seconds of single iterations, the first ones slower than the others."""
    times: list[float] = []
    with seeded(trial.seed, device.torch_device):
        run = TrialRun(task, trial, device)
        run.begin()
        batches = run.batches()
        end = time.perf_counter() + seconds
        while len(times) < least or (len(times) < MOST and time.perf_counter() < end):
            began = time.perf_counter()
            run.step(batches)
            if device.torch_device.type == "cuda":
                torch.cuda.synchronize(device.torch_device)
            times.append(time.perf_counter() - began)
    return times
