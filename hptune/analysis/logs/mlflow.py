"""MLflow's metrics as it keeps them: a file a metric in a folder a run, or its database."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from hptune.analysis.logs.table import Table, table_of_series

DATABASE = b"SQLite format 3\0"  # how its file begins
_LINE = re.compile(r"\d{9,} \S+(?: \d+)?")  # time, value and step
_LONGEST = 200  # characters of a line
Point = tuple[str, float, float]  # the metric's name, step and value


def is_metric(text: str) -> bool:
    """Say whether a text is one of MLflow's metric files."""
    lines = text.strip().splitlines()
    return bool(lines) and all(_LINE.fullmatch(line.strip()) for line in lines)


def read_metric(path: Path) -> list[Table]:
    """Return the table of one metric's file."""
    folder = next((parent for parent in path.parents if parent.name == "metrics"), path.parent)
    return [_table("", _points(path, folder))]


def read_folder(path: Path) -> list[Table]:
    """Return a table for each folder "metrics" in a folder or around its files."""
    folders = [path] if path.name == "metrics" else sorted(path.rglob("metrics"))
    tables = []
    for folder in filter(Path.is_dir, folders or [path]):
        files = [*folder.glob("*"), *folder.glob("*/*")]  # a metric "val/loss" is a folder
        points = [
            point for file in sorted(files) if _holds(file) for point in _points(file, folder)
        ]
        if points:
            told = folder.parent / "tags" / "mlflow.runName"
            name = told.read_text().strip() if told.is_file() else folder.parent.name
            tables.append(_table(name, points))
    return tables


def _holds(file: Path) -> bool:
    """Say whether a file, which may be of any size, begins as a metric's."""
    if not file.is_file():
        return False
    with file.open(errors="replace") as lines:
        return is_metric(lines.readline(_LONGEST))


def read_database(path: Path) -> list[Table]:
    """Return a table for each run of a database; none where it is another program's."""
    query = (
        "select run_uuid, name, key, step, case when is_nan then 'nan' else value end "
        "from metrics join runs using (run_uuid) where lifecycle_stage = 'active' "
        "order by run_uuid, timestamp"
    )
    runs: dict[tuple[str, str], list[Point]] = {}
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            for run, name, key, step, value in database.execute(query):
                runs.setdefault((run, name or run), []).append((key, step, float(value)))
    except sqlite3.Error:
        return []
    return [_table(name, points) for (_, name), points in runs.items()]


def _points(file: Path, folder: Path) -> list[Point]:
    lines = [line.split() for line in file.read_text().splitlines() if line.strip()]
    name = file.relative_to(folder).as_posix()
    return [
        (name, float(line[2] if len(line) > 2 else place), float(line[1]))
        for place, line in enumerate(lines)
    ]


def _table(run: str, points: Iterable[Point]) -> Table:
    series: dict[str, tuple[list[float], list[float]]] = {}
    for name, step, value in points:
        steps, values = series.setdefault(name, ([], []))
        steps.append(step)
        values.append(value)
    table = table_of_series(series)
    table.run = run
    return table
