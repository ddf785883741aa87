"""Compared runs on the terminal: their tables in the width that there is."""

from __future__ import annotations

from collections.abc import Iterator

from hptune.console.terminal import plain_table, stdout_console
from hptune.report.compare import RunsCompared
from hptune.report.compare_text import Table, in_common, remarks, tables

PADDING = 3  # of a column, and of the table


def print_compared(compared: RunsCompared) -> None:
    """Print what was reached, decided and paid, and what there is to know of it."""
    console = stdout_console()
    for table in tables(compared):
        for part in _parts(table, console.width):
            drawn = plain_table(part.title, part.columns[:1], part.columns[1:])
            for column in drawn.columns:
                column.overflow = "fold"
            for row in part.rows:
                drawn.add_row(*row)
            console.print(drawn)
    for text in (in_common(compared), *remarks(compared)):
        console.print(text)


def _parts(table: Table, width: int) -> Iterator[Table]:
    """Divide a table by its columns where they do not fit; one of the names alone is none."""
    if len(table.columns) < 2:
        return
    cells = [table.columns, *table.rows]
    sizes = [max(len(row[n]) for row in cells) + PADDING for n in range(len(table.columns))]
    chosen: list[int] = []
    title = table.title
    for n in range(1, len(sizes)):
        if chosen and sizes[0] + sum(sizes[k] for k in (*chosen, n)) + PADDING > width:
            yield _only(table, chosen, title)
            chosen, title = [], ""
        chosen.append(n)
    yield _only(table, chosen, title)


def _only(table: Table, chosen: list[int], title: str) -> Table:
    kept = [0, *chosen]
    columns, *rows = [[row[n] for n in kept] for row in (table.columns, *table.rows)]
    return Table(title, columns, rows)
