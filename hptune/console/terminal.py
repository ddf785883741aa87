"""Progress on the terminal: a live view, or plain lines in a pipe."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hptune.results.evidence import Comparison, Evidence
from hptune.results.records import Decision, Status, Trial, TrialProgress, TrialResult

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.table import Table

    from hptune.console.live import LiveView

PLAIN_SECONDS = 60.0  # after which a trial that goes on is told of in a line


class Console:
    """Tells of a run on stderr; implements `hptune.trials.progress.Progress`.

    On a terminal the trials that run are shown live at its foot. In a pipe, in a terminal that
    cannot move its cursor and with NO_COLOR there are plain lines.

    Args:
        silent: Whether to tell nothing at all.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self._live = not silent and _shows_live()
        self._made: RichConsole | None = None
        self._view: LiveView | None = None
        self._planned: dict[str, float] = {}  # examples
        self._told: dict[str, float] = {}  # when a plain line was last printed, by the trial's id

    def message(self, text: str) -> None:
        """Print a line."""
        if not self._silent:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def planned(self, examples: Mapping[str, float]) -> None:
        """Take in how long the stages will be, so that the time left can be told."""
        self._planned = dict(examples)

    def stage_started(self, stage: str, title: str) -> None:
        """Print a heading."""
        if self._silent:
            return
        self._console.print()
        self._console.print(title, style="bold", markup=False)
        if self._live:
            if self._view is None:
                from hptune.console.live import LiveView

                self._view = LiveView(self._console, share_stdout=sys.stdout.isatty())
            stages = list(self._planned)
            later = stages[stages.index(stage) + 1 :] if stage in stages else []
            after = sum(self._planned[other] for other in later)
            self._view.stage_started(title, self._planned.get(stage, 0.0), after)

    def trial_started(self, trial: Trial, number: int, of: int) -> None:
        """Show the trial beside those that run."""
        if self._view is not None:
            self._view.trial_started(trial, number, of)
        self._told[trial.id] = time.monotonic()

    def trial_progressed(self, trial: Trial, trial_progress: TrialProgress) -> None:
        """Show where the trial is; in a pipe, tell of a long one now and then."""
        if self._view is not None:
            self._view.trial_progressed(trial, trial_progress)
        elif time.monotonic() - self._told.get(trial.id, 0.0) > PLAIN_SECONDS:
            self._told[trial.id] = time.monotonic()
            val = (
                f"  val_loss {trial_progress.readings[-1][2]:.4g}"
                if trial_progress.readings
                else ""
            )
            self.message(
                f"  {_short(trial)}  iteration {trial_progress.iteration + 1} of {trial.iterations}  "
                f"train_loss {trial_progress.train_loss:.4g}{val}"
            )

    def trial_paused(self, result: TrialResult) -> None:
        """Show no longer that the trial runs."""
        if self._view is not None:
            self._view.trial_left(result)

    def trial_finished(self, result: TrialResult, *, reused: bool) -> None:
        """Show no longer that the trial runs; in a pipe, print a line."""
        if self._view is not None:
            self._view.trial_left(result)
        if self._silent:
            return
        if result.status is Status.FAILED:
            self._paragraph(f"failed: {result.message}", style="yellow")
        if self._live:
            return
        self.message(
            f"  {_short(result.trial)}  {result.status}  val_loss {_number(result.val_loss)}"
            + "".join(f"  val_{k} {_number(v)}" for k, v in result.val_metrics.items())
            + ("  (from the run directory)" if reused else f"  {result.seconds:.1f} s")
        )

    def stage_finished(
        self,
        stage: str,
        results: Sequence[TrialResult],
        decisions: Sequence[Decision],
        evidence: Sequence[Evidence],
    ) -> None:
        """Print the answer, then why, then what was compared, from the records of the decision."""
        self.close()
        if self._silent:
            return
        for d in decisions:
            self._console.print(f"-> {d.parameter} = {_value(d.value)}", style="bold", markup=False)
            if sure := how_sure(d, evidence):
                self._paragraph(sure, style="bold")
            if d.reason not in sure:
                self._paragraph(d.reason)
        for one in evidence:
            if isinstance(one, Comparison):
                self._console.print(comparison_table(one))
        # A maximum and its minimum have warnings in common.
        for warning in dict.fromkeys(warning for d in decisions for warning in d.warnings):
            self._paragraph(f"warning: {warning}", style="yellow")

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._view is not None:
            self._view.stop()

    def _paragraph(self, text: str, style: str = "") -> None:
        """Print indented text, in a pipe as one line."""
        from rich.padding import Padding
        from rich.text import Text

        shown = Text(text, style=style)
        if self._live:
            self._console.print(Padding(shown, (0, 0, 0, 3)))
        else:
            self._console.print(Text("   ") + shown, soft_wrap=True)

    @property
    def _console(self) -> RichConsole:
        if self._made is None:
            from rich.console import Console as RichConsole

            # Without a live view there are no control characters either, whatever is set.
            self._made = RichConsole(stderr=True, force_terminal=None if self._live else False)
        return self._made


def _shows_live() -> bool:
    unknown = "" if os.name == "nt" else "dumb"
    still = os.environ.get("TERM", unknown) in ("dumb", "unknown")
    return sys.stderr.isatty() and not still and not os.environ.get("NO_COLOR")


def how_sure(decision: Decision, evidence: Sequence[Evidence]) -> str:
    """Return how far a decided value can be trusted, and why; "" for a result of the final run."""
    from hptune.report.trust import is_result, trust_of

    if is_result(decision):
        return ""
    trust = trust_of(decision, evidence)
    return trust.why if trust.word == "follows" else f"{trust.word}: {trust.why}"


def comparison_table(comparison: Comparison) -> Table:
    """Return what a decision compared, as a table; the chosen row is bold."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    by = "validation " + comparison.by.replace("_", " ")
    table = Table(box=box.SIMPLE_HEAD, title=Text(comparison.rule), title_justify="left")
    for name in (comparison.parameter, by, "worse by", "seeds"):
        table.add_column(Text(name), justify="left" if name == comparison.parameter else "right")
    table.add_column("")
    for c in comparison.candidates:
        best = "best" if c.label == comparison.best else "tied with the best" if c.tied else ""
        ended = best if c.status == Status.COMPLETE else c.status
        cells = (c.label, _number(c.score), _number(c.difference), str(len(c.seeds)), ended)
        table.add_row(*map(Text, cells), style="bold" if c.label == comparison.chosen else "")
    return table


def decisions_table(decisions: Sequence[Decision], evidence: Sequence[Evidence]) -> Table:
    """Return decisions as a table, with how far each can be trusted."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, title="Decisions", title_justify="left")
    for name in ("stage", "parameter", "value"):
        table.add_column(name, no_wrap=True)
    table.add_column("why", ratio=1)
    for d in decisions:
        sure = how_sure(d, evidence)
        why = sure if d.reason in sure else f"{sure} {d.reason}".strip()
        if d.warnings:
            why += "; warning: " + "; ".join(d.warnings)
        cells = (d.stage, d.parameter, _value(d.value), why)
        table.add_row(*map(Text, cells))
    return table


def _short(trial: Trial) -> str:
    low = "" if trial.momentum_min is None else f"-{trial.momentum_min:g}"
    return (
        f"{trial.stage}  batch {trial.batch_size}  lr {trial.lr:.3g}  "
        f"momentum {trial.momentum:g}{low}  wd {trial.weight_decay:g}"
        + "".join(f"  {k}={v}" for k, v in trial.extra.items())
        + f"  seed {trial.seed}"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
