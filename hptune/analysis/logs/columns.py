"""A log's columns by what their names say, as series over the steps, and which of them to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hptune.analysis.logs.names import MEASURES, STEPS, Name, read_name
from hptune.analysis.logs.numbers import numbers_of
from hptune.analysis.logs.order import Column, series_of, steps_of
from hptune.analysis.logs.table import Table
from hptune.analysis.smoothing import FloatArray

if TYPE_CHECKING:
    import pandas as pd

Cells = tuple[FloatArray, NDArray[np.bool_], NDArray[np.bool_]]  # as `numbers_of` returns them
ENOUGH = 5  # readings; a column of fewer is a summary, where another has more


@dataclass
class Columns:
    """The columns of a log whose names say what they are.

    Attributes:
        readings: By step, rising; a column a measure, NaN where it was not read there.
        names: What each column's name says.
        step: In words, what the steps are.
        notes: What was changed or left out.
        taken: In words, which columns were read as what.
    """

    readings: pd.DataFrame
    names: dict[str, Name]
    step: str
    notes: list[str]
    taken: list[str] = field(default_factory=list)
    _used: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, table: Table) -> Columns:
        """Return the columns of a table."""
        import pandas as pd

        names = {column: name for column in table.names if (name := read_name(column))}
        cells = {
            column: _numbers(table.cells[column], name.measure) for column, name in names.items()
        }
        notes = {
            f"cells of {c!r} that are no number": int(b.sum()) for c, (_, _, b) in cells.items()
        }
        steps, step, lost = _steps(names, cells)
        notes["rows without a step left out"] = lost
        series = {}
        for column, name in names.items():
            if name.measure not in STEPS:
                (at, values), changed = series_of(steps, *cells[column][:2])
                series[column] = pd.Series(values, at)
                notes |= {what: max(rows, notes.get(what, 0)) for what, rows in changed.items()}
        losses = [column for column in series if names[column].measure in MEASURES]
        if any(_count(cells[column][0]) for column in losses):
            # One that is never a number tells of divergence only where there is no other.
            never = [column for column in losses if not _count(cells[column][0])]
            series |= {column: series[column][:0] for column in never}
        readings = pd.concat(series, axis=1).sort_index() if series else pd.DataFrame()
        told = [f"{what}: {rows}" for what, rows in notes.items() if rows]
        return cls(readings, names, step, [*table.notes, *told])

    def take(
        self, role: str, measure: str, parts: Sequence[str] = ("", "train", "val", "test")
    ) -> FloatArray:
        """Return the values of a measure over the steps, NaN where there are none, and keep what they are.

        Args:
            role: What they are read as.
            measure: As in `Name`.
            parts: Of the data, the best first.
        """
        columns = self.chosen(measure, parts)
        if not columns:
            return np.full(len(self.readings), np.nan)
        self._used += columns
        values = self.readings[columns].sum(axis=1, skipna=False).to_numpy(dtype=np.float64)
        what = " + ".join(map(repr, columns))
        self.taken.append(f"{role} from {what} ({np.count_nonzero(~np.isnan(values))})")
        return values

    def chosen(self, measure: str, parts: Sequence[str]) -> list[str]:
        """Return the column of a measure, or those whose sum it is: the losses of a detector."""
        count = self.readings.count()
        fitting = [
            column
            for column, name in self.names.items()
            if name.measure == measure and name.part in parts and count.get(column, 0)
        ]
        most = max((count[c] for c in fitting), default=0)
        enough = [c for c in fitting if count[c] >= min(ENOUGH, most)]

        def rank(column: str) -> tuple[int, ...]:
            name = self.names[column]
            of_part = parts.index(name.part)
            if measure == "loss" and "train" in parts:  # the one that was read most often
                return len(name.extra), -count[column], of_part
            return len(name.extra), of_part, name.by_step, -count[column]

        best = min(enough, key=rank, default=None)
        if best is None:
            return []
        first = self.names[best]
        if not first.extra or measure not in ("loss", "error"):
            return [best]
        same = (first.part, first.by_step)
        return [c for c in enough if (self.names[c].part, self.names[c].by_step) == same]

    @property
    def left_out(self) -> list[str]:
        """The columns of losses, accuracies and LRs that were not taken."""
        unread = (*STEPS, "momentum")
        return [
            c for c in self.names if c not in self._used and self.names[c].measure not in unread
        ]


def _numbers(text: pd.Series[str], measure: str) -> Cells:
    """Return a column's numbers, as `numbers_of` does; what is infinite is one of a loss alone."""
    import pandas as pd

    values, said, bad = numbers_of(text, counts=measure in STEPS)
    if measure == "time" and bad.any():
        times = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
        bad = times.isna().to_numpy()
        values = np.where(bad, np.nan, times.astype("int64").to_numpy().astype(np.float64))
    if measure not in MEASURES:
        values, said = np.where(np.isfinite(values), values, np.nan), np.zeros_like(said)
    return values, said, bad


def _steps(names: dict[str, Name], cells: dict[str, Cells]) -> tuple[FloatArray, str, int]:
    """Return the step of each row, in words what it is, and how many readings have none."""

    def fullest(*measures: str) -> Column | None:
        fitting = [(c, cells[c][0]) for c, name in names.items() if name.measure in measures]
        known = [column for column in fitting if _count(column[1])]
        return max(known, key=lambda column: _count(column[1]), default=None)

    densest = fullest(*MEASURES)
    rows = len(next(iter(cells.values()))[0]) if cells else 0
    measured = np.isfinite(densest[1]) if densest else np.zeros(rows, dtype=bool)
    epoch = fullest("epoch")
    iteration = fullest("iteration") or (None if epoch else fullest("row") or fullest("time"))
    steps, told = steps_of(iteration, epoch, measured)
    for column in iteration, epoch:
        if column:  # "mean" in the place of a step: no reading of the run
            steps = np.where(cells[column[0]][2], np.nan, steps)
    return steps, told, int((np.isnan(steps) & measured).sum())


def _count(values: FloatArray) -> int:
    return int(np.isfinite(values).sum())
