"""Progress on the terminal: a live view, or plain lines in a pipe."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hptune.results.evidence import Evidence
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
        """Print the stage's trials and what it decided."""
        self.close()
        if self._silent:
            return
        if self._live:
            columns = _hyper_parameters(results).items()
            shared = [f"{name} {own[0]}" for name, own in columns if len(set(own)) == 1]
            self._console.print("all with " + "  ".join(shared), style="dim", markup=False)
            self._console.print(trials_table(results))
        warned: set[str] = set()
        for d in decisions:
            self._console.print(f"-> {d.parameter} = {_value(d.value)}", style="bold", markup=False)
            self._paragraph(d.rule)
            self._paragraph(d.reason)
            for warning in d.warnings:
                if warning not in warned:  # a maximum and its minimum have theirs in common
                    self._paragraph(f"warning: {warning}", style="yellow")
            warned.update(d.warnings)

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


def trials_table(results: Sequence[TrialResult]) -> Table:
    """Return a stage's trials as a table of what they differ in."""
    from rich import box
    from rich.table import Table

    columns = _hyper_parameters(results)
    differing = [name for name, own in columns.items() if len(set(own)) > 1]
    statuses = {r.status for r in results}
    metrics = list(results[0].val_metrics) if results else []
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in differing:
        table.add_column(name)
    if statuses != {Status.COMPLETE}:
        table.add_column("status")
    for name in ("train_loss", "val_loss", *(f"val_{m}" for m in metrics)):
        table.add_column(name, justify="right")
    for k, r in enumerate(results):
        table.add_row(
            *(columns[name][k] for name in differing),
            *([str(r.status)] if statuses != {Status.COMPLETE} else []),
            _number(r.train_loss),
            _number(r.val_loss),
            *(_number(r.val_metrics.get(m)) for m in metrics),
            style="" if r.status is Status.COMPLETE else "dim",
        )
    return table


def _hyper_parameters(results: Sequence[TrialResult]) -> dict[str, list[str]]:
    """Return the trials' hyper-parameters as text, by their names."""
    columns: dict[str, list[str]] = {}
    for r in results:
        t = r.trial
        low = "" if t.momentum_min is None else f"-{t.momentum_min:g}"
        ranges = t.policy.name == "lr-range"
        shown = {
            "batch": str(t.batch_size),
            "lr": f"{t.lr_min:.3g} to {t.lr:.3g}" if ranges else f"{t.lr:.3g}",
            "momentum": f"{t.momentum:g}{low}",
            "wd": f"{t.weight_decay:g}",
            **{key: str(value) for key, value in t.extra.items()},
            "epochs": f"{r.epochs:.1f}",
            "seed": str(t.seed),
        }
        for name, text in shown.items():
            columns.setdefault(name, []).append(text)
    return columns


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
