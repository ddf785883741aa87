"""Trackers beside the terminal: they are handed trials and decisions, and their failures cost no trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from hptune.errors import one_line
from hptune.results.evidence import Evidence
from hptune.results.records import Decision, TrialResult
from hptune.stages import WHOLE_RUNS
from hptune.trackers import Tracker
from hptune.trials.progress import Progress


class Tracking(Progress):
    """Listens to a run and hands trials and decisions to a tracker.

    The first failure is told in a line on stderr, and the tracker is left alone from then on:
    a server that is down would cost its time limit at every trial.

    Args:
        name: The tracker's name, for messages.
        tracker: Keeps every trial that ends or is reused.
    """

    def __init__(self, name: str, tracker: Tracker) -> None:
        self._name, self._tracker = name, tracker
        self._failed = False
        self._reused: dict[str, bool] = {}  # trials whose test set is still to be read

    def trial_finished(self, result: TrialResult, *, reused: bool) -> None:
        """Hand the trial on; one of full length when its stage ends and the test set is read."""
        if result.trial.stage in WHOLE_RUNS:
            self._reused[result.trial.id] = reused
        else:
            self._try(self._tracker.log_trial, result, reused=reused)

    def stage_finished(
        self,
        stage: str,
        results: Sequence[TrialResult],
        decisions: Sequence[Decision],
        evidence: Sequence[Evidence],
    ) -> None:
        """Hand the decisions on, and the trials that waited for it."""
        for result in results:
            if result.trial.id in self._reused:
                reused = self._reused.pop(result.trial.id)
                self._try(self._tracker.log_trial, result, reused=reused)
        self._try(self._tracker.log_decisions, stage, decisions)

    def _try(self, call: Callable[..., None], *args: Any, **options: Any) -> None:
        if self._failed:
            return
        try:
            call(*args, **options)
        except Exception as error:
            self._failed = True
            click.echo(
                f"--track {self._name}: failed ({type(error).__name__}: {one_line(error)}); the run "
                "goes on without it, and the same command run again hands over what is missing",
                err=True,
            )
