"""What every reader of a log returns: a table of cells as text, of one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Table:
    """The cells of one run's log.

    Attributes:
        cells: A column a measure, in the order of the file; text, blank where nothing was read.
        run: The run's name, "" where the log has none.
        notes: What of the file was guessed or left out, with counts.
    """

    cells: pd.DataFrame
    run: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [str(name) for name in self.cells.columns]


def table_of(columns: Mapping[str, Sequence[str]]) -> Table:
    """Return a table of columns; shorter ones are blank at their end."""
    import pandas as pd

    longest = max(map(len, columns.values()), default=0)
    filled = {name: [*cells, *[""] * (longest - len(cells))] for name, cells in columns.items()}
    return Table(pd.DataFrame(filled, dtype=object))


def table_of_rows(rows: Iterable[Mapping[str, str]]) -> Table:
    """Return a table of rows that name their cells."""
    rows = list(rows)
    names = dict.fromkeys(name for row in rows for name in row)
    return table_of({name: [row.get(name, "") for row in rows] for name in names})


def table_of_series(series: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Table:
    """Return a table of series, steps and values of each; every point has a row of its own."""
    import pandas as pd

    parts = [
        pd.DataFrame({"step": list(map(str, steps)), name: list(map(str, values))}, dtype=object)
        for name, (steps, values) in series.items()
    ]
    return Table(pd.concat(parts, ignore_index=True).fillna(""))
