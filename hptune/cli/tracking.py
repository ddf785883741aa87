"""What hears of a run beside the terminal: trackers, whose failures cost no trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from hptune.results.evidence import Evidence
from hptune.results.records import Decision, TrialResult
from hptune.trackers import Tracker
from hptune.trials.progress import Silent


class Tracking(Silent):
    """Listens to a run and hands trials and decisions to a tracker.

    The first failure is told in a line on stderr, and the tracker is left alone from then on:
    a server that is down would cost its time limit at every trial.

    Args:
        name: Of the tracker.
        tracker: Is handed every trial that ends or is reused.
    """

    def __init__(self, name: str, tracker: Tracker) -> None:
        self._name, self._tracker = name, tracker
        self._failed = False

    def trial_finished(self, result: TrialResult, *, reused: bool) -> None:
        """Hand the trial on."""
        self._try(lambda: self._tracker.log_trial(result, reused=reused))

    def stage_finished(
        self,
        stage: str,
        results: Sequence[TrialResult],
        decisions: Sequence[Decision],
        evidence: Sequence[Evidence],
    ) -> None:
        """Hand the decisions on."""
        self._try(lambda: self._tracker.log_decisions(stage, decisions))

    def _try(self, call: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            call()
        except Exception as error:
            self._failed = True
            shown = " ".join(str(error).split())[:200]
            click.echo(
                f"--track {self._name}: failed ({type(error).__name__}: {shown}); the run goes on "
                "without it, and the same command run again hands over what is missing",
                err=True,
            )
