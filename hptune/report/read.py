"""A run directory as one plain record, whatever state it is in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hptune.errors import InputError
from hptune.results.evidence import Evidence
from hptune.results.records import Curve, Decision, Status
from hptune.results.repair import read_bytes
from hptune.results.run_dir import RunDir
from hptune.results.tables import Row, metrics_of


@dataclass(frozen=True)
class TrialRecord:
    """A row of results.csv and the trial's curve, None where there is none to read.

    `message` says why the trial failed; "" where it did not.
    """

    row: Row
    curve: Curve | None
    message: str = ""

    @property
    def id(self) -> str:
        """The trial's id."""
        return str(self.row.get("trial"))

    @property
    def stage(self) -> str:
        """The stage that ran it."""
        return str(self.row.get("stage"))

    @property
    def policy(self) -> str:
        """Its learning-rate policy; "lr-range" for a range test."""
        return str(self.row.get("policy"))

    @property
    def complete(self) -> bool:
        """Whether it came to its own end."""
        return self.row.get("status") == Status.COMPLETE

    def number(self, column: str) -> float | None:
        """Return a finite number of its row, or None."""
        value = self.row.get(column)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if math.isfinite(value) else None


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """All that a run directory holds.

    Attributes:
        path: The directory.
        name: The experiment's, else the directory's.
        trials: In the order of results.csv.
        decisions: The latest last.
        evidence: What the decisions rest on.
        experiment: The text of experiment.yaml, "" where there is none.
        tuned: The text of tuned.yaml, "" where there is none.
        manifest: With what it was made.
        problems: What could not be read, in words.
    """

    path: Path
    name: str
    trials: tuple[TrialRecord, ...]
    decisions: tuple[Decision, ...]
    evidence: tuple[Evidence, ...]
    experiment: str
    tuned: str
    manifest: dict[str, Any]
    problems: tuple[str, ...]

    def trial(self, name: str) -> TrialRecord | None:
        """Return a trial by its id."""
        return next((trial for trial in self.trials if trial.id == name), None)

    def find(self, names: Sequence[str]) -> list[TrialRecord]:
        """Return the trials of these ids that are there."""
        found = (self.trial(name) for name in dict.fromkeys(names))
        return [trial for trial in found if trial is not None]

    @property
    def curves(self) -> dict[str, Curve]:
        """The curves that there are, by the ids of their trials."""
        return {trial.id: trial.curve for trial in self.trials if trial.curve is not None}

    @property
    def metrics(self) -> list[str]:
        """The metrics that some trial has a value of."""
        columns = dict.fromkeys(column for trial in self.trials for column in trial.row)
        return [
            name
            for name in metrics_of(columns)
            if any(t.number(f"val_{name}") is not None for t in self.trials)
        ]


def read_run(path: Path) -> RunRecord:
    """Read a run directory. What cannot be read of it is left out, and told in `problems`.

    Raises:
        InputError: It is not there, or is none of hptune's.
    """
    problems: list[str] = []
    directory = RunDir.open(path, write=False, tell=problems.append)
    if not any(p.exists() for p in (directory.results_csv, directory.experiment)):
        raise InputError(
            f"{path}: has neither results.csv nor experiment.yaml; must be a run directory of "
            "hptune; name another or run `hptune run`"
        )
    experiment = _text(directory.experiment)
    return RunRecord(
        path=path,
        name=_name(experiment) or path.resolve().name,
        trials=tuple(_trial(directory, row) for row in directory.rows()),
        decisions=tuple(directory.decisions()),
        evidence=tuple(directory.evidence()),
        experiment=experiment,
        tuned=_text(directory.tuned),
        manifest=directory.facts(),
        problems=tuple(problems),
    )


def _trial(directory: RunDir, row: Row) -> TrialRecord:
    curve = directory.history(row)
    readable = curve is not None and np.isfinite(curve.train_loss).any()
    message = _text(directory.log(str(row["trial"]))) if row["status"] == Status.FAILED else ""
    return TrialRecord(row, curve if readable else None, message.strip())


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
