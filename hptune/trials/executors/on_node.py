"""A trial on a node of a cluster: a stream of reports, with the files that belong beside the driver's.

Nothing here is written to a run directory. What a trial starts from comes with it, and what it leaves
goes back: its snapshot each time that it has been saved, its weights at the end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import torch

from hptune.errors import HptuneError
from hptune.task import Task
from hptune.training import interrupt
from hptune.training.device import Device, prepare
from hptune.training.trial_run import Job
from hptune.trials.executors.worker import Report, Stopped, Stream, Told, train

FILES = ("snapshot", "parent", "checkpoint", "log")  # of a job
_kept: tuple[str, Task] | None = None  # of this process


@dataclass(frozen=True)
class Saved:
    """A file of the job, as the trial has just left it, for the driver to write."""

    name: str
    content: bytes


def serve(
    key: str,
    get_task: Callable[[], Task],
    job: Job,
    contents: Mapping[str, bytes],
    *,
    device: Device,
    threads: int,
    places: Sequence[str],
    stops: Callable[[], bool],
) -> Iterator[Report | Saved]:
    """Train one trial; yield where it is, what it saves and what came of it, and at last `Stopped`.

    Args:
        key: Of the task, by which this process keeps it for the next trial.
        get_task: Fetches it where it is not kept.
        job: With the driver's files.
        contents: Of those files that are there.
        device: Where to train.
        threads: CPU threads.
        places: The driver's current folder, and after it where it imports from.
        stops: Asked from time to time whether the trial is to save itself and end.
    """
    global _kept
    as_on_the_driver(places)
    if _kept is None or _kept[0] != key:
        _kept = key, get_task()
    task = _kept[1]
    interrupt.request(False)
    with TemporaryDirectory(prefix="hptune-") as folder:
        own: dict[str, Any] = {
            name: Path(folder) / f"{name}.pt" for name in FILES if getattr(job, name)
        }
        for name, content in contents.items():
            own[name].write_bytes(content)
        written = _Written({name: own[name] for name in FILES if name in own and name != "parent"})
        reports: SimpleQueue[Report] = SimpleQueue()
        yield Told("started", (job,))
        trains = Thread(
            target=_train, args=(task, replace(job, **own), device, threads, reports), daemon=True
        )
        trains.start()
        try:
            while True:
                report = None
                with suppress(Empty):
                    report = reports.get(timeout=interrupt.LOOK)
                yield from written.since()
                if report is not None:
                    yield report
                if isinstance(report, Stopped):
                    return
                if stops():
                    interrupt.request()
        finally:
            interrupt.request()
            trains.join()


def as_on_the_driver(places: Sequence[str]) -> None:
    """Work in the driver's folder and import from where it does, as far as these are on this node."""
    folder, *path = places
    if Path(folder).is_dir():
        os.chdir(folder)
    # At the end: what was shipped comes first.
    sys.path += [place for place in path if place not in sys.path and Path(place).exists()]


def _train(
    task: Task, job: Job, device: Device, threads: int, reports: SimpleQueue[Report]
) -> None:
    """Train in a thread of its own, so that the reports stream meanwhile."""
    streams: list[Any] = [Stream(name, reports.put) for name in ("stdout", "stderr")]
    with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        if device.torch_device.type == "cuda":
            torch.cuda.set_device(device.torch_device)
        prepare(device.torch_device)
        torch.set_num_threads(threads)
        try:
            reports.put(train(task, ([job], "alone"), device, reports.put))
        except KeyboardInterrupt:  # it has saved itself
            reports.put(Stopped(None))
        except BaseException as error:
            reports.put(Stopped(HptuneError(f"{type(error).__name__}: {error}")))


class _Written:
    """Files, and which of them have been written since they were last looked at."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = paths
        self._seen = {name: self._state(path) for name, path in paths.items()}

    def since(self) -> Iterator[Saved]:
        """Yield what has been written since the last call."""
        for name, path in self._paths.items():
            if (state := self._state(path)) not in (None, self._seen[name]):
                self._seen[name] = state
                yield Saved(name, path.read_bytes())

    @staticmethod
    def _state(path: Path) -> tuple[int, int] | None:
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns  # each writing puts another file in its place
