"""The runs that a table holds: side by side as W&B exports them, below one another, or a measure a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hptune.analysis.logs.names import COUNTED, is_measured, part_of, read_name
from hptune.analysis.logs.numbers import has_numbers
from hptune.analysis.logs.table import Table

_KEY = ("key", "tag", "metric", "metricname", "measure", "variable", "name")
_RUN = (
    "run",
    "runid",
    "runname",
    "runuuid",
    "experiment",
    "trial",
    "trialid",
    "fold",
    "seed",
    "version",
)
_MOST_PARTS = 9  # names of training, validation and test data, and a blank
_BETWEEN = " - "  # of run and measure, in W&B's exports


def runs_of(table: Table) -> list[Table]:
    """Return a table a run, each with a column a measure.

    Raises:
        ValueError: Every run has one row: these are results, not curves.
    """
    return [
        run for each in _below(_parts_apart(_measures_apart(table))) for run in _side_by_side(each)
    ]


def key_of(names: Iterable[str]) -> str | None:
    """Return the column that holds the names of measures."""
    by_name = {_plain(name): name for name in names}
    return next((by_name[name] for name in _KEY if name in by_name), None)


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _measures_apart(table: Table) -> Table:
    """Return a table with columns where rows hold the name of a measure and its value."""
    key, value = key_of(table.names), {name.lower(): name for name in table.names}.get("value")
    if key is None or value is None:
        return table
    cells, names = table.cells, table.cells[key]
    values = {name: cells[value].where(names == name, "") for name in names.unique() if name}
    return Table(cells.drop(columns=[key, value]).assign(**values), notes=table.notes)


def _parts_apart(table: Table) -> Table:
    """Return a table with columns for training and validation where rows say which they are of."""
    for column in table.names:
        said = table.cells[column]
        parts = {text: part_of(text) for text in said.unique()[:_MOST_PARTS] if text}
        if not parts or not all(parts.values()):
            continue
        cells, whose = table.cells.drop(columns=column), said.map(parts)
        for name in filter(is_measured, table.names):
            for part in dict.fromkeys(parts.values()):
                cells[f"{part}/{name}"] = cells[name].where(whose == part, "")
            cells[name] = cells[name].where(said == "", "")
        return Table(cells, notes=table.notes)
    return table


def _below(table: Table) -> Iterator[Table]:
    """Yield the runs that a column tells apart."""
    full = [name for name in table.names if not (table.cells[name] == "").any()]
    named = next((name for name in full if _plain(name) in _RUN), None)
    column = named or next((name for name in full if _tells_apart(table, name)), None)
    if column is None:
        yield table
        return
    rows = table.cells[column]
    runs = rows.unique()
    if len(runs) > len(rows) / 2:
        raise ValueError(f"{len(rows)} rows of {len(runs)} runs in {column!r}: results, not curves")
    for run in runs:
        cells = table.cells[rows == run].drop(columns=column).reset_index(drop=True)
        yield Table(cells, run if len(runs) > 1 else table.run, table.notes)


def _tells_apart(table: Table, column: str) -> bool:
    """Say whether words in a column, as "adam" and "sgd", make rows of the same step different ones."""
    if read_name(column) is not None or has_numbers(table.cells[column]):
        return False
    steps = [n for n in table.names if (name := read_name(n)) and name.measure in COUNTED]
    cells = table.cells
    again = bool(steps) and bool(cells.duplicated(steps).any())
    return again and not cells.duplicated([*steps, column]).any()


def _side_by_side(table: Table) -> Iterator[Table]:
    """Yield the runs that stand before the names of the measures."""
    runs: dict[str, dict[str, str]] = {}
    for column in table.names:
        run, between, measure = column.rpartition(_BETWEEN)
        if between and (measure.endswith(("__MIN", "__MAX")) or read_name(measure) is not None):
            runs.setdefault(run, {})[column] = measure
    shared = [n for n in table.names if not any(n in own for own in runs.values())]
    if not runs:
        yield table
    for run, own in runs.items():
        own = {column: measure for column, measure in own.items() if read_name(measure)}
        yield Table(table.cells[[*shared, *own]].rename(columns=own), run, table.notes)
