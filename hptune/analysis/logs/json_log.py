"""Logs as JSON: a list of records, columns, or a record a line; of one run or of several by name."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from typing import Any

from hptune.analysis.logs.names import is_measured, part_of
from hptune.analysis.logs.table import Table, table_of, table_of_rows


def read_json(text: str) -> list[Table]:
    """Return the tables of a JSON document or of JSON lines, none where the text is neither."""
    try:
        return list(_tables(_parsed(text)))
    except ValueError:
        pass
    records, broken = [], 0
    for line in filter(str.strip, text.splitlines()):
        try:
            records.append(_parsed(line))
        except ValueError:
            broken += 1
    tables = list(_tables([record for record in records if isinstance(record, dict)]))
    for table in tables:
        if broken:
            table.notes.append(f"lines that are no JSON left out: {broken}")
    return tables


def _parsed(text: str) -> Any:
    """Return the value of JSON, or of what Python prints of it.

    Raises:
        ValueError: It is neither.
    """
    try:
        return json.loads(text)
    except ValueError:
        try:
            return json.loads(json.dumps(ast.literal_eval(text.strip())))
        except (SyntaxError, MemoryError, TypeError) as error:
            raise ValueError("neither JSON nor Python") from error


def _tables(value: Any) -> Iterator[Table]:
    """Yield what a value holds that names a measure."""
    if isinstance(value, dict) and all(key.isdigit() for key in value):
        value = list(value.values())  # pandas, by rows
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        rows = [dict(_leaves(item)) for item in value]
        if any(is_measured(name) for row in rows for name in row):
            yield table_of_rows({name: _text(cell) for name, cell in row.items()} for row in rows)
    elif isinstance(value, list) and value and all(_is_point(item) for item in value):
        points = [[_text(number) for number in item] for item in value]
        yield table_of(
            dict(zip(("Wall time", "Step", "Value"), zip(*points, strict=True), strict=True))
        )
    elif isinstance(value, dict) and isinstance(value.get("columns"), list):  # pandas, split
        rows = [dict(zip(value["columns"], row, strict=False)) for row in value.get("data", [])]
        yield from _tables(rows)
    elif isinstance(value, dict):
        columns = dict(_columns(value))
        if any(map(is_measured, columns)):
            yield table_of(columns)
            return
        for name, inner in value.items():
            for table in _tables(inner):
                yield Table(table.cells, "/".join(filter(None, (name, table.run))), table.notes)


def _leaves(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the values of a record, with the names of those that they stand in before theirs."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from ((f"{name}/{inner}", leaf) for inner, leaf in _leaves(value))
        else:
            yield name, value


def _columns(value: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yield columns: lists of values, or values by the number of their row, as pandas writes them."""
    for name, inner in value.items():
        if isinstance(inner, dict) and inner and all(key.isdigit() for key in inner):
            if not any(isinstance(cell, dict | list) for cell in inner.values()):
                yield name, [_text(inner[key]) for key in sorted(inner, key=int)]
        elif isinstance(inner, dict) and part_of(name):
            yield from ((f"{name}/{own}", column) for own, column in _columns(inner))
        elif isinstance(inner, list) and not any(isinstance(cell, dict) for cell in inner):
            yield name, [_text(cell) for cell in inner]


def _is_point(item: Any) -> bool:
    return isinstance(item, list) and len(item) == 3 and not any(isinstance(n, str) for n in item)


def _text(value: Any) -> str:
    """Return a value as a cell; a list of one number is that number."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return "null" if value is None else str(value)
