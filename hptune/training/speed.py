"""How fast a trial trains, from a short timed piece of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from statistics import fmean

import torch
from torch import Tensor

from hptune.errors import HptuneError, InputError, TrialError, one_line
from hptune.results.records import Trial
from hptune.task import Task
from hptune.training.device import Device, seeded
from hptune.training.loop import Lanes
from hptune.training.trial_run import Job, TrialRun

SECONDS = 1.0  # that measuring the speed at a batch size takes, about
MOST = 400  # iterations that are timed: their fast quantile does not move after fewer


def measure_iteration(
    task: Task,
    trial: Trial,
    device: Device,
    *,
    seconds: float = 0.2,
    untimed: int = 1,
    undisturbed: bool = True,
) -> float:
    """Return the seconds that an iteration of a trial takes; nothing of it is recorded.

    A fast quantile over single iterations: other work on the machine makes iterations slower, never
    faster. Or their mean, to foresee how long training takes beside that work.

    Args:
        task, trial, device: What to train, and where.
        seconds: How long to measure, about.
        untimed: First iterations that do not count.
        undisturbed: Whether to return the fast quantile, not the mean.

    Raises:
        TrialError: The trial fails. It will again when it is run, and is recorded then.
    """
    if task.loop is not None:
        try:
            taken = task.loop.rehearse(task, trial, device)["iteration_seconds"]
        except InputError as error:
            raise TrialError(str(error)) from error
        if taken is None:
            raise TrialError(f"{task.model}: how long an iteration takes is not known")
        return float(taken)
    times: list[float] = []
    try:
        with seeded(trial.seed, device.torch_device):
            lanes = Lanes([TrialRun(task, Job(trial), device)])
            end = time.perf_counter() + seconds
            for took, _ in timed_steps(lanes):
                times.append(took)
                enough = len(times) >= untimed + 4 and time.perf_counter() > end
                if device.ranks.shared(enough or len(times) >= MOST):
                    break
    except (HptuneError, OSError):
        raise
    except Exception as error:
        raise TrialError(
            f"model {task.model}: fails at batch size {trial.batch_size} after {len(times)} "
            f"iterations ({type(error).__name__}: {one_line(error)})"
        ) from error
    counted = times[untimed:]
    return statistics.quantiles(counted, n=5)[0] if undisturbed else fmean(counted)


def timed_steps(lanes: Lanes) -> Iterator[tuple[float, Tensor]]:
    """Take steps without end; yield the seconds of each, and its losses, still on the device."""
    while True:
        yield timed(lanes.step)


def timed(compute: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Return the seconds that something takes, and its losses, still on the device."""
    began = time.perf_counter()
    losses = compute()
    if losses.is_cuda:
        torch.cuda.synchronize(losses.device)
    return time.perf_counter() - began, losses
