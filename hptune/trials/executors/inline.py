"""In this process: one trial, or one group of fused trials, after another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from hptune.task import Task
from hptune.training.device import Device, cpu_threads
from hptune.training.loop import OnProgress
from hptune.trials.executors.fused import ALONE, Group, grouped, in_words, run_group
from hptune.trials.executors.job import Job, Listener, Results


class Inline:
    """Runs jobs one after another.

    Args:
        device: Where.
        threads: CPU threads to train with; None leaves them as they are.
        group: Trials that are trained as one, where they can be.
    """

    def __init__(self, device: Device, threads: int | None = None, group: Group = ALONE) -> None:
        self._device, self.threads, self.group = device, threads, group

    def run(self, task: Task, jobs: Sequence[Job], listener: Listener) -> Results:
        """Yield each job with its result, in the order given but for those trained as one."""

        def progress_of(job: Job) -> OnProgress:
            return partial(listener.progressed, job)

        for group in grouped(jobs, self.group.size):
            for job in group:
                listener.started(job)
            with cpu_threads(self.threads):
                yield from run_group(
                    task, group, self._device, progress_of, self.group.how, listener.message
                )

    @property
    def in_words(self) -> str:
        """The executor with what may move the last bits of a curve."""
        return in_words("inline", self.threads, self.group)

    def close(self) -> None:
        """Nothing was started."""
