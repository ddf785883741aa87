"""How the run directories of these tests are made and spoilt."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

QUICK = ["--device", "cpu"]
for setting in ("training.epochs=3", "procedure.final.seeds=2", "procedure.budget=16"):
    QUICK += ["--set", setting]
# A user's names and values may hold anything.
HOSTILE = "<script>window.attacked = 1</script><img src=x onerror='attacked=1'> & \"$x_{1$\" 数 é"
Edit = Callable[[list[dict[str, str]]], None]


def edit_csv(path: Path, edit: Edit) -> None:
    """Change the rows of a table."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    columns = list(rows[0])
    edit(rows)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
