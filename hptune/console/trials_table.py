"""Trials as a table that fits the width there is: what all have in common is said once, above it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hptune.console.terminal import plain_table, shown
from hptune.results.tables import Row

if TYPE_CHECKING:
    from rich.table import Table

PADDING = 3  # of a column, and of the table
_SETTINGS = ("lr", "momentum", "weight_decay", "batch_size", "epochs")
_LEFT_OUT = ("stage", "model", "data", "device", "started", "optimizer", "policy", "seed")


def trials_table(rows: Sequence[Row], width: int | None) -> tuple[str, Table]:
    """Return what all trials have in common, in words, and a table of the rest.

    Args:
        rows: Of results.csv.
        width: Columns of text that there are; None shows all of results.csv.
    """
    if width is None:
        columns = list(dict.fromkeys(column for row in rows for column in row))
        return "", _table(rows, columns)
    every = dict.fromkeys(column for row in rows for column in row)
    scores = [c for c in every if c.startswith(("val_", "test_"))]
    tried = [c for c in every if c.startswith(("model.", "optimizer.", "training.", "data."))]
    columns = ["trial", "status", "lr", *scores, *tried, *_SETTINGS[1:]]
    columns = [c for c in columns if any(row.get(c) not in (None, "") for row in rows)]
    common = [
        c for c in columns if len(rows) > 1 and len({shown(row.get(c), "") for row in rows}) == 1
    ]
    columns = [c for c in columns if c not in common]
    told = ", ".join(f"{c} {shown(rows[0].get(c), '')}" for c in common)
    lines = [f"all: {told}"] if told else []
    # Those at the end matter least.
    while len(columns) > 2 and _width(rows, columns) > width:
        columns.pop()
    left_out = [c for c in every if c not in (*columns, *common, *_LEFT_OUT)]
    if left_out and rows:
        lines.append("--all-columns shows the others of results.csv")
    return "\n".join(lines), _table(rows, columns)


def _width(rows: Sequence[Row], columns: Sequence[str]) -> int:
    widest = (max(len(c), *(len(shown(row.get(c), "")) for row in rows)) for c in columns)
    return sum(PADDING + size for size in widest) + PADDING


def _table(rows: Sequence[Row], columns: Sequence[str]) -> Table:
    numbers = [c for c in columns if c not in ("trial", "status")]
    table = plain_table(f"{len(rows)} trials", [c for c in columns if c not in numbers], numbers)
    for column in table.columns:
        column.no_wrap = True
        column.overflow = "fold"
    for row in rows:
        table.add_row(*(shown(row.get(str(column.header)), "") for column in table.columns))
    return table
