"""Compiled models in a run's sweeps: tried once a task and batch size, where that can be repaid."""

from __future__ import annotations

from collections.abc import Sequence

from hptune.results.records import Trial
from hptune.task import Task
from hptune.training.compiling import Measured, choose_compiled, may_repay, measure_compiled
from hptune.training.model import make_model
from hptune.trials.executors.execution import Execution
from hptune.trials.executors.inline import inline_seconds


def compile_where_repaid(execution: Execution, task: Task, trials: Sequence[Trial]) -> None:
    """Let the models of trials be compiled from a sweep on whose planned iterations repay that.

    By itself on a GPU alone: on a CPU it saved 15 % of ResNet-20 and nothing of smaller nets, after
    minutes (docs/speed.md).
    """
    device, wanted = execution.device, execution.compiles
    by_itself = wanted == "auto" and device.torch_device.type == "cuda"
    decided = device.compile_from_iteration is not None
    if (
        task.loop is not None
        or device.ranks.size > 1
        or decided
        or not (wanted is True or by_itself)
    ):
        return
    first = trials[0]
    planned = sum(trial.iterations for trial in trials if trial.batch_size == first.batch_size)
    key = f"compiled/{task.fingerprint}/{device.key}/{first.batch_size}"
    measured: Measured | None = execution.run_dir.timing(key)
    if not isinstance(measured, dict):
        if by_itself and not _may_repay(execution, task, trials, planned):
            return
        measured = measure_compiled(task, first, device)
        execution.run_dir.set_timing(key, measured)
    if measured["why"]:
        execution.tell_once(f"  the model is trained as it is: not compiled, {measured['why']}")
    execution.device = choose_compiled(
        device, measured, first.batch_size, planned, forced=wanted is True
    )
    if execution.device is not device:
        execution.run_dir.add_fact("compiled", True)


def _may_repay(execution: Execution, task: Task, trials: Sequence[Trial], planned: int) -> bool:
    with execution.measurements(task) as measured:
        seconds = min(inline_seconds(measured, task, trials, execution.device).values())
    return may_repay(make_model(task, execution.device), planned, seconds)
