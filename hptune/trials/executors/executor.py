"""What every executor does: it runs jobs and tells of them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol

from hptune.results.records import TrialProgress, TrialResult
from hptune.task import Task
from hptune.training.trial_run import Job


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

    @property
    def in_words(self) -> str:
        """The executor with what may move the last bits of a curve."""

    def run(self, task: Task, jobs: Sequence[Job], listener: Listener) -> Results:
        """Yield the jobs with their results as they end, in any order.

        A job that fails is a result with status failed. Closing the iterator stops the rest.

        Raises:
            HptuneError: Wrong for every trial; so is an OSError, a full disk for one.
        """

    def close(self) -> None:
        """End what was started."""
