"""What is told of a run while it goes on; the terminal and Python users listen differently."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from hptune.results.evidence import Evidence
from hptune.results.records import Decision, Trial, TrialProgress, TrialResult


class Progress(Protocol):
    """Listens to a run: by itself to nothing. Every method returns at once and never raises."""

    def message(self, text: str) -> None:
        """Take in one line of prose: which value is taken from where, what happens next."""
        return

    def planned(self, examples: Mapping[str, float]) -> None:
        """Take in on how many examples each stage will train, about, before the first begins."""
        return

    def stage_started(self, stage: str, title: str) -> None:
        """Take in that a stage begins."""
        return

    def trial_started(self, trial: Trial, number: int, of: int) -> None:
        """Take in that trial `number` of the `of` that are known now begins."""
        return

    def trial_progressed(self, trial: Trial, trial_progress: TrialProgress) -> None:
        """Take in where a trial is; called a few times a second at most."""
        return

    def trial_paused(self, result: TrialResult) -> None:
        """Take in that a trial stopped on its way, to go on later."""
        return

    def trial_finished(self, result: TrialResult, *, reused: bool) -> None:
        """Take in that a trial ended, or was found finished in the run directory."""
        return

    def stage_finished(
        self,
        stage: str,
        results: Sequence[TrialResult],
        decisions: Sequence[Decision],
        evidence: Sequence[Evidence],
    ) -> None:
        """Take in a stage's trials, what it decided, and what the decisions rest on."""
        return

    def close(self) -> None:
        """Take in that nothing more is told, whether all went well or not."""
        return


class Silent(Progress):
    """Listens to nothing."""


class ProgressGroup(Progress):
    """Tells several listeners, in their order."""

    def __init__(self, listeners: Sequence[Progress]) -> None:
        self._listeners = tuple(listeners)


def _forwarding(name: str) -> Callable[..., None]:
    def forward(self: ProgressGroup, *args: Any, **kwargs: Any) -> None:
        for listener in self._listeners:
            getattr(listener, name)(*args, **kwargs)

    return forward


for _name in [name for name in vars(Progress) if not name.startswith("_")]:
    setattr(ProgressGroup, _name, _forwarding(_name))
