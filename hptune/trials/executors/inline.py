"""In this process: one trial, or one group of fused trials, after another."""

from __future__ import annotations

from collections.abc import Sequence

from hptune.results.records import Trial
from hptune.task import Task
from hptune.training.device import Device, cpu_threads
from hptune.training.trial_run import Job
from hptune.trials.executors.execution import Execution
from hptune.trials.executors.executor import Listener, Results
from hptune.trials.executors.group import ALONE, Group, grouped, in_words, run_group
from hptune.trials.executors.probe import best_threads, inline_seconds


class Inline:
    """Runs jobs one after another.

    Args:
        device: Where.
        threads: CPU threads to train with; None, or another device than a CPU, leaves them as they are.
        group: Trials that are trained as one, where they can be.
    """

    def __init__(self, device: Device, threads: int | None = None, group: Group = ALONE) -> None:
        self.threads = threads if device.torch_device.type == "cpu" else None
        self._device, self.group = device, group

    def run(self, task: Task, jobs: Sequence[Job], listener: Listener) -> Results:
        """Yield each job with its result, in the order given but for those trained as one."""
        for group in grouped(jobs, self.group.size):
            for job in group:
                listener.started(job)
            with cpu_threads(self.threads):
                yield from run_group(task, group, self._device, self.group.how, listener)

    @property
    def in_words(self) -> str:
        """The executor with what may move the last bits of a curve."""
        return in_words("inline", self.threads, self.group)

    def close(self) -> None:
        """Nothing was started."""


def make(execution: Execution, task: Task, trials: Sequence[Trial]) -> Inline:
    """Return one that computes with as many threads as is fastest."""
    with execution.measurements(task) as measured:
        threads, _ = best_threads(inline_seconds(measured, task, trials, execution.device))
    return Inline(execution.device, threads)
