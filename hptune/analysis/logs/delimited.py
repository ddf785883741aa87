"""Tables as text: CSV and its kin, with any usual separator, below whatever stands before the header."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator

from hptune.analysis.logs.names import COUNTED, is_measured, part_of, read_name
from hptune.analysis.logs.numbers import has_numbers
from hptune.analysis.logs.table import Table, table_of

_SEPARATORS = ",;\t|"
_FRACTION = re.compile(r"[-+]?\d*\.\d+(e[-+]?\d+)?[%,;)}\]]*")
_NUMBER = re.compile(r"[-+\d.e]*")
_VALUE = re.compile(r"[:=\s]\s*[-+]?[\d.]+(e[-+]?\d+)?[%)}\]]*$", re.IGNORECASE)  # after a name
_BEFORE_HEADER = 20  # lines that may stand before it


def read_delimited(text: str) -> Table | None:
    """Return the table of a text, None where it has no header that names a measure.

    Raises:
        ValueError: The rows do not fit the header.
    """
    try:
        return _first_table([line for line in text.splitlines() if line.strip()])
    except csv.Error as error:
        raise ValueError(str(error)) from error


def _first_table(lines: list[str]) -> Table | None:
    """Return the table below the line that reads best as a header."""
    found = []
    for at, line in enumerate(lines[:_BEFORE_HEADER]):
        for separator in (max(_SEPARATORS, key=line.count), ""):
            names = next(_cells([line.lstrip("# ")], separator))
            first = next(_cells(lines[at + 1 :], separator), [])
            alone = len(names) == len(first) == 1 and separator  # a single column
            fits = alone or (separator in line if separator else len(first) == len(names))
            if fits and _is_header(names):
                plain = sum((name := read_name(n)) is not None and not name.extra for n in names)
                found.append((-plain, at, names, separator))
    for _, at, names, separator in sorted(found, key=lambda header: header[:2]):
        if table := _table(names, list(_cells(lines[at + 1 :], separator))):
            return table
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
    by_step = any((read := read_name(n)) and read.measure in COUNTED for n in names)
    return bool(measured) or (any(map(_is_value, names)) and by_step)


def _is_value(name: str) -> bool:
    """Say whether a column may be of a measure: by its name, or where that is the file's."""
    return is_measured(name) or name.lower() == "value" or part_of(name) != ""


def _table(names: list[str], rows: list[list[str]]) -> Table | None:
    """Return the table of rows, None where no row has a number."""
    while names and not names[-1]:
        names = names[:-1]
    longer = [any(row[len(names) :]) for row in rows]
    if rows and all(longer) and all(map(_NUMBER.fullmatch, rows[0])):
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
    if not any(has_numbers(table.cells[name]) for name in columns if _is_value(name)):
        return None
    if any(longer):
        table.notes.append(f"rows with more cells than the header left out: {sum(longer)}")
    return table
