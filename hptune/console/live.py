"""What the terminal shows while trials run: a stage, its trials, their losses, and a small curve."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hptune.results.records import Status, Trial, TrialProgress, TrialResult
from hptune.stages import BATCH_SIZE, FINAL, MOMENTUM, TRAIN, WEIGHT_DECAY

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.console import RenderableType
    from rich.live import Live
    from rich.table import Table

PER_SECOND = 3  # refreshes
ROWS = 4  # trials that are shown at once; what is trained as one may be many more
CURVE_HEIGHT, CURVE_NEEDS = 6, 18  # lines of the curve, and of a terminal that shows it
WIDE, NARROW = 100, 66  # columns: from where bars are shown, below which there is little else
SPARE = 3  # columns at the right: Ctrl-C shows as ^C, and must not begin a line
PACE_SECONDS = 20.0  # over which the speed is taken

Reading = tuple[int, float, float]
"""Of the validation set: iteration, LR, loss."""


@dataclass(frozen=True)
class Row:
    """A trial as it is shown."""

    trial: Trial
    number: int
    trial_progress: TrialProgress | None = None
    ended: bool = False

    @property
    def done(self) -> int:
        """Iterations behind it."""
        return 0 if self.trial_progress is None else self.trial_progress.iteration + 1

    @property
    def readings(self) -> Sequence[Reading]:
        """Of the validation set so far."""
        return () if self.trial_progress is None else self.trial_progress.readings


class Pace:
    """The speed of all trials together, examples/s, over the last seconds.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self.examples = clock, 0.0
        self._marks: deque[tuple[float, float]] = deque([(clock(), 0.0)])

    def add(self, examples: float) -> None:
        """Count examples that were trained on just now."""
        now = self._clock()
        self.examples += examples
        self._marks.append((now, self.examples))
        while len(self._marks) > 2 and now - self._marks[1][0] > PACE_SECONDS:
            self._marks.popleft()

    @property
    def examples_per_second(self) -> float | None:
        """None before anything is known."""
        (start, before), (end, after) = self._marks[0], self._marks[-1]
        return (after - before) / (end - start) if end > start and after > before else None


