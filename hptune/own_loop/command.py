"""A training loop as a command: each trial is a process of the user's.

A script that asks for its trial by `hptune.trial()` does all that a function of a trial does. One that is
not touched gets its values by placeholders, "--lr {lr}", and is read by what it prints or writes.
"""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hptune.errors import InputError, TrialError
from hptune.own_loop import output
from hptune.own_loop.assignment import Assignment, assign
from hptune.own_loop.child import VARIABLE, report_of
from hptune.own_loop.placeholders import filled, placeholders
from hptune.own_loop.process import how_it_ended, started
from hptune.own_loop.record import Record
from hptune.own_loop.task import metric_specs
from hptune.results.records import Status, TrialResult
from hptune.results.records import Trial as TrialRecord
from hptune.task import Task
from hptune.training.device import Device
from hptune.training.result import failed
from hptune.training.trial_run import Job, OnProgress

POLL = (0.02, 0.2)  # seconds between two looks at a process, at first and later
# Seconds for a process that has said that it is done, and for one that was broken off.
CONCLUDES, STOPS = 10.0, 2.0


@dataclass(frozen=True, kw_only=True)
class CommandLoop:
    """Runs a command as a trial.

    Attributes:
        words: The command, with placeholders where it does not ask for its trial.
        args: Its own hyper-parameters.
        metrics: Regular expressions of numbers in its output, by the names of the values.
        results: The file that it writes its values to, where that is not its output.
        timeout: Seconds that a trial may take.
    """

    words: tuple[str, ...]
    args: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    results: str | None = None
    timeout: float | None = None

    @property
    def takes(self) -> frozenset[str]:
        """What its placeholders take; nothing where it asks for its trial."""
        return placeholders(self.words)

    def run(
        self, task: Task, job: Job, device: Device, on_progress: OnProgress | None = None
    ) -> TrialResult:
        """Run one trial as a process; an exit code, a signal or a time-out makes it a failed one.

        Raises:
            InputError: Wrong for every trial.
        """
        given = assign(self.args, task, job, device)
        with tempfile.TemporaryDirectory(prefix="hptune-") as folder:
            log = job.log or Path(folder) / "output.txt"
            if job.snapshot is None or not job.snapshot.exists():
                log.unlink(missing_ok=True)  # of an attempt before this one
            try:
                if self.takes:
                    return self._read(task, job, device, given, log)
                record = Record(task, job, device, given, on_progress)
                self._follow(given, record, log, Path(folder))
            except TrialError as error:
                return failed(task, job.trial, device, str(error))
        return record.result()

    def rehearse(self, task: Task, trial: TrialRecord, device: Device) -> Mapping[str, Any]:
        """Run a few iterations and one reading; of a command with placeholders nothing is run.

        Raises:
            InputError: It fails, or does not ask for its trial.
        """
        job = Job(trial)
        if self.takes:
            return output.expected(self.takes, self.metrics)
        given = assign(self.args, task, job, device, rehearsal=True)
        record = Record(task, job, device, given)
        with tempfile.TemporaryDirectory(prefix="hptune-") as folder:
            try:
                self._follow(given, record, Path(folder) / "output.txt", Path(folder))
            except TrialError as error:
                raise InputError(f"command: {task.model}: {error}") from None
        assert record.seen is not None
        return record.seen

    def _follow(self, given: Assignment, record: Record, log: Path, folder: Path) -> None:
        """Run a script that asks for its trial, and take in what it tells.

        Raises:
            TrialError: It failed.
        """
        assignment = folder / "trial.json"
        assignment.write_text(given.text(), encoding="utf-8")
        told, report = False, report_of(assignment)
        with started(self.words, log, {VARIABLE: str(assignment)}) as process:
            for line in self._lines(process, report):
                told = True
                _take_in(record, json.loads(line))
                if record.status is not None:
                    # A rank that waits for this one is ended after that.
                    done = record.status is Status.COMPLETE
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(CONCLUDES if done else STOPS)
                    return
        if process.returncode:
            raise TrialError(how_it_ended(process.returncode, log))
        if told:
            raise TrialError("the process ended without a word")
        raise TrialError(
            "the script did not ask for its trial; must train by it; add `trial = hptune.trial()` and "
            "use it, or give it values by placeholders, --lr {lr}"
        )

    def _lines(self, process: Any, report: Path | None = None) -> Iterator[str]:
        """Yield what a process tells, line by line, until it has ended.

        Raises:
            TrialError: It takes too long.
        """
        began, pause, rest, place = time.monotonic(), POLL[0], "", 0
        while True:
            has_ended = process.poll() is not None
            if report is not None and report.exists():
                with report.open(encoding="utf-8") as file:
                    file.seek(place)
                    text = rest + file.read()
                    place = file.tell()
                *lines, rest = text.split("\n")
                yield from lines
                pause = POLL[0] if lines else pause
            if has_ended:
                return
            if self.timeout is not None and time.monotonic() - began > self.timeout:
                raise TrialError(f"took longer than {self.timeout:g} s, the time a trial may take")
            time.sleep(pause)
            pause = min(1.5 * pause, POLL[1])

    def _read(
        self, task: Task, job: Job, device: Device, given: Assignment, log: Path
    ) -> TrialResult:
        """Run a script by placeholders, and read its values from what it has left.

        Raises:
            TrialError: It failed, or left none.
        """
        words = filled(self.words, given)
        results = None if self.results is None else Path(*filled([self.results], given))
        before, since = output.stamp(results), time.perf_counter()
        with started(words, log, {}) as process:
            for _ in self._lines(process):
                pass
        if process.returncode:
            raise TrialError(how_it_ended(process.returncode, log))
        readings = output.readings(log, results, self.metrics, before=before)
        names = dict.fromkeys(name for values in readings for name in values)
        found = metric_specs([n[4:] for n in names if n.startswith("val_") and n != "val_loss"])
        record = Record(task.change(metrics=found), job, device, given, since=since)
        for number, values in enumerate(readings, 1):
            at = max(number * job.trial.iterations // len(readings), 1) - 1
            if "train_loss" in values:
                record.trained(at, values.pop("train_loss"))
            record.reading(at, values)
        losses = (values["val_loss"] for values in reversed(readings) if "val_loss" in values)
        if math.isfinite(next(losses, 0.0)):
            record.ended(Status.COMPLETE, "")
        else:
            record.ended(Status.DIVERGED, "the validation loss is not finite")
        return record.result()


def _take_in(record: Record, said: dict[str, Any]) -> None:
    """Hand on to a record what a process has told.

    Raises:
        TrialError: The loop did not do what it must.
    """
    what = said.pop("what")
    if what == "failed":
        raise TrialError(said["message"])
    if what == "ended":
        said["status"] = Status(said["status"])
    getattr(record, what)(**said)
