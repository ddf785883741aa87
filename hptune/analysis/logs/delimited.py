"""Tables as text: CSV and its kin, with any usual separator, below whatever stands before the header."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator

from hptune.analysis.logs.names import STEPS, is_measured, read_name
from hptune.analysis.logs.table import Table, table_of

_SEPARATORS = ",;\t|"
_FRACTION = re.compile(r"[-+]?\d*\.\d+(e[-+]?\d+)?[%,;)}\]]*")
_VALUE = re.compile(r"[:=\s]\s*[-+]?[\d.]+(e[-+]?\d+)?[%)}\]]*$", re.IGNORECASE)  # after a name
_BEFORE_HEADER = 20  # lines that may stand before it


def read_delimited(text: str) -> Table | None:
    """Return the table of a text, None where it has no header that names a measure.

    Raises:
        ValueError: The rows do not fit the header.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    for at, line in enumerate(lines[:_BEFORE_HEADER]):
        for separator in (*sorted(_SEPARATORS, key=line.count, reverse=True)[:1], ""):
            names = next(_cells([line.lstrip("# ")], separator))
            rows = _cells(lines[at + 1 :], separator)
            first = next(rows, [])
            if _is_header(names) and (separator in line if separator else len(first) == len(names)):
                return _table(names, [first, *rows])
    return None


def _cells(lines: list[str], separator: str) -> Iterator[list[str]]:
    """Yield the cells of each line; without a separator they stand between blanks."""
    if not separator:
        return (line.split() for line in lines)
    if separator == "|":
        return ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines)
    rows = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    return ([cell.strip() for cell in row] for row in rows)


def _is_header(names: list[str]) -> bool:
    """Say whether names are those of measures, not what a program printed of them."""
    measured = [name for name in names if is_measured(name)]
    if any(map(_FRACTION.fullmatch, names)) or any(map(_VALUE.search, measured)):
        return False
    told = {name.lower() for name in names}
    by_step = any((read := read_name(n)) and read.measure in STEPS for n in names)
    return bool(measured) or ("value" in told and by_step)


def _table(names: list[str], rows: list[list[str]]) -> Table:
    while names and not names[-1]:
        names = names[:-1]
    longer = [any(row[len(names) :]) for row in rows]
    if rows and all(longer):
        raise ValueError(
            f"the header has {len(names)} names and each row {len(rows[0])} cells: numbers with a decimal "
            "comma need another separator, or quotes"
        )
    seen: Counter[str] = Counter()
    columns: dict[str, list[str]] = {}
    fit = [row + [""] * (len(names) - len(row))
           for row, long in zip(rows, longer, strict=True) if not long and row != names]  # fmt: skip
    for place, name in enumerate(names):
        seen[name] += 1
        unique = name if seen[name] == 1 else f"{name} {seen[name]}"
        columns[unique] = [row[place] for row in fit]
    table = table_of(columns)
    if any(longer):
        table.notes.append(f"{sum(longer)} rows with more cells than the header left out")
    return table
