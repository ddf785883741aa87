"""One trial after another in this process."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from hptune.sweep.executors.job import Job, Listener, Results, run_job
from hptune.task import Task
from hptune.training.device import Device, cpu_threads


class Inline:
    """Runs jobs one after another.

    Args:
        device: Where.
        threads: CPU threads to train with; None leaves them as they are.
    """

    def __init__(self, device: Device, threads: int | None = None) -> None:
        self._device, self.threads = device, threads

    def run(self, task: Task, jobs: Sequence[Job], listener: Listener) -> Results:
        """Yield each job with its result, in the order given."""
        for job in jobs:
            listener.started(job)
            with cpu_threads(self.threads):
                result = run_job(task, job, self._device, partial(listener.advanced, job))
            yield job, result

    def close(self) -> None:
        """Nothing was started."""
