"""A job: a trial to run with the files it works on. The same in every process and executor."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import numpy as np

from hptune.errors import HptuneError, one_line
from hptune.results.records import Curve, Status, Trial, TrialProgress, TrialResult
from hptune.task import Task
from hptune.training.device import Device
from hptune.training.loop import OnProgress, run_trial


@dataclass(frozen=True, kw_only=True)
class Job:
    """What `hptune.training.loop.run_trial` needs to know of a trial.

    Attributes:
        trial: What to run.
        snapshot: File to resume from and to keep up to date.
        parent: Snapshot that the trial branches from.
        checkpoint: File that receives the trained weights.
        until: Iterations after which to pause.
    """

    trial: Trial
    snapshot: Path
    parent: Path | None = None
    checkpoint: Path | None = None
    until: int | None = None


class Listener(Protocol):
    """Is told of the jobs while they run."""

    def started(self, job: Job) -> None:
        """Take in that a job begins."""

    def progressed(self, job: Job, trial_progress: TrialProgress) -> None:
        """Take in where a job is."""

    def message(self, text: str) -> None:
        """Take in a line of prose, the same one perhaps several times."""


Results = Generator[tuple[Job, TrialResult], None, None]
"""The jobs with their results as they end, in any order."""


class Executor(Protocol):
    """Runs jobs. Every executor gives the same results, to float tolerance."""

    @property
    def threads(self) -> int | None:
        """CPU threads that a trial trains with; None leaves them as they are."""
        ...

    @property
    def in_words(self) -> str:
        """The executor with what may move the last bits of a curve."""
        ...

    def run(self, task: Task, jobs: Sequence[Job], listener: Listener) -> Results:
        """Yield the jobs with their results as they end, in any order.

        A job that fails is a result with status failed. Closing the iterator stops the rest.

        Raises:
            HptuneError: Wrong for every trial; so is an OSError, a full disk for one.
        """
        ...

    def close(self) -> None:
        """End what was started."""
        ...


def run_job(task: Task, job: Job, device: Device, on_progress: OnProgress) -> TrialResult:
    """Run a job in this process; what the user's code raises makes it a failed one.

    Raises:
        HptuneError: Wrong for every trial; so is an OSError.
    """
    try:
        return run_trial(
            task,
            job.trial,
            device,
            snapshot=job.snapshot,
            parent=job.parent,
            checkpoint=job.checkpoint,
            on_progress=on_progress,
            until=job.until,
        )
    except (HptuneError, OSError):
        raise
    except Exception as error:
        message = f"{type(error).__name__}: {one_line(error, 300)}"
        return failed(task, job.trial, device, message)


def failed(task: Task, trial: Trial, device: Device, message: str) -> TrialResult:
    """Return the result of a trial that failed, with an empty curve."""
    nothing = np.empty(0)
    return TrialResult(
        trial=trial,
        status=Status.FAILED,
        data=task.data,
        model=task.model,
        device=device.name,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        epochs=0.0,
        seconds=0.0,
        curve=Curve(
            iteration=np.empty(0, dtype=np.int64),
            epoch=nothing,
            lr=nothing,
            momentum=nothing,
            weight_decay=nothing,
            train_loss=nothing,
            val_loss=nothing,
            metrics=dict.fromkeys(task.metrics, nothing),
            seconds=nothing,
        ),
        val_metrics=dict.fromkeys(task.metrics),
        best_val_metrics=dict.fromkeys(task.metrics),
        test_metrics=dict.fromkeys(task.metrics),
        message=message,
    )
