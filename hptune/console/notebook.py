"""Progress in a notebook: one output, whose last line changes while trials run."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from importlib import import_module
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
    """Tells of a run in few lines of one output, a line for what each stage decided.

    It is changed in its place: a stream of changes would fill a notebook that is executed and saved.
    """

    def __init__(self, *, silent: bool = False) -> None:
        super().__init__(silent=silent)
        self._silent, self._title, self._at = silent, "", ""
        self._lines: list[str] = []
        self._output: Any = None  # IPython's, once there is one
        self._drawn = 0.0

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
        if self._output is not None:
            self._draw()

    def _show(self, text: str) -> None:
        self._draw(text[:WIDTH])
        self._drawn = time.monotonic()

    def _end(self, text: str) -> None:
        self._lines.append(text)
        self._draw()

    def _draw(self, *changing: str) -> None:
        if self._silent:
            return
        display = import_module("IPython.display").display  # which a kernel has
        shown = {"text/plain": "\n".join([*self._lines, *changing])}
        if self._output is None:
            self._output = display(shown, raw=True, display_id=True)
        else:
            self._output.update(shown, raw=True)
