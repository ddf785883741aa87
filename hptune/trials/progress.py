"""What is told of a run while it goes on; the terminal and Python users listen differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from hptune.results.evidence import Evidence
from hptune.results.records import Decision, Trial, TrialProgress, TrialResult


class Progress(Protocol):
    """Listens to a run. Every method returns at once and never raises."""

    def message(self, text: str) -> None:
        """Hear one line of prose: which value is taken from where, what happens next."""

    def planned(self, examples: Mapping[str, float]) -> None:
        """Hear on how many examples each stage will train, about, before the first begins."""

    def stage_started(self, stage: str, title: str) -> None:
        """Hear that a stage begins."""

    def trial_started(self, trial: Trial, number: int, of: int) -> None:
        """Hear that trial `number` of the `of` that are known now begins."""

    def trial_progressed(self, trial: Trial, trial_progress: TrialProgress) -> None:
        """Hear where a trial is; called a few times a second at most."""

    def trial_paused(self, result: TrialResult) -> None:
        """Hear that a trial stopped on its way, to go on later."""

    def trial_finished(self, result: TrialResult, *, reused: bool) -> None:
        """Hear that a trial ended, or was found finished in the run directory."""

    def stage_finished(
        self,
        stage: str,
        results: Sequence[TrialResult],
        decisions: Sequence[Decision],
        evidence: Sequence[Evidence],
    ) -> None:
        """Hear a stage's trials, what it decided, and what the decisions rest on."""

    def close(self) -> None:
        """Hear that nothing more is told, whether all went well or not."""


class Silent:
    """Listens to nothing."""

    def message(self, text: str) -> None: ...

    def planned(self, examples: Mapping[str, float]) -> None: ...

    def stage_started(self, stage: str, title: str) -> None: ...

    def trial_started(self, trial: Trial, number: int, of: int) -> None: ...

    def trial_progressed(self, trial: Trial, trial_progress: TrialProgress) -> None: ...

    def trial_paused(self, result: TrialResult) -> None: ...

    def trial_finished(self, result: TrialResult, *, reused: bool) -> None: ...

    def stage_finished(
        self,
        stage: str,
        results: Sequence[TrialResult],
        decisions: Sequence[Decision],
        evidence: Sequence[Evidence],
    ) -> None: ...

    def close(self) -> None: ...


class ProgressGroup:
    """Tells several listeners, in their order."""

    def __init__(self, listeners: Sequence[Progress]) -> None:
        self._listeners = tuple(listeners)

    def message(self, text: str) -> None:
        """Pass a line of prose on."""
        for listener in self._listeners:
            listener.message(text)

    def planned(self, examples: Mapping[str, float]) -> None:
        """Pass on how long the stages will be."""
        for listener in self._listeners:
            listener.planned(examples)

    def stage_started(self, stage: str, title: str) -> None:
        """Pass on that a stage begins."""
        for listener in self._listeners:
            listener.stage_started(stage, title)

    def trial_started(self, trial: Trial, number: int, of: int) -> None:
        """Pass on that a trial begins."""
        for listener in self._listeners:
            listener.trial_started(trial, number, of)

    def trial_progressed(self, trial: Trial, trial_progress: TrialProgress) -> None:
        """Pass on where a trial is."""
        for listener in self._listeners:
            listener.trial_progressed(trial, trial_progress)

    def trial_paused(self, result: TrialResult) -> None:
        """Pass on that a trial stopped on its way."""
        for listener in self._listeners:
            listener.trial_paused(result)

    def trial_finished(self, result: TrialResult, *, reused: bool) -> None:
        """Pass on that a trial ended."""
        for listener in self._listeners:
            listener.trial_finished(result, reused=reused)

    def stage_finished(
        self,
        stage: str,
        results: Sequence[TrialResult],
        decisions: Sequence[Decision],
        evidence: Sequence[Evidence],
    ) -> None:
        """Pass on what a stage decided."""
        for listener in self._listeners:
            listener.stage_finished(stage, results, decisions, evidence)

    def close(self) -> None:
        """Pass on that nothing more is told."""
        for listener in self._listeners:
            listener.close()
