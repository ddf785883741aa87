"""A run directory as one plain record, whatever state it is in."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hptune.errors import InputError
from hptune.results.cells import parse_table, value_of
from hptune.results.evidence import Evidence
from hptune.results.records import Curve, Decision
from hptune.results.repair import read_bytes
from hptune.results.run_dir import RunDir
from hptune.results.tables import Row, metrics_of


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """All that a run directory holds.

    Attributes:
        path: The directory.
        name: The experiment's, else the directory's.
        trials: The rows of results.csv.
        curves: Those that can be read, by the ids of their trials; none where they were not asked for.
        decisions: The latest last.
        evidence: What the decisions rest on.
        experiment: The text of experiment.yaml, "" where there is none.
        tuned: The text of tuned.yaml, "" where there is none.
        manifest: With what it was made.
        problems: What could not be read, in words.
        looks: The tables of `hptune landscape`, by their names, such as hessian-final-0a1b2c3d.
    """

    path: Path
    name: str
    trials: list[Row]
    curves: dict[str, Curve]
    decisions: list[Decision]
    evidence: list[Evidence]
    experiment: str
    tuned: str
    manifest: dict[str, Any]
    problems: list[str]
    looks: dict[str, list[Row]] = field(default_factory=dict)

    def find(self, ids: Iterable[str]) -> list[Row]:
        """Return the rows of these trials, of those that are there."""
        rows = {row["trial"]: row for row in self.trials}
        return [rows[trial] for trial in dict.fromkeys(ids) if trial in rows]

    @property
    def metrics(self) -> list[str]:
        """The metrics that some trial has a value of."""
        columns = dict.fromkeys(column for row in self.trials for column in row)
        return [m for m in metrics_of(columns) if numbers(self.trials, f"val_{m}")]


def number(row: Row, column: str) -> float | None:
    """Return a finite number of a row, or None."""
    value = row.get(column)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def numbers(rows: Iterable[Row], column: str) -> list[float]:
    """Return a column's finite numbers."""
    return [value for row in rows if (value := number(row, column)) is not None]


def read_run(path: Path, *, with_curves: bool = True) -> RunRecord:
    """Read a run directory. What cannot be read of it is left out, and told in `problems`.

    Args:
        path: The directory.
        with_curves: Whether to read the curves, which takes longer than all the rest.

    Raises:
        InputError: It is not there, or is none of hptune's.
    """
    problems: list[str] = []
    directory = RunDir.open(path, write=False, tell=problems.append)
    holds = (directory.results_csv, directory.experiment, directory.decisions_csv)
    if not any(p.exists() for p in holds):
        raise InputError(
            f"{path}: has neither results.csv nor experiment.yaml; must be a run directory of "
            "hptune; name another or run `hptune run`"
        )
    trials, experiment = directory.rows(), _text(directory.experiment)
    read = trials if with_curves else []
    curves = {str(row["trial"]): directory.history(row) for row in read}
    return RunRecord(
        path=path,
        name=_name(experiment) or path.resolve().name,
        trials=trials,
        curves={t: c for t, c in curves.items() if c and any(map(math.isfinite, c.train_loss))},
        decisions=directory.decisions(),
        evidence=directory.evidence(),
        experiment=experiment,
        tuned=_text(directory.tuned),
        manifest=directory.facts(),
        looks=_looks(path / "landscape", problems),
        problems=problems,
    )


def _looks(folder: Path, problems: list[str]) -> dict[str, list[Row]]:
    """Return the tables of a folder; what of them cannot be trusted is left out, and told."""
    looks = {}
    for path in sorted(folder.glob("*.csv")):
        header, lines = parse_table(read_bytes(path) or b"")
        whole = [line for line in lines if line]
        if len(whole) < len(lines) or not whole:
            problems.append(f"{path}: {len(lines) - len(whole)} rows cannot be read")
        looks[path.stem] = [dict(zip(header, map(value_of, line), strict=True)) for line in whole]
    return {name: rows for name, rows in looks.items() if rows}


def _text(path: Path) -> str:
    return (read_bytes(path) or b"").decode("utf-8", errors="replace")


def _name(experiment: str) -> str | None:
    import yaml

    try:
        loaded = yaml.safe_load(experiment)
    except (yaml.YAMLError, ValueError):
        return None
    name = loaded.get("name") if isinstance(loaded, dict) else None
    return None if name is None else str(name)
