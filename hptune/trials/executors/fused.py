"""Fused: trials of one model in groups that are trained as one, where they learn in them as alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import torch

from hptune.results.records import Trial
from hptune.task import Task
from hptune.training.device import Device, cpu_threads, seeded
from hptune.training.loop import Lanes
from hptune.training.passes import How
from hptune.training.speed import timed_steps
from hptune.training.trial_run import Job, TrialRun
from hptune.trials.executors import inline, processes
from hptune.trials.executors.execution import Execution, devices
from hptune.trials.executors.executor import Executor
from hptune.trials.executors.group import Group, can_fuse
from hptune.trials.executors.inline import Inline

GROUP = 16  # trials that are fused at most
FEWEST_FUSED = 4  # trials in a group: of fewer, less is gained than was measured
MEASURED_GROUP = 8
CHECKED = 4  # iterations in which fused trials are compared with each alone, and timed
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.02}  # of a loss


def make(execution: Execution, task: Task, trials: Sequence[Trial]) -> Executor:
    """Return one that trains groups in this process, or on as many GPUs as there are jobs."""
    with execution.measurements(task) as measured:
        if "fuses" not in measured and len(trials) > 1:
            with cpu_threads(1):
                seconds = group_seconds(task, trials[0], execution.device, 2, "stacked")
            measured["fuses"] = seconds is not None
            if seconds is None:
                execution.tell(
                    "  trials of this task do not learn as one what they learn alone; they are "
                    "trained one after another"
                )
    if not measured.get("fuses", True):
        return inline.make(execution, task, trials)
    places = devices(execution.device, execution.jobs)[: math.ceil(len(trials) / FEWEST_FUSED)]
    if len(places) > 1:
        return processes.workers(execution, places, Group(GROUP))
    return Inline(execution.device, 1, Group(GROUP))


def fastest_group(task: Task, trial: Trial, device: Device) -> tuple[float, Group] | None:
    """Return the seconds that an iteration takes for each of the fused trials, if they can be.

    A GPU takes no more trials at once than it was measured with.
    """
    on_cpu = device.torch_device.type == "cpu"
    ways: tuple[How, ...] = ("stacked",)
    if device.uses_graph(trial.iterations):
        ways += ("concurrent",)
    for size in (MEASURED_GROUP,) if on_cpu else (MEASURED_GROUP, FEWEST_FUSED):
        with cpu_threads(1):
            found = [(group_seconds(task, trial, device, size, how), how) for how in ways]
        if times := [(seconds / size, how) for seconds, how in found if seconds is not None]:
            seconds, how = min(times)
            return seconds, Group(GROUP if on_cpu else size, how)
        if not on_cpu:
            torch.cuda.empty_cache()  # so many may have been too many
    return None


def group_seconds(task: Task, trial: Trial, device: Device, size: int, how: How) -> float | None:
    """Return the seconds that an iteration takes for so many trials that are trained as one.

    None where they cannot be, or do not learn as a trial alone does: where a trial's layout in memory
    matters, as for dropout between convolutions.
    """
    if not can_fuse(task, device):
        return None
    jobs = [Job(trial.change(lr=trial.lr / (k + 1), lr_min=None)) for k in range(size)]

    launched = replace(device, graph_from_iteration=None)

    def losses(lanes: Lanes) -> torch.Tensor:
        return torch.stack([lanes.step() for _ in range(CHECKED)])

    try:
        with seeded(trial.seed, device.torch_device):
            # Made one after another: each begins with the random numbers of its seed.
            alone = torch.stack(
                [losses(Lanes([TrialRun(task, job, launched)])) for job in jobs[:2]], 1
            )
            lanes = Lanes([TrialRun(task, job, device) for job in jobs], how)
            together = losses(lanes)[:, :2]
            if not torch.allclose(alone, together, rtol=TOLERANCE[device.dtype], atol=1e-5):
                return None
            return min(seconds for seconds, _ in islice(timed_steps(lanes), CHECKED))
    except Exception:  # an operation that does not batch; an error is told when the trials run
        return None
