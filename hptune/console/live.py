"""What the terminal shows while trials run: the stage, the time left, and a row for each trial."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.constrain import Constrain
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from hptune.results.records import Trial, TrialProgress, TrialResult
from hptune.stages import STAGES

PER_SECOND = 3  # refreshes
ROWS = 4  # trials that are shown at once; what is trained as one may be many more
WIDE, NARROW = 100, 66  # columns of a terminal that has room for bars, and for most values
SPARE = 3  # columns at the right: Ctrl-C shows as ^C, and must not begin a line
SPARK = 10  # readings in a sparkline
LEVELS = "▁▂▃▄▅▆▇█"
BLANK: dict[str, Any] = dict.fromkeys(("lr", "momentum", "train", "val", "spark"), "")


def _field(name: str) -> TextColumn:
    return TextColumn(f"{{task.fields[{name}]}}", justify="right")


# From how many columns of the terminal on each is shown, and its heading.
COLUMNS: tuple[tuple[int, str, ProgressColumn], ...] = (
    (0, "", TextColumn("{task.description}")),
    (WIDE, "", BarColumn()),
    (0, "iteration", _field("at")),
    (NARROW, "left", TimeRemainingColumn(compact=True)),
    (0, "lr", _field("lr")),
    (NARROW, "momentum", _field("momentum")),
    (NARROW, "train", _field("train")),
    (0, "val", _field("val")),
    (NARROW, "val loss", _field("spark")),
)


class LiveView(Progress):
    """A stage's trials at the foot of the terminal until it is stopped: rich's rows, with headings.

    Trials wait for nothing: what they report is only kept, and rich's thread draws it.

    Args:
        terminal: Where it is shown; what is printed there goes above.
        title: The stage's title.
        planned: Examples that the stage may train on, 0 where that is not known.
        after: Examples of the stages after it.
    """

    def __init__(
        self, terminal: Console, title: str, planned: float = 0.0, after: float = 0.0
    ) -> None:
        self._terminal = terminal  # rich asks for the rows before it keeps its console
        super().__init__(
            console=terminal,
            refresh_per_second=PER_SECOND,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )
        self._planned, self._unknown = planned, 0  # trials that have not begun
        self._sizes: dict[str, int] = {}  # examples of the trials that began
        self._saved: dict[str, int] = {}  # of trials found, and of those left before their end
        self._rows: dict[str, TaskID] = {}  # by the trial's id
        self._ended: set[str] = set()
        totals = {title: 0.0} | ({"whole run": after} if after else {})
        self._totals = {
            self.add_task(name, total=planned + more or None, at="", **BLANK): more
            for name, more in totals.items()
        }

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        """Return the rows under a line of headings, with the columns that fit the terminal."""
        columns = [own for own in COLUMNS if own[0] <= self._terminal.width]
        self.columns = tuple(column for _, _, column in columns)
        table = super().make_tasks_table(tasks)
        table.show_header, table.header_style = True, "dim"
        for shown, (_, heading, _) in zip(table.columns, columns, strict=True):
            shown.header = heading
        return table

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the table, of less than the whole width."""
        yield Constrain(self.make_tasks_table(self.tasks), self._terminal.width - SPARE)

    def trial_started(self, trial: Trial, number: int, of: int) -> None:
        """Show a trial, in the place of those that have ended."""
        for ended in self._ended & self._rows.keys():
            self.remove_task(self._rows.pop(ended))
        self._ended.clear()
        self._sizes[trial.id] = trial.iterations * trial.batch_size
        self._saved.pop(trial.id, None)
        self._unknown = of - number
        at = f"0/{trial.iterations}"
        row = self.add_task(label(trial), total=trial.iterations, at=at, **BLANK)
        self._rows[trial.id] = row
        several = f", {len(self._rows)} at once" if len(self._rows) > 1 else ""
        self.update(next(iter(self._totals)), at=f"trial {number} of {of}{several}")
        for place, shown in enumerate(self._rows.values()):
            self.update(shown, visible=place < ROWS)
        self._plan()
        self.start()

    def trial_progressed(self, trial: Trial, trial_progress: TrialProgress) -> None:
        """Take in where a trial is."""
        losses = [loss for _, _, loss in trial_progress.readings]
        self._advance(
            trial,
            trial_progress.iteration + 1,
            since=trial_progress.began,
            lr=f"{trial_progress.lr:.3g}",
            momentum=f"{trial_progress.momentum:.3f}",
            train=f"{trial_progress.train_loss:.3g}",
            val=f"{losses[-1]:.3g}" if losses else "",
            spark=sparkline(losses) if self._terminal.encoding.startswith("utf") else "",
        )

    def trial_left(self, result: TrialResult) -> None:
        """Take in that a trial ended, paused or was found; its row stays until another begins."""
        trial, done = result.trial, len(result.curve)
        if trial.id in self._rows:
            self._advance(trial, done, since=0)
            self._ended.add(trial.id)
            self._saved[trial.id] = (trial.iterations - done) * trial.batch_size
        elif self._planned:
            self._saved[trial.id] = done * trial.batch_size
        self._plan()

    def _advance(self, trial: Trial, done: int, *, since: int, **fields: Any) -> None:
        row = self._rows.get(trial.id)
        if row is None:
            return
        task = {task.id: task for task in self.tasks}[row]
        task.completed = max(task.completed, since)  # a resumed trial was not trained in a moment
        for total in self._totals:
            self.advance(total, (done - task.completed) * trial.batch_size)
        self.update(row, completed=done, at=f"{done}/{trial.iterations}", **fields)

    def _plan(self) -> None:
        """Set the examples of stage and run; rich's `update(total=)` would forget the speed."""
        known = float(sum(self._sizes.values()))
        known += known / max(1, len(self._sizes)) * self._unknown
        stage = max((self._planned or known) - sum(self._saved.values()), 0)
        for task in self.tasks[: len(self._totals)]:
            task.total = stage + self._totals[task.id]


def label(trial: Trial) -> str:
    """Name a trial by what its stage compares."""
    if trial.policy.name == "lr-range":
        return f"lr {trial.lr_min or 0:.2g} to {trial.lr:.2g}"
    if trial.extra:
        return " ".join(f"{key.split('.')[-1]} {value}" for key, value in trial.extra.items())
    stage = STAGES[trial.stage]
    if not stage.parameter:
        return f"seed {trial.seed}"
    low = getattr(trial, f"{stage.parameter}_min", None)
    name, value = (stage.aliases or (stage.parameter,))[0], getattr(trial, stage.parameter)
    return f"{name} {value:.3g}" + ("" if low is None else f"-{low:.3g}")


def sparkline(losses: Sequence[float]) -> str:
    """Return the last losses as a row of bars, the lowest bar for the smallest of them."""
    shown = losses[-SPARK:]
    finite = [loss for loss in shown if math.isfinite(loss)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    scale = (len(LEVELS) - 1) / (high - low) if high > low else 0.0
    return "".join(
        LEVELS[round((loss - low) * scale)] if math.isfinite(loss) else LEVELS[-1] for loss in shown
    )
