"""A worker: a process that trains one job after another as its parent sends them."""

from __future__ import annotations

import ctypes
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch

from hptune.errors import HptuneError
from hptune.results.records import TrialProgress, TrialResult
from hptune.task import Task
from hptune.training import interrupt
from hptune.training.device import Device, prepare
from hptune.training.passes import How
from hptune.training.trial_run import Job
from hptune.trials.executors.group import run_group

_PR_SET_PDEATHSIG = 1
_LONGEST_LINE = 1000  # characters


@dataclass(frozen=True)
class Told:
    """What the parent's listener is to be told: the name of its method, and the arguments."""

    what: str
    about: tuple[Any, ...]


@dataclass(frozen=True)
class Ended:
    """A trial has a result."""

    result: TrialResult


@dataclass(frozen=True)
class Stopped:
    """The worker is done with a group, or stopped by what is wrong for every trial."""

    error: Exception | None


@dataclass(frozen=True)
class Said:
    """What the task's own code has printed, to stdout or stderr."""

    stream: str
    text: str

    def repeat(self) -> None:
        """Print it in this process."""
        getattr(sys, self.stream).write(self.text)


Report = Told | Ended | Stopped | Said
Work = Callable[[Task, Any, Device, Callable[[Any], None]], Any]
"""Does (task, request, device) and may report on the way; gives the last report."""


def serve(
    task: Task,
    device: Device,
    connection: Connection[Any, Any],
    others: Sequence[Connection[Any, Any]],
    dies_with_parent: bool,
) -> None:
    """Answer requests until the parent closes the connection or ends. The body of a worker.

    Args:
        task, device: What every job trains, and where.
        connection: To the parent: a request comes in, its reports go out.
        others: Ends of other workers' connections that a fork has copied here.
        dies_with_parent: Whether the system may end it with the thread that started it, which is the
            parent's end for its main thread only. Others find the pipe closed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    for name in ("SIGTERM", "SIGUSR1"):  # as the parent asks, or a scheduler of every process
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), interrupt.on_signal)
    if dies_with_parent and sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for other in others:
        other.close()
    # The terminal is the parent's: two that write there at once would garble it.
    sys.stdout, sys.stderr = (Stream(name, connection.send) for name in ("stdout", "stderr"))
    prepare(device.torch_device)
    torch.set_num_threads(1)
    # Closed or broken: the parent has gone or wants no more. Interrupted: what was in flight is saved.
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            work, request = connection.recv()
            connection.send(work(task, request, device, connection.send))


def train(
    task: Task, request: tuple[Sequence[Job], How], device: Device, report: Callable[[Report], None]
) -> Stopped:
    """Run a group of jobs, and report where they are and what came of each."""

    def tell(told: Report) -> None:
        try:
            report(told)
        except OSError:
            os._exit(1)  # nobody is there to take it

    class Reporter:
        def started(self, job: Job) -> None:
            """Is told by the parent itself."""

        def progressed(self, job: Job, trial_progress: TrialProgress) -> None:
            tell(Told("progressed", (job, trial_progress)))

        def message(self, text: str) -> None:
            tell(Told("message", (text,)))

    group, how = request
    try:
        for _, result in run_group(task, group, device, how, Reporter()):
            tell(Ended(result))
    except HptuneError as error:
        return Stopped(error)
    except OSError as error:
        return Stopped(OSError(str(error)))  # those of other libraries may not bear to be sent
    return Stopped(None)


class Stream(io.TextIOBase):
    """Sends to the parent what is printed, line by line."""

    def __init__(self, name: str, send: Callable[[Said], object]) -> None:
        self._name, self._send, self._begun = name, send, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        lines, end, self._begun = (self._begun + text).rpartition("\n")
        if end or len(self._begun) > _LONGEST_LINE:
            lines, self._begun = (lines, self._begun) if end else (self._begun, "")
            with suppress(OSError):  # nobody is there to take it
                self._send(Said(self._name, lines + end))
        return len(text)
