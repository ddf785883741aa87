"""Progress on the terminal: a live bar, or plain lines in a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hptune.results.records import Decision, Stage, Status, Trial, TrialResult

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.progress import Progress as Bars
    from rich.progress import TaskID
    from rich.table import Table


class Console:
    """Tells of a run on stderr; implements `hptune.sweep.progress.Progress`.

    Args:
        silent: Whether to tell nothing at all.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self._live = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        self._made: RichConsole | None = None
        self._bars: Bars | None = None  # those of the trials that run now
        self._bar_of: dict[str, TaskID] = {}  # by the trial's id

    def message(self, text: str) -> None:
        """Print a line."""
        if not self._silent:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def stage_started(self, stage: Stage, title: str) -> None:
        """Print a heading."""
        if not self._silent:
            self._console.print()
            self._console.print(title, style="bold", markup=False)

    def trial_started(self, trial: Trial, number: int, of: int) -> None:
        """Start a bar for the trial, below those of the trials that run beside it."""
        if self._silent or not self._live:
            return
        if self._bars is None:
            self._bars = self._new_bars()
            self._bars.start()
        self._bar_of[trial.id] = self._bars.add_task(
            f"trial {number}/{of}  {_short(trial)}", total=trial.iterations, now=""
        )

    def trial_advanced(
        self, trial: Trial, iteration: int, *, lr: float, train_loss: float, val_loss: float | None
    ) -> None:
        """Move the trial's bar."""
        if self._bars is not None and trial.id in self._bar_of:
            val = "" if val_loss is None else f"  val {val_loss:.4g}"
            now = f"lr {lr:.3g}  train {train_loss:.4g}{val}"
            self._bars.update(self._bar_of[trial.id], completed=iteration + 1, now=now)

    def trial_paused(self, trial: Trial) -> None:
        """Take the trial's bar away."""
        bar = self._bar_of.pop(trial.id, None)
        if self._bars is None or bar is None:
            return
        self._bars.remove_task(bar)
        if not self._bar_of:
            self._bars.stop()
            self._bars = None

    def trial_finished(self, result: TrialResult, *, reused: bool) -> None:
        """Take the trial's bar away; in a pipe, print a line."""
        self.trial_paused(result.trial)
        if self._silent:
            return
        if result.status is Status.FAILED:
            self._console.print(f"   failed: {result.message}", style="yellow", markup=False)
        if self._live:
            return
        self.message(
            f"  {_short(result.trial)}  {result.status}  val_loss {_number(result.val_loss)}"
            + "".join(f"  val_{k} {_number(v)}" for k, v in result.val_metrics.items())
            + ("  (from the run directory)" if reused else f"  {result.seconds:.1f} s")
        )

    def stage_finished(
        self, stage: Stage, results: Sequence[TrialResult], decisions: Sequence[Decision]
    ) -> None:
        """Print the stage's trials and what it decided."""
        if self._silent:
            return
        if self._live:
            self._console.print(trials_table(results))
        for d in decisions:
            self._console.print(f"-> {d.parameter} = {_value(d.value)}", style="bold", markup=False)
            self.message(f"   {d.rule}")
            self.message(f"   {d.reason}")
            for warning in d.warnings:
                self._console.print(f"   warning: {warning}", style="yellow", markup=False)

    def _new_bars(self) -> Bars:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        return Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[now]}"),
            console=self._console,
            transient=True,
        )

    @property
    def _console(self) -> RichConsole:
        if self._made is None:
            from rich.console import Console as RichConsole

            self._made = RichConsole(stderr=True)
        return self._made


def trials_table(results: Sequence[TrialResult]) -> Table:
    """Return a stage's trials as a table."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    metrics = list(results[0].val_metrics) if results else []
    for name in ("batch", "lr", "momentum", "wd", "epochs", "seed", "status"):
        table.add_column(name)
    for name in ("train_loss", "val_loss", *(f"val_{m}" for m in metrics)):
        table.add_column(name, justify="right")
    for r in results:
        t = r.trial
        low = "" if t.momentum_min is None else f"-{t.momentum_min:g}"
        extra = "".join(f" {k}={v}" for k, v in t.extra.items())
        table.add_row(
            str(t.batch_size),
            f"{t.lr_min:.3g} to {t.lr:.3g}" if t.policy.name == "lr-range" else f"{t.lr:.3g}",
            f"{t.momentum:g}{low}",
            f"{t.weight_decay:g}{extra}",
            f"{r.epochs:.1f}",
            str(t.seed),
            str(r.status),
            _number(r.train_loss),
            _number(r.val_loss),
            *(_number(r.val_metrics.get(m)) for m in metrics),
            style="" if r.status is Status.COMPLETE else "dim",
        )
    return table


def decisions_table(decisions: Sequence[Decision]) -> Table:
    """Return decisions as a table."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title="Decisions", title_justify="left")
    for name in ("stage", "parameter", "value"):
        table.add_column(name, no_wrap=True)
    table.add_column("why", ratio=1)
    for d in decisions:
        why = f"{d.rule}: {d.reason}"
        if d.warnings:
            why += "; warning: " + "; ".join(d.warnings)
        table.add_row(str(d.stage), d.parameter, _value(d.value), why)
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
