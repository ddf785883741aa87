"""Progress on the terminal: a live view, or plain lines in a pipe."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hptune.results.evidence import Comparison, Evidence, Model
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
        still = os.name != "nt" and os.environ.get("TERM", "dumb") in ("dumb", "unknown")
        plain = silent or still or not sys.stderr.isatty() or bool(os.environ.get("NO_COLOR"))
        self._live = not plain
        # Without a live view there are no control characters either, whatever is set.
        forced = False if plain else None
        self._console = _rich_console(stderr=True, force_terminal=forced, quiet=silent)
        self._view: LiveView | None = None
        self._planned: dict[str, float] = {}  # examples
        self._told: dict[str, float] = {}  # when a plain line was last printed, by the trial's id

    @property
    def live(self) -> bool:
        """Whether it can move the cursor."""
        return self._live

    @property
    def rich(self) -> RichConsole:
        """What it prints to."""
        return self._console

    def message(self, text: str) -> None:
        """Print a line, in a pipe however long it is."""
        self._console.print(text, soft_wrap=not self._live)

    def planned(self, examples: Mapping[str, float]) -> None:
        """Take in how long the stages will be, so that the time left can be told."""
        self._planned = dict(examples)

    def stage_started(self, stage: str, title: str) -> None:
        """Print a heading."""
        self.close()
        self._console.print()
        self._console.print(title, style="bold")
        if self._live:
            from hptune.console.live import LiveView

            stages = list(self._planned)
            later = stages[stages.index(stage) + 1 :] if stage in stages else []
            after = sum(self._planned[other] for other in later)
            self._view = LiveView(self._console, title, self._planned.get(stage, 0.0), after)

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
            readings = trial_progress.readings
            self.message(
                f"  {_short(trial)}  iteration {trial_progress.iteration + 1} of {trial.iterations}  "
                f"train_loss {shown(trial_progress.train_loss)}"
                + (f"  val_loss {shown(readings[-1][2])}" if readings else "")
            )

    def trial_paused(self, result: TrialResult) -> None:
        """Show no longer that the trial runs."""
        if self._view is not None:
            self._view.trial_left(result)

    def trial_finished(self, result: TrialResult, *, reused: bool) -> None:
        """Show no longer that the trial runs; in a pipe, print a line."""
        self.trial_paused(result)
        if result.status is Status.FAILED:
            self._paragraph(f"failed: {result.message}", style="yellow")
        if not self._live:
            values = {"val_loss": result.val_loss}
            values |= {f"val_{name}": value for name, value in result.val_metrics.items()}
            self.message(
                f"  {_short(result.trial)}  {result.status}"
                + "".join(f"  {name} {shown(value)}" for name, value in values.items())
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
        words = [f"{d.parameter} = {shown(d.value)}" for d in decisions]
        own = [n for n, d in enumerate(decisions) if n == 0 or not _follows(d, evidence)]
        for n, after in zip(own, [*own[1:], len(decisions)], strict=True):
            d, sure = decisions[n], how_sure(decisions[n], evidence)
            self._console.print(f"-> {words[n]}", style="bold")
            if sure:
                self._paragraph(sure, style="bold")
            if d.reason not in sure:
                self._paragraph(d.reason)
            if words[n + 1 : after]:
                self._paragraph(f"and with it {', '.join(words[n + 1 : after])}", style="bold")
        for one in evidence:
            if isinstance(one, Comparison):
                self._console.print(comparison_table(one))
            elif isinstance(one, Model):
                self._console.print(model_table(one))
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

        padded = Padding(text, (0, 0, 0, 3)) if self._live else f"   {text}"
        self._console.print(padded, style=style, soft_wrap=not self._live)


def stdout_console(width: int | None = None) -> RichConsole:
    """Return a console on stdout, of the width that is given, else of COLUMNS, else of the terminal.

    A file is not a terminal of 80 columns: its lines are long.
    """
    asked = os.environ.get("COLUMNS", "")
    if width is None and asked.isdigit() and int(asked):
        width = int(asked)
    elif width is None and not sys.stdout.isatty():
        width = 160
    return _rich_console(width=width)


def how_sure(decision: Decision, evidence: Sequence[Evidence]) -> str:
    """Return how far a decided value can be trusted, and why; "" for a result of the final run."""
    from hptune.report.trust import is_result, trust_of

    if is_result(decision):
        return ""
    trust = trust_of(decision, evidence)
    return trust.why if trust.word == "follows" else f"{trust.word}: {trust.why}"


def _follows(decision: Decision, evidence: Sequence[Evidence]) -> bool:
    """Say whether a value goes with one that is told before it."""
    from hptune.report.trust import is_result, trust_of

    return not is_result(decision) and trust_of(decision, evidence).word == "follows"


def comparison_table(comparison: Comparison) -> Table:
    """Return what a decision compared, as a table, the best first; the chosen row is bold."""
    by = "validation " + comparison.by.replace("_", " ")
    table = plain_table(comparison.rule, [comparison.parameter], [by, "worse by", "seeds"])
    table.add_column("")
    ranked = sorted(
        comparison.candidates, key=lambda c: (c.difference is None, c.difference or 0.0)
    )
    for c in ranked:
        best = "best" if c.label == comparison.best else "tied with the best" if c.tied else ""
        ended = best if c.status == Status.COMPLETE else c.status
        cells = (c.label, shown(c.score), shown(c.difference), str(len(c.seeds)), ended)
        table.add_row(*cells, style="bold" if c.label == comparison.chosen else "")
    return table


def model_table(model: Model) -> Table:
    """Return where the best values lie, as a table."""
    title = f"Model of {len(model.trials)} trials: the best value lies between the ends with 90 %"
    table = plain_table(title, ["value"], ["decided", "from", "to"])
    for name, (low, high) in model.intervals.items():
        table.add_row(name, *map(shown, (model.values[name], low, high)))
    return table


def decisions_table(decisions: Sequence[Decision], evidence: Sequence[Evidence]) -> Table:
    """Return decisions as a table, with how far each can be trusted."""
    table = plain_table("Decisions", ["stage", "parameter", "value"])
    for column in table.columns:
        column.no_wrap = True
    table.add_column("why", ratio=1)
    for d in decisions:
        sure = how_sure(d, evidence)
        why = sure if d.reason in sure else f"{sure} {d.reason}".strip()
        if d.warnings:
            why += "; warning: " + "; ".join(d.warnings)
        table.add_row(d.stage, d.parameter, shown(d.value), why)
    return table


def plain_table(title: str, texts: Sequence[str], numbers: Sequence[str] = ()) -> Table:
    """Return an empty table with columns of text, and others of numbers."""
    from rich import box
    from rich.table import Column, Table

    right = (Column(name, justify="right") for name in numbers)
    return Table(*texts, *right, box=box.SIMPLE_HEAD, title=title, title_justify="left")


def _rich_console(**options: Any) -> RichConsole:
    """Return a console that shows text as it is."""
    from rich.console import Console as RichConsole

    return RichConsole(markup=False, emoji=False, highlight=False, **options)


def _short(trial: Trial) -> str:
    low = "" if trial.momentum_min is None else f"-{trial.momentum_min:g}"
    told = {
        "batch_size": f"batch {trial.batch_size}",
        "lr": f"lr {trial.lr:.3g}",
        "momentum": f"momentum {trial.momentum:g}{low}",
        "weight_decay": f"wd {trial.weight_decay:g}",
    }
    words = [text for name, text in told.items() if name not in trial.fixed]
    words += [f"{key}={value}" for key, value in trial.extra.items()]
    return "  ".join([trial.stage, *words, f"seed {trial.seed}"])


def shown(value: object, nothing: str = "-") -> str:
    """Return a value of a row as text, a number with four significant figures."""
    if value is None:
        return nothing
    return f"{value:.4g}" if isinstance(value, float) else str(value)
