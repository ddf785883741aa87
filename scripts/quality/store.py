"""What was run, one CSV a command: a row that is there is not run again."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
Row = Mapping[str, Any]


def read(name: str, folder: Path | None = None) -> list[dict[str, str]]:
    """Return the stored rows of a command; the bench's folder is not the only one."""
    path = (folder or RESULTS) / f"{name}.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def add(name: str, row: Row, folder: Path | None = None) -> None:
    """Store a row; all rows of a command have the same columns."""
    path = (folder or RESULTS) / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def has(name: str, **key: Any) -> bool:
    """Say whether a row with these values is there."""
    wanted = {column: str(value) for column, value in key.items()}
    return any(wanted.items() <= row.items() for row in read(name))


def number(text: str) -> float:
    """Return a stored number, infinite where there is none: a run that broke has no loss."""
    value = float(text or "inf")
    return value if math.isfinite(value) else math.inf


def chosen(rows: Iterable[dict[str, str]], **key: Any) -> list[dict[str, str]]:
    """Return the rows with these values."""
    wanted = {column: str(value) for column, value in key.items()}
    return [row for row in rows if wanted.items() <= row.items()]
