"""The file in which a loop of the user's own keeps its state, written as often as that costs little."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from hptune.own_loop.assignment import Assignment
from hptune.own_loop.state import state_of
from hptune.training.snapshot import load_state, save_state

SAVE_SECONDS = 5.0  # between two snapshots at least
SAVE_SHARE = 0.02  # of the time: what writing them may take


class Snapshots:
    """Writes and reads the snapshot of one trial, if it has one."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment, self._took = assignment, 0.0
        self.begin()

    def begin(self) -> None:
        """Count the time from now on."""
        self._last = time.perf_counter()

    def are_due(self, done: int) -> bool:
        """Say whether the state after so many iterations is to be written."""
        given = self._assignment
        if given.snapshot is None:
            return False
        ends = done == given.trial.iterations and given.tests  # whose weights are kept
        interval = max(SAVE_SECONDS, self._took / SAVE_SHARE)
        return ends or done == given.until or time.perf_counter() - self._last > interval

    def write(self, done: int, parts: Mapping[str, Any], **known: Any) -> None:
        """Write the state after so many iterations.

        Raises:
            InputError: A part has no state and is no plain value.
        """
        began = time.perf_counter()
        kept = {name: state_of(name, part) for name, part in parts.items()}
        state = {"trial": self._assignment.trial.digest, "iteration": done, "parts": kept, **known}
        assert self._assignment.snapshot is not None
        save_state(self._assignment.snapshot, state)
        self.begin()
        self._took = self._last - began

    def read(self) -> dict[str, Any] | None:
        """Return what was written last; None where there is nothing of this trial."""
        state = load_state(self._assignment.snapshot)
        if state is None or state.get("trial") != self._assignment.trial.digest:
            return None
        return state if "parts" in state else None