class LiveView:
    """Shows a stage's trials at the foot of the terminal until it is told to stop.

    What is told is only kept; a thread draws it a few times a second, so trials wait for nothing.

    Args:
        console: Of the terminal.
        share_stdout: Whether stdout is the same terminal: what is printed there goes above.
    """

    def __init__(self, console: RichConsole, *, share_stdout: bool) -> None:
        self._console, self._share_stdout = console, share_stdout
        self._lock = threading.Lock()
        self._live: Live | None = None
        self.stage_started("")

    def stage_started(self, title: str, planned: float = 0.0, after: float = 0.0) -> None:
        """Forget the stage before.

        Args:
            title: Of the stage.
            planned: Examples that the stage may train on, 0 where that is not known.
            after: Examples of the stages after it.
        """
        self._planned, self._after, self._reused = planned, after, 0.0
        self._title, self._began, self._pace = title, time.monotonic(), Pace()
        self._rows: dict[str, Row] = {}  # by the trial's id
        self._reached: dict[str, int] = {}  # iterations that are counted, by the trial's id
        self._number = self._of = 0
        self._best: TrialResult | None = None

    def trial_started(self, trial: Trial, number: int, of: int) -> None:
        """Show a trial, in the place of those that have ended."""
        with self._lock:
            self._rows = {key: row for key, row in self._rows.items() if not row.ended}
            self._rows[trial.id] = Row(trial, number)
            self._number, self._of = max(number, len(self._rows)), of
        if self._live is None:
            self._start()

    def trial_progressed(self, trial: Trial, trial_progress: TrialProgress) -> None:
        """Take in where a trial is."""
        with self._lock:
            row = self._rows.get(trial.id)
            if row is not None:
                self._count(trial, trial_progress.iteration + 1, since=trial_progress.began)
                self._rows[trial.id] = replace(row, trial_progress=trial_progress)

    def trial_left(self, result: TrialResult) -> None:
        """Take in that a trial ended or stopped on its way; it stays until another takes its place."""
        trial = result.trial
        with self._lock:
            row = self._rows.get(trial.id)
            if row is None:  # found in the run directory
                self._reused += len(result.curve) * trial.batch_size
                return
            self._count(trial, len(result.curve), since=0)
            self._rows[trial.id] = replace(row, trial_progress=_at_the_end(result), ended=True)
            if result.status is Status.COMPLETE and _is_better(result, self._best):
                self._best = result

    def stop(self) -> None:
        """Take everything away that is shown."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.constrain import Constrain
        from rich.text import Text

        with self._lock:
            rows = sorted(self._rows.values(), key=lambda row: (row.ended, row.number))
            best, headline = self._best, self._headline()
        width, height = self._console.width - SPARE, self._console.height
        lines = ["  ".join(headline)] if width >= WIDE else ["  ".join(headline[:-1]), headline[-1]]
        parts: list[RenderableType] = [
            Text(line, no_wrap=True, overflow="ellipsis") for line in lines
        ]
        if rows:
            parts.append(_table(rows[:ROWS], width))
        if len(rows) > ROWS:
            parts.append(Text(f"  and {len(rows) - ROWS} more beside them", style="dim"))
        if height >= CURVE_NEEDS:
            lines = _curve(rows[:ROWS], best, width, _ascii_only(self._console))
            parts += [Text(line, style="cyan", no_wrap=True) for line in lines]
        return Constrain(Group(*parts), width)

    def _start(self) -> None:
        from rich.live import Live

        self._live = Live(
            console=self._console,
            get_renderable=self.__rich__,
            refresh_per_second=PER_SECOND,
            transient=True,
            redirect_stdout=self._share_stdout,
        )
        self._live.start()

    def _count(self, trial: Trial, done: int, *, since: int) -> None:
        before = self._reached.get(trial.id, since)
        if done > before:
            self._pace.add((done - before) * trial.batch_size)
            self._reached[trial.id] = done

    def _headline(self) -> list[str]:
        """Return what is said of the whole stage, the times at the end."""
        running = [row for row in self._rows.values() if not row.ended]
        beside = f", {len(running)} at once" if len(running) > 1 else ""
        parts = [self._title, f"trial {self._number} of {self._of}{beside}"]
        times = f"{duration(time.monotonic() - self._began)} so far"
        pace = self._pace.examples_per_second
        if pace is not None and self._rows:
            parts.append(f"{_count_of(pace)} examples/s")
            left = self._examples_left(running)
            whole = max(left, self._planned - self._pace.examples - self._reused) + self._after
            times += f", about {duration(left / pace)} left"
            if self._after:
                times += f", {duration(whole / pace)} of the run"
        return [*parts, times]

    def _examples_left(self, running: Sequence[Row]) -> float:
        """Return the examples before the trials that are known are all done."""
        sizes = [row.trial.iterations * row.trial.batch_size for row in self._rows.values()]
        waiting = max(0, self._of - self._number) * sum(sizes) / len(sizes)
        return waiting + sum(
            (row.trial.iterations - row.done) * row.trial.batch_size for row in running
        )


def candidate(trial: Trial) -> list[str]:
    """Name a trial by its hyper-parameters, first what its stage compares."""
    low = "" if trial.momentum_min is None else f"-{trial.momentum_min:g}"
    momentum, wd = f"momentum {trial.momentum:g}{low}", f"wd {trial.weight_decay:g}"
    lr, batch = f"lr {trial.lr:.3g}", f"batch {trial.batch_size}"
    if trial.policy.name == "lr-range":
        return [f"lr {trial.lr_min or 0:.2g} to {trial.lr:.2g}", momentum, wd, batch]
    if trial.extra:
        swept = (f"{key.split('.')[-1]} {value}" for key, value in trial.extra.items())
        return [*swept, lr, momentum, wd, batch]
    order = {
        MOMENTUM: [momentum, lr, wd, batch],
        WEIGHT_DECAY: [wd, lr, momentum, batch],
        BATCH_SIZE: [batch, lr, wd, momentum],
        FINAL: [f"seed {trial.seed}", lr, momentum, wd, batch],
        TRAIN: [f"seed {trial.seed}", lr, momentum, wd, batch],
    }
    return order.get(trial.stage, [lr, momentum, wd, batch])


def duration(seconds: float) -> str:
    """Return a time as 0:42, 12:05 or 3:04:10."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _table(rows: Sequence[Row], width: int) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), width=width, pad_edge=False)
    table.add_column("trial", no_wrap=True, justify="right")
    table.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
    if width >= WIDE:
        table.add_column("", width=width // 6)
    names = ["iteration", "lr", "momentum", "train loss", "val loss"]
    if width < NARROW:
        names = ["iteration", "lr", "val loss"]
    for name in names:
        table.add_column(name, no_wrap=True, justify="right")
    for row in rows:
        bar = ProgressBar(total=row.trial.iterations, completed=row.done)
        label = "  ".join(candidate(row.trial)[: None if width >= WIDE else 1])
        table.add_row(
            str(row.number),
            label if width >= NARROW else "",
            *([bar] if width >= WIDE else []),
            *(_values(row)[name] for name in names),
            style="dim" if row.ended else "",
        )
    return table


def _values(row: Row) -> dict[str, str]:
    now = row.trial_progress
    return {
        "iteration": f"{row.done}/{row.trial.iterations}",
        "lr": "" if now is None else f"{now.lr:.3g}",
        "momentum": "" if now is None else f"{now.momentum:.3f}",
        "train loss": "" if now is None else f"{now.train_loss:.4g}",
        "val loss": f"{row.readings[-1][2]:.4g}" if row.readings else "",
    }


def _curve(
    rows: Sequence[Row], best: TrialResult | None, width: int, ascii_only: bool
) -> list[str]:
    """Draw the validation losses of what runs, and of the stage's best for comparison."""
    import numpy as np

    from hptune.report.aggregate import wants_log
    from hptune.report.text_plot import Line, draw

    ranging = bool(rows) and rows[0].trial.policy.name == "lr-range"
    shown = [(f"trial {row.number}", row.readings) for row in rows if len(row.readings) > 1]
    if best is not None and not ranging and all(best.trial.id != row.trial.id for row in rows):
        shown.append(("best so far", _readings(best)))
    lines = []
    for name, readings in shown:
        table = np.array(readings, dtype=float)
        x, y = table[:, 1] if ranging else table[:, 0] + 1, table[:, 2]
        lines.append(Line(x, y, f"{name}: {y[-1]:.4g}"))
    if not lines:
        return []
    log_y = wants_log([line.y for line in lines])
    text, _ = draw(
        lines, x_name="learning rate" if ranging else "iteration", log_x=ranging, log_y=log_y,
        limits=_limits([line.y for line in lines]), width=width, height=CURVE_HEIGHT,
        ascii_only=ascii_only,
    )  # fmt: skip
    return [f"validation loss{' (log)' * log_y}", *text]


def _limits(losses: Sequence[object]) -> tuple[float, float] | None:
    """Return what to show of losses: a little above where they start, for some run away."""
    import numpy as np

    finite = [y[np.isfinite(y)] for y in map(np.asarray, losses)]
    finite = [y for y in finite if len(y)]
    if not finite:
        return None
    low, start = min(float(y.min()) for y in finite), max(float(y[0]) for y in finite)
    high = max(float(y.max()) for y in finite)
    return low, min(high, start + 0.3 * (start - low)) if start > low else high


def _readings(result: TrialResult) -> tuple[Reading, ...]:
    curve = result.curve
    read = (curve.val_loss == curve.val_loss).nonzero()[0]  # NaN: not read
    columns = (curve.iteration, curve.lr, curve.val_loss)
    return tuple(zip(*(column[read].tolist() for column in columns), strict=True))


def _at_the_end(result: TrialResult) -> TrialProgress | None:
    curve = result.curve
    if not len(curve):
        return None
    loss = float(curve.train_loss[-1]) if result.train_loss is None else result.train_loss
    return TrialProgress(
        iteration=len(curve) - 1,
        began=0,
        lr=float(curve.lr[-1]),
        momentum=float(curve.momentum[-1]),
        train_loss=loss,
        readings=_readings(result),
    )


def _is_better(result: TrialResult, best: TrialResult | None) -> bool:
    if result.val_loss is None or result.trial.policy.name == "lr-range":
        return False
    return best is None or best.val_loss is None or result.val_loss < best.val_loss


def _count_of(number: float) -> str:
    return f"{number / 1000:.3g}k" if number >= 10_000 else f"{number:.0f}"


def _ascii_only(console: RichConsole) -> bool:
    return not console.encoding.lower().startswith("utf")
