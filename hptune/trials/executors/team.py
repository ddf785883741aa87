"""A team: worker processes that train one trial together, and what they are asked for.

The processes are this project's workers, kept from trial to trial: a launcher that starts them for
each would take seconds of import a trial. What they exchange goes through torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hptune.errors import HptuneError, TrialError, one_line
from hptune.results.records import Status, TrialResult
from hptune.task import Task
from hptune.training.device import Device
from hptune.training.ranks import join
from hptune.training.speed import measure_iteration
from hptune.training.trial_run import Job
from hptune.trials.executors.executor import Listener
from hptune.trials.executors.processes import CannotShareError, WorkerProcess
from hptune.trials.executors.worker import Ended, Said, Stopped, Told, Work, train

AFTER_A_FAILURE = 2.0  # seconds: in which another process that has died, and is why, is noticed


@dataclass(frozen=True)
class Answer:
    """What a process was asked for, or why there is none."""

    value: Any = None
    failure: str = ""


class Team:
    """The parent's side of the processes that train a trial together.

    Args:
        task: What they train.
        places: Their devices, by rank.
        others: Connections of other workers, which a fork copies.

    Attributes:
        job: What they are at.
        result: What came of it, once it is known.
        failure: Why it failed; the team cannot be used any more then.
        has_lost_one: Whether a process has died.

    Raises:
        HptuneError: They cannot reach each other.
    """

    def __init__(
        self, task: Task, places: Sequence[Device], others: Sequence[Connection[Any, Any]]
    ) -> None:
        self.places = tuple(places)
        self.job: Job | None = None
        self._folder = TemporaryDirectory(prefix="hptune-")
        self._workers: list[WorkerProcess] = []
        try:
            for place in places:
                copied = [*others, *self.connections]
                self._workers.append(WorkerProcess(task, place, copied))
        except CannotShareError as error:
            self.close()
            raise CannotShareError(
                f"--devices-per-trial: {len(places)}; model, data or loss cannot be sent to another "
                f"process ({one_line(error.__cause__ or error)}); define them in a module, or use one "
                "device"
            ) from error
        self.ask(meet, Path(self._folder.name) / "meeting")
        if self.failure:
            self.close()
            raise HptuneError(
                f"--devices-per-trial: {len(places)}; the processes cannot reach each other "
                f"({self.failure}); use one device"
            )

    @property
    def connections(self) -> list[Connection[Any, Any]]:
        """To the processes, by rank."""
        return [worker.connection for worker in self._workers]

    @property
    def awaited(self) -> list[Connection[Any, Any]]:
        """Of the processes that have not finished what they are at."""
        return [worker.connection for worker in self._workers if worker.busy]

    @property
    def is_alive(self) -> bool:
        """Whether all processes are there."""
        return all(worker.process.is_alive() for worker in self._workers)

    @property
    def goes_on(self) -> bool:
        """Whether more is to be heard of what they are at."""
        return not self.failure and any(worker.busy for worker in self._workers)

    def train(self, job: Job, listener: Listener) -> None:
        """Let the processes run a job."""
        self.job = job
        self._send(train_together, job)
        listener.started(job)

    def ask(self, work: Work, request: Any) -> Any:
        """Let all processes do something; return what the first one answers; `failure` says what failed."""
        self._send(work, request)
        while self.goes_on:
            self.hear(wait(self.awaited))
        return self._answer

    def _send(self, work: Work, request: Any) -> None:
        self.result: TrialResult | None = None
        self.failure, self.has_lost_one, self._answer = "", False, None
        for worker in self._workers:
            worker.send(work, request)

    def hear(self, ready: Collection[Any], listener: Listener | None = None) -> None:
        """Take in what the processes say whose connections are ready.

        Raises:
            HptuneError: Wrong for every trial; so is an OSError.
        """
        self._hear(ready, listener)
        # Where one process has died, others often fail first, for want of it.
        end = time.monotonic() + AFTER_A_FAILURE
        while self.failure and not self.has_lost_one and (left := end - time.monotonic()) > 0:
            if not (ready := wait(self.awaited, left)):
                break
            self._hear(ready, listener)

    def _hear(self, ready: Collection[Any], listener: Listener | None) -> None:
        for rank, worker in enumerate(self._workers):
            if worker.busy and worker.connection in ready:
                self._take_in(rank, worker, listener)

    def _take_in(self, rank: int, worker: WorkerProcess, listener: Listener | None) -> None:
        report, failure = worker.report(), ""
        if rank == 0 and isinstance(report, Said):
            report.repeat()
        elif rank == 0 and isinstance(report, Told) and listener is not None:
            getattr(listener, report.what)(*report.about)
        elif isinstance(report, Stopped) and report.error is not None:
            raise report.error
        elif isinstance(report, Ended):
            if report.result.status is Status.FAILED:
                failure = report.result.message
            elif rank == 0:
                self.result = report.result
        elif isinstance(report, Answer):
            failure = report.failure
            if rank == 0:
                self._answer = report.value
        elif report is None:
            failure, self.has_lost_one = worker.death(), True
            worker.busy = False
        if failure and (report is None or not self.failure):
            self.failure = f"on device {rank + 1} of {len(self.places)}: {failure}"

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.kill()
        self._folder.cleanup()


def meet(task: Task, meeting: Path, device: Device, report: Callable[[Any], None]) -> Answer:
    """Connect a process with the others of its team."""
    try:
        join(device.ranks, device.torch_device, meeting)
    except Exception as error:  # whatever keeps them apart
        return Answer(failure=f"{type(error).__name__}: {one_line(error)}")
    return Answer()


def train_together(task: Task, job: Job, device: Device, report: Callable[[Any], None]) -> Stopped:
    """Train a job as one of the processes of its team."""
    return train(task, ([job], "alone"), _joined(device), report)


def measure_together(
    task: Task, request: tuple[Any, dict[str, Any]], device: Device, report: Callable[[Any], None]
) -> Answer | Stopped:
    """Measure an iteration as one of the processes of a team."""
    trial, how = request
    try:
        return Answer(measure_iteration(task, trial, _joined(device), **how))
    except TrialError as error:
        return Answer(failure=str(error))
    except HptuneError as error:
        return Stopped(error)


def _joined(device: Device) -> Device:
    return replace(device, ranks=replace(device.ranks, joined=True))
