"""Progress in a notebook: one line that changes while trials run, and one for what each stage decided."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from hptune.console.terminal import Console, shown
from hptune.report.trust import is_result, trust_of
from hptune.results.evidence import Evidence
from hptune.results.records import Decision, Status, Trial, TrialProgress, TrialResult

SECONDS = 0.5  # between two changes of the line
WIDTH = 100  # columns, so that the line is not wrapped


def in_notebook() -> bool:
    """Say whether this runs in the kernel of a notebook: its output is no terminal, and it is kept."""
    ipython: Any = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


class Notebook(Console):
    """Tells of a run on stderr in few lines; a carriage return goes back to the line's start."""

    def __init__(self, *, silent: bool = False) -> None:
        super().__init__(silent=silent)
        self._silent, self._title, self._at = silent, "", ""
        self._length, self._drawn = 0, 0.0

    def message(self, text: str) -> None:
        """Print a line, but not where each value was taken from."""
        if not text.startswith("  "):
            self._end(text)

    def stage_started(self, stage: str, title: str) -> None:
        """Begin the stage's line."""
        self._title, self._at = title, ""
        self._show(title)

    def trial_started(self, trial: Trial, number: int, of: int) -> None:
        """Show which trial runs."""
        self._at = f"trial {number} of {of}"
        self._show(f"{self._title}: {self._at}")

    def trial_progressed(self, trial: Trial, trial_progress: TrialProgress) -> None:
        """Show where the trial is, now and then."""
        if time.monotonic() - self._drawn < SECONDS:
            return
        loss = trial_progress.readings[-1][2] if trial_progress.readings else None
        read = "" if loss is None else f", val_loss {shown(loss)}"
        at = f"iteration {trial_progress.iteration + 1} of {trial.iterations}"
        self._show(f"{self._title}: {self._at}, {at}{read}")

    def trial_finished(self, result: TrialResult, *, reused: bool) -> None:
        """Show what the trial reached; one that failed gets a line of its own."""
        if result.status is Status.FAILED:
            self._end(f"failed: {result.message}")
        self._show(f"{self._title}: {self._at}, val_loss {shown(result.val_loss)}")

    def stage_finished(
        self,
        stage: str,
        results: Sequence[TrialResult],
        decisions: Sequence[Decision],
        evidence: Sequence[Evidence],
    ) -> None:
        """End the line with what was decided, and print the warnings."""
        told = []
        for d in decisions:
            if not d.parameter.endswith("_min"):
                sure = "" if is_result(d) else f" ({trust_of(d, evidence).brief})"
                told.append(f"{d.parameter} = {shown(d.value)}{sure}")
        self._end(f"{self._title}: {', '.join(told)}")
        for warning in dict.fromkeys(warning for d in decisions for warning in d.warnings):
            self._end(f"  warning: {warning}")

    def close(self) -> None:
        """Leave no half line behind."""
        if self._length:
            self._write("\r" + " " * self._length + "\r")
            self._length = 0

    def _show(self, text: str) -> None:
        text = text[:WIDTH]
        self._write("\r" + text.ljust(self._length))
        self._length, self._drawn = len(text), time.monotonic()

    def _end(self, text: str) -> None:
        self.close()
        self._write(text + "\n")

    def _write(self, text: str) -> None:
        if not self._silent:
            sys.stderr.write(text)
            sys.stderr.flush()
