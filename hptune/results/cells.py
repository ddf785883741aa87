"""CSV as text: what stands in a cell, and what a spreadsheet makes of a table."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hptune.results.records import Value

_NO_TEXT = "\ufffd"  # stands for bytes that are no UTF-8
# As spreadsheets write numbers in countries where the columns are parted by semicolons.
_DECIMAL_COMMA = re.compile(r"^([-+]?\d*),(\d+(?:[eE][-+]?\d+)?)$")


def cell(value: Any) -> str:
    """Return a value as it stands in a CSV: blank for nothing, floats with all their digits."""
    if value is None or value != value:
        return ""
    return json.dumps(value) if isinstance(value, bool | list | tuple) else str(value)


def value_of(text: str) -> Value:
    """Return the value that a cell holds: nothing, a truth value, a number, a list or text."""
    if not text:
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    readers: tuple[Callable[[str], Value], ...] = (int, float, json.loads)
    for read in readers:
        try:
            return read(text)
        except ValueError:
            continue
    return text


def table_text(columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return rows of values as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([cell(value) for value in row] for row in rows)
    return buffer.getvalue()


def parse_table(data: bytes) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a CSV file, also of one that a spreadsheet has saved.

    A line with too few or too many cells, without an end, or with bytes that are no text cannot
    be trusted: it is an empty row.
    """
    text = data.decode("utf-8-sig", errors="replace")
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    lines: list[list[str]] = []
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        lines.extend(line for line in reader if any(line))
    except csv.Error:  # what follows is none
        lines.append([])
    if not lines:
        return [], []
    if not text.endswith(("\n", "\r")):
        lines[-1] = []  # cut off
    if delimiter == ";":
        lines = [[_DECIMAL_COMMA.sub(r"\1.\2", text) for text in line] for line in lines]
    header = [name.strip() for name in lines[0]]
    return header, [_checked(line, len(header)) for line in lines[1:]]


def _checked(line: list[str], columns: int) -> list[str]:
    """Return a line's cells, none where they cannot be trusted."""
    if len(line) < columns or any(line[columns:]) or any(_NO_TEXT in text for text in line):
        return []
    return line[:columns]


def finite(value: Any) -> Any:
    """Return a value with None in the place of NaN and infinity, which JSON has not."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value
