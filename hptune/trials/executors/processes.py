"""Several trials at once, each in a worker process of its own."""

from __future__ import annotations

import math
import multiprocessing
import pickle
import signal
import sys
import threading
import warnings
import weakref
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from hptune.errors import HptuneError, one_line
from hptune.results.records import Trial
from hptune.task import Task
from hptune.training import interrupt
from hptune.training.device import Device
from hptune.training.result import failed
from hptune.training.trial_run import Job
from hptune.trials.executors.execution import Execution, devices
from hptune.trials.executors.executor import Listener, Results
from hptune.trials.executors.group import ALONE, Group, grouped, in_words
from hptune.trials.executors.worker import Ended, Said, Stopped, Told, Work, serve, train

ATTEMPTS = 2  # of a job whose worker dies


class Processes:
    """Runs jobs in workers that are started once for a task and kept.

    Args:
        devices: Where the workers train, one each: the same CPU several times, or several GPUs.
        group: Trials that a worker trains as one, where they can be.
    """

    threads: int | None = 1

    def __init__(self, devices: Sequence[Device], group: Group = ALONE) -> None:
        self._devices, self.group = tuple(devices), group
        self._task: Task | None = None
        self._workers: list[WorkerProcess] = []

    def run(self, task: Task, jobs: Sequence[Job], listener: Listener) -> Results:
        """Yield the jobs with their results as they end."""
        self._use(task)
        each = math.ceil(len(jobs) / len(self._workers))  # no worker is to be without
        waiting, attempts = deque(grouped(jobs, min(self.group.size, each))), Counter[str]()
        stopping = interrupt.Stopping()
        try:
            for _ in stopping.holding(lambda: waiting or self._busy):
                if stopping.begins():
                    waiting.clear()
                    for worker in self._busy:
                        worker.process.terminate()  # saves first
                for worker in self._workers:
                    if waiting and not worker.busy:
                        worker.train(waiting.popleft(), self.group, listener)
                ready = wait([worker.connection for worker in self._busy], interrupt.LOOK)
                for worker in [worker for worker in self._busy if worker.connection in ready]:
                    report = worker.report()
                    if isinstance(report, Told):
                        getattr(listener, report.what)(*report.about)
                    elif isinstance(report, Said):
                        report.repeat()
                    elif isinstance(report, Ended):
                        yield worker.jobs.pop(report.result.trial.id), report.result
                    elif isinstance(report, Stopped) and report.error is not None:
                        raise report.error
                    elif report is None:
                        lost, death = list(worker.jobs.values()), worker.death()
                        self._end(worker)
                        if interrupt.requested():
                            continue
                        self._start(worker.device)
                        attempts.update(job.trial.id for job in lost)
                        for job in lost:
                            if attempts[job.trial.id] < ATTEMPTS:
                                waiting.appendleft([job])
                            else:
                                yield job, failed(task, job.trial, worker.device, death)
        finally:
            for worker in self._busy:  # stopped halfway: its results are not wanted
                self._end(worker)

    def each(self, task: Task, work: Work, request: Any) -> list[Any]:
        """Let all workers do the same at the same time; return what each answers, None if it died."""
        self._use(task)
        for worker in self._workers:
            worker.send(work, request)
        return [worker.answer() for worker in self._workers]

    def close(self) -> None:
        """End the workers."""
        for worker in list(self._workers):
            self._end(worker)

    @property
    def in_words(self) -> str:
        """The executor with what may move the last bits of a curve."""
        return in_words(f"{len(self._devices)} processes", self.threads, self.group)

    @property
    def _busy(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker.busy]

    def _use(self, task: Task) -> None:
        """Start the workers that are missing; all of them anew for another task."""
        if task is not self._task:
            self.close()
            self._task = task
        for worker in [worker for worker in self._workers if not worker.process.is_alive()]:
            self._end(worker)
        missing = Counter(self._devices)
        missing.subtract(worker.device for worker in self._workers)
        for device in missing.elements():
            self._start(device)

    def _start(self, device: Device) -> None:
        assert self._task is not None
        others = [worker.connection for worker in self._workers]
        self._workers.append(WorkerProcess(self._task, device, others))

    def _end(self, worker: WorkerProcess) -> None:
        worker.kill()
        self._workers.remove(worker)


def make(execution: Execution, task: Task, trials: Sequence[Trial]) -> Processes:
    """Return as many workers as there are to be trials at once."""
    return workers(execution, devices(execution.device, execution.jobs))


def workers(execution: Execution, places: tuple[Device, ...], group: Group = ALONE) -> Processes:
    """Return workers on some devices, the same ones from stage to stage."""
    processes: Processes = execution.kept.setdefault(places, Processes(places))
    processes.group = group
    return processes


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Hold Ctrl-C back: in the middle of a fork it would be lost in what Python runs around it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class WorkerProcess:
    """The parent's side of a worker process.

    Attributes:
        device: Where it trains.
        jobs: What it is at, by the trial's id.
        busy: Whether it has been asked for something and has not finished.
    """

    def __init__(self, task: Task, device: Device, others: Sequence[Connection[Any, Any]]) -> None:
        self.device = device
        self.jobs: dict[str, Job] = {}
        self.busy = False
        context = _context(device)
        self.connection, theirs = context.Pipe()
        copied = [*others, self.connection] if context.get_start_method() == "fork" else []
        main = threading.current_thread() is threading.main_thread()
        args = (task, device, theirs, copied, main)
        self.process = context.Process(target=serve, args=args)  # type: ignore[attr-defined]
        with warnings.catch_warnings(), _interrupts_later():
            # A child that computes with one thread does not touch the threads it has not got.
            warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
            try:
                self.process.start()
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                raise CannotShareError(
                    f"--executor processes: model, data or loss cannot be sent to another process "
                    f"({one_line(error)}); use --executor inline"
                ) from error
        theirs.close()
        # Whatever becomes of this object, no process stays behind.
        self._kill = weakref.finalize(self, _kill, self.process)

    def send(self, work: Work, request: Any) -> None:
        """Give the worker something to do; a dead one is noticed when it is to report."""
        self.busy = True
        with suppress(OSError):
            self.connection.send((work, request))

    def train(self, group: Sequence[Job], how: Group, listener: Listener) -> None:
        """Let the worker run some jobs as one."""
        self.jobs = {job.trial.id: job for job in group}
        self.send(train, (group, how.how))
        for job in group:
            listener.started(job)

    def report(self) -> Any:
        """Return what the worker says next, None where it has died."""
        try:
            report = self.connection.recv()
        except (EOFError, OSError):
            return None
        self.busy = isinstance(report, Told | Said | Ended)
        return report

    def answer(self) -> Any:
        """Return the worker's last report, None where it has died."""
        while isinstance(report := self.report(), Said):
            report.repeat()
        return report

    def kill(self) -> None:
        """End the process."""
        self._kill()
        self.connection.close()

    def death(self) -> str:
        """Say how the process ended."""
        self.process.join(1)
        code = self.process.exitcode or 0
        how = signal.strsignal(-code) if code < 0 else f"exit code {code}"
        return f"the worker process died twice: {how}"


class CannotShareError(HptuneError):
    """The task cannot be sent to another process."""


def _context(device: Device) -> BaseContext:
    """Choose how to start a process: a fork shares imports and data, but not CUDA."""
    on_cpu = device.torch_device.type == "cpu" and not torch.cuda.is_available()
    return multiprocessing.get_context("fork" if on_cpu and sys.platform == "linux" else "spawn")


def _kill(process: BaseProcess) -> None:
    process.kill()
    process.join()
