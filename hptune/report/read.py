"""A run directory as one plain record, whatever state it is in."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hptune.errors import InputError
from hptune.results.evidence import Evidence
from hptune.results.records import Curve, Decision, Status
from hptune.results.run_dir import RunDir
from hptune.results.tables import Row, curve_from

# What a file that someone edited, or another version wrote, raises where it is read.
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, IndexError, StopIteration, csv.Error)


@dataclass(frozen=True)
class TrialRecord:
    """A row of results.csv and the trial's curve, None where there is none to read."""

    row: Row
    curve: Curve | None

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
        names = [c.removeprefix("best_val_") for c in columns if c.startswith("best_val_")]
        return [
            name
            for name in names
            if name != "loss" and any(t.number(f"val_{name}") is not None for t in self.trials)
        ]


def read_run(path: Path) -> RunRecord:
    """Read a run directory.

    Raises:
        InputError: It is not there, is none of hptune's, or its tables cannot be read.
    """
    try:
        directory = RunDir.open(path, write=False)
    except (*_MALFORMED, OSError) as error:
        raise InputError(
            f"{path}: results.csv or decisions.csv cannot be read ({_shown(error)}); must be as "
            "hptune wrote them; restore them"
        ) from None
    if not any(p.exists() for p in (directory.results_csv, directory.experiment)):
        raise InputError(
            f"{path}: has neither results.csv nor experiment.yaml; must be a run directory of "
            "hptune; name another or run `hptune run`"
        )
    problems: list[str] = []
    trials = tuple(TrialRecord(row, _curve(directory, row, problems)) for row in directory.rows())
    experiment = _text(directory.experiment, problems)
    return RunRecord(
        path=path,
        name=_name(experiment) or path.resolve().name,
        trials=trials,
        decisions=tuple(directory.decisions()),
        evidence=_evidence(directory, problems),
        experiment=experiment,
        tuned=_text(directory.tuned, problems),
        manifest=_manifest(directory.manifest, problems),
        problems=tuple(problems),
    )


def _curve(directory: RunDir, row: Row, problems: list[str]) -> Curve | None:
    path = directory.curve(str(row.get("trial")))
    try:
        curve = curve_from(path.read_text(encoding="utf-8"))
    except (*_MALFORMED, OSError) as error:
        if row.get("status") != Status.FAILED:
            problems.append(f"{path.name} cannot be read ({_shown(error)})")
        return None
    return curve if len(curve) and np.isfinite(curve.train_loss).any() else None


def _evidence(directory: RunDir, problems: list[str]) -> tuple[Evidence, ...]:
    try:
        return tuple(directory.evidence())
    except (*_MALFORMED, OSError) as error:
        problems.append(f"{directory.comparisons.name} cannot be read ({_shown(error)})")
        return ()


def _text(path: Path, problems: list[str]) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        problems.append(f"{path.name} cannot be read ({_shown(error)})")
        return ""


def _manifest(path: Path, problems: list[str]) -> dict[str, Any]:
    text = _text(path, problems)
    try:
        facts = json.loads(text or "{}")
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        problems.append(f"{path.name} is no JSON object")
        return {}
    return facts


def _name(experiment: str) -> str | None:
    import yaml

    try:
        loaded = yaml.safe_load(experiment)
    except (yaml.YAMLError, ValueError):
        return None
    name = loaded.get("name") if isinstance(loaded, dict) else None
    return None if name is None else str(name)


def _shown(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
    return (text or type(error).__name__)[:120]
