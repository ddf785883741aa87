"""Compiled models in a run's sweeps: tried once a task and batch size, where that can be repaid."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hptune.results.records import Trial
from hptune.task import Task
from hptune.training.compiling import SAVES, START, choose_compiled, may_repay, measure_compiled
from hptune.training.device import seeded
from hptune.trials.executors.execution import Execution
from hptune.trials.executors.executor import Executor
from hptune.trials.executors.group import ALONE, Group
from hptune.trials.executors.inline import inline_seconds


def compile_where_repaid(
    execution: Execution, task: Task, trials: Sequence[Trial], executor: Executor
) -> bool:
    """Let the models of trials be compiled from a sweep on whose planned iterations repay that.

    By itself on a GPU alone, as on a CPU it takes minutes to save little (docs/speed.md), and of
    trials that are not stacked, as a stack is not compiled.

    Args:
        execution: Its device is set anew where models are to be compiled.
        task, trials: The sweep.
        executor: That was chosen for it.

    Returns:
        Whether the device was set anew.
    """
    device, forced = execution.device, execution.compiles is True
    decided = device.compile_from_iteration is not None or device.ranks.size > 1
    may_be = forced or (execution.compiles == "auto" and device.torch_device.type == "cuda")
    if task.loop is not None or decided or not may_be:
        return False
    group: Group = getattr(executor, "group", ALONE)
    stacked = group.size > 1 and group.how == "stacked" and len(trials) > 1
    size = trials[0].batch_size
    planned = sum(trial.iterations for trial in trials if trial.batch_size == size)
    key = f"compiled/{task.fingerprint}/{device.key}/{size}"
    measured = execution.run_dir.timing(key)
    if not isinstance(measured, dict):
        if not forced and (stacked or not _may_repay(execution, task, trials, planned)):
            return False
        execution.tell_once("  torch.compile is tried, which may take minutes")
        measured = measure_compiled(task, trials[0], device)
        execution.run_dir.set_timing(key, measured)
    if measured["why"]:
        execution.tell_once(f"  models are trained as they are, not compiled: {measured['why']}")
    execution.device = choose_compiled(device, measured, size, planned, forced=forced)
    if execution.device is device:
        return False
    execution.run_dir.add_fact("compiled", True)
    return True


def _may_repay(execution: Execution, task: Task, trials: Sequence[Trial], planned: int) -> bool:
    with execution.measurements(task) as measured:
        seconds = min(inline_seconds(measured, task, trials, execution.device).values())
    if SAVES * planned * seconds <= START:  # whatever the model
        return False
    with seeded(trials[0].seed, torch.device("cpu")):
        return may_repay(task.make_model(), planned, seconds)
