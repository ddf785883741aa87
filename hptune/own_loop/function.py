"""A training loop as a function of the trial, run in this process."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from hptune.errors import InputError, TrialError, one_line
from hptune.own_loop.assignment import Assignment, assign
from hptune.own_loop.record import Record
from hptune.own_loop.told import TrialEnded
from hptune.own_loop.trial import Trial
from hptune.results.atomic import write_atomic
from hptune.results.records import Trial as TrialRecord
from hptune.results.records import TrialResult
from hptune.task import Task
from hptune.training.device import Device, seeded
from hptune.training.result import failed
from hptune.training.trial_run import Job, OnProgress

Function = Callable[[Trial], Any]


@dataclass(frozen=True)
class FunctionLoop:
    """Runs a function of the user's as a trial.

    Attributes:
        function: Takes a `Trial`, and trains.
        args: The loop's own hyper-parameters.
    """

    function: Function
    args: Mapping[str, Any] = field(default_factory=dict)

    def run(
        self, task: Task, job: Job, device: Device, on_progress: OnProgress | None = None
    ) -> TrialResult:
        """Run one trial; what the function raises makes it a failed one.

        Raises:
            InputError: Wrong for every trial.
        """
        record = Record(
            task, job, device, given := assign(self.args, task, job, device), on_progress
        )
        try:
            self._call(given, record, device)
        except InputError:
            raise
        except TrialError as error:
            return failed(task, job.trial, device, one_line(error, 300))
        except (Exception, SystemExit) as error:
            if job.log is not None:
                write_atomic(job.log, traceback.format_exc())
            return failed(
                task, job.trial, device, f"{type(error).__name__}: {one_line(error, 300)}"
            )
        return record.result()

    def rehearse(self, task: Task, trial: TrialRecord, device: Device) -> Mapping[str, Any]:
        """Run a few iterations and one reading, and return what they show.

        Raises:
            InputError: The function fails, or does not do what it must.
        """
        job = Job(trial)
        given = assign(self.args, task, job, device, rehearsal=True)
        record = Record(task, job, device, given)
        try:
            self._call(given, record, device)
        except InputError:
            raise
        except TrialError as error:
            raise InputError(f"{task.model}: {error}") from None
        except (Exception, SystemExit) as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            raise InputError(
                f"{task.model}: fails ({type(error).__name__}: {one_line(error)}, "
                f"{where.filename}:{where.lineno}); must train by what the trial says; correct it"
            ) from error
        assert record.seen is not None
        return record.seen

    def _call(self, given: Assignment, record: Record, device: Device) -> None:
        # What it prints are messages: on stdout there are data alone.
        with seeded(given.trial.seed, device.torch_device), redirect_stdout(sys.stderr):
            trial = Trial(given, record)
            try:
                self.function(trial)
                trial.finish()
            except TrialEnded:
                pass
