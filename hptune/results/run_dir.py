"""The run directory: owns every path, writes atomically, and lets a run resume."""

from __future__ import annotations

import errno
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from itertools import takewhile
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from hptune.errors import HptuneError, InputError
from hptune.results.evidence import Evidence, evidence_from, evidence_key, evidence_text
from hptune.results.records import Decision, Scalar, Status, Trial, TrialResult
from hptune.results.tables import (
    DECISION_COLUMNS,
    Row,
    curve_from,
    curve_text,
    decision_from,
    decision_row,
    ordered_columns,
    result_row,
    rows_from,
    table_text,
)
from hptune.stages import FINAL, TRAIN

VALIDATION_EXAMPLES = "validation_examples"  # in the manifest

_PART = ".part"
_OF_THEIR_OWN = {str(FINAL), str(TRAIN)}  # their weights are kept under their own ids
_OWN_END = (Status.COMPLETE, Status.DIVERGED)
_FINISHED = (*_OWN_END, Status.PRUNED)  # its own stage had no more use for a pruned trial


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write a file so that a reader, or a crash, finds the old content or the new, never a part.

    Raises:
        HptuneError: The disk is full, or the file cannot be written.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}{_PART}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HptuneError(
                f"{path}: the disk is full; what was finished is safe; make room and run the "
                "same command again"
            ) from error
        raise HptuneError(
            f"{path}: cannot be written: {error.strerror}; check the folder"
        ) from error


class RunDir:
    """A run directory, open for reading or, by one process at a time, for writing."""

    def __init__(self, path: Path, lock: FileLock | None) -> None:
        self.path = path
        self._lock = lock
        self._rows = rows_from(_text(self.results_csv))
        self._table = ""  # what this process has written to results.csv
        self._decisions = [decision_from(row) for row in rows_from(_text(self.decisions_csv))]

    @classmethod
    def open(cls, path: Path, *, write: bool = True) -> Self:
        """Open a directory.

        Args:
            path: Made where it is not there, if it is to be written.
            write: Whether to hold its lock.

        Raises:
            InputError: It cannot be written, is held by another process, or is not there to be read.
        """
        if not write:
            if not path.is_dir():
                raise InputError(
                    f"{path}: no such run directory; must be one that hptune wrote; run "
                    "`hptune run` first or name another"
                )
            return cls(path, None)
        lock = FileLock(path / ".lock")
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                f"--out: {path} is in use by another hptune; one process writes a run directory; "
                "wait for it or give another --out"
            ) from None
        except OSError as error:
            raise InputError(
                f"--out: {path}; must be a folder that can be written ({error.strerror}); give another --out"
            ) from None
        for part in path.rglob(f"*{_PART}"):  # what a killed run left half-written
            part.unlink(missing_ok=True)
        return cls(path, lock)

    def close(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def experiment(self) -> Path:
        """The resolved experiment, as run."""
        return self.path / "experiment.yaml"

    @property
    def tuned(self) -> Path:
        """The experiment with the decided values."""
        return self.path / "tuned.yaml"

    @property
    def comparisons(self) -> Path:
        """What the decisions rest on."""
        return self.path / "comparisons.json"

    @property
    def manifest(self) -> Path:
        """Versions, device, command, seed, git state."""
        return self.path / "manifest.json"

    @property
    def timings(self) -> Path:
        """Measured costs that steered a decision."""
        return self.path / "timings.json"

    @property
    def results_csv(self) -> Path:
        """One row a trial."""
        return self.path / "results.csv"

    @property
    def decisions_csv(self) -> Path:
        """One row a decision."""
        return self.path / "decisions.csv"

    def curve(self, trial: str) -> Path:
        """The history of a trial, by its id."""
        return self.path / "curves" / f"{trial}.csv"

    def snapshot(self, trial: str) -> Path:
        """The state of a trial in flight."""
        return self.path / "snapshots" / f"{trial}.pt"

    def checkpoint(self, trial: str) -> Path:
        """The trained weights of a trial."""
        return self.path / "checkpoints" / f"{trial}.pt"

    def add(self, result: TrialResult) -> None:
        """Record a trial: its curve first, then its row, so that a row always has its curve."""
        write_atomic(self.curve(result.trial.id), curve_text(result.curve))
        row = result_row(result)
        ids = [known["trial"] for known in self._rows]
        if row["trial"] in ids:
            rows = list(self._rows)
            rows[ids.index(row["trial"])] = row
            self._write_rows(rows)
        elif self._table and row.keys() <= self._rows[0].keys():
            self._append(row)
        else:
            self._write_rows([*self._rows, row])

    def arrange(self, trials: Sequence[str]) -> None:
        """Put the last rows in this order of trial ids, back to the first row of another trial.

        Trials that ran together end in any order; a run and its resume are to leave the same.
        """
        wanted = {trial: n for n, trial in enumerate(trials)}
        tail = list(takewhile(lambda row: row["trial"] in wanted, reversed(self._rows)))
        ordered = sorted(tail, key=lambda row: wanted[str(row["trial"])])
        if ordered != tail[::-1]:
            self._write_rows(self._rows[: -len(tail)] + ordered)

    def result(self, trial: Trial) -> TrialResult | None:
        """Return a finished trial's result, or None where it is still to run.

        Another stage may have run the same: its result is returned, with its stage and id.
        """
        row = self._row_of(trial)
        if row is None:
            return None
        trial = trial.change(stage=str(row["stage"]))
        names = [k.removeprefix("best_val_") for k in row if k.startswith("best_val_")]
        # Columns of other tasks' metrics are blank in this row; the curve has this trial's own.
        curve = curve_from(_text(self.curve(trial.id)))
        metrics = [name for name in names if name in curve.metrics]

        def number(name: str) -> float | None:
            value = row.get(name)
            return None if value is None else float(value)

        return TrialResult(
            trial=trial,
            status=Status(str(row["status"])),
            data=str(row["data"]),
            model=str(row["model"]),
            device=str(row["device"]),
            started=str(row["started"]),
            epochs=number("epochs") or 0.0,
            seconds=number("seconds") or 0.0,
            curve=curve,
            train_loss=number("train_loss"),
            val_loss=number("val_loss"),
            best_val_loss=number("best_val_loss"),
            test_loss=number("test_loss"),
            val_metrics={name: number(f"val_{name}") for name in metrics},
            best_val_metrics={name: number(f"best_val_{name}") for name in metrics},
            test_metrics={name: number(f"test_{name}") for name in metrics},
            examples_per_second=number("examples_per_second"),
            peak_memory_mb=number("peak_memory_mb"),
        )

    def _row_of(self, trial: Trial) -> Row | None:
        """Return the row of a finished trial, another search stage's where it came to its own end."""
        for row in self._rows:
            stage, _, digest = str(row["trial"]).rpartition("-")
            if digest != trial.digest or not self.curve(str(row["trial"])).exists():
                continue
            if stage == trial.stage and row["status"] in _FINISHED:
                return row
            if not {stage, str(trial.stage)} & _OF_THEIR_OWN and row["status"] in _OWN_END:
                return row
        return None

    def rows(self, stage: str | None = None) -> list[Row]:
        """Return the rows of results.csv, of one stage or all."""
        return [dict(row) for row in self._rows if stage is None or row["stage"] == stage]

    def decide(self, decisions: Sequence[Decision]) -> None:
        """Record decisions; each replaces what its stage decided on the parameter before."""
        new = {(d.stage, d.parameter) for d in decisions}
        kept = [d for d in self._decisions if (d.stage, d.parameter) not in new]
        self._write_decisions([*kept, *decisions])

    def decisions(self) -> list[Decision]:
        """Return all decisions, the latest last."""
        return list(self._decisions)

    def add_evidence(self, evidence: Sequence[Evidence]) -> None:
        """Record what decisions rest on; each replaces what stood for the same before."""
        kept = {evidence_key(one): one for one in (*self.evidence(), *evidence)}
        if evidence:
            write_atomic(self.comparisons, evidence_text(list(kept.values())))

    def evidence(self) -> list[Evidence]:
        """Return what the decisions rest on, in the order in which it was made."""
        return evidence_from(_text(self.comparisons))

    def decision(self, parameter: str) -> Decision | None:
        """Return the latest decision on a parameter."""
        found = [d for d in self._decisions if d.parameter == parameter]
        return found[-1] if found else None

    def forget(self, stages: Sequence[str]) -> None:
        """Drop what some stages left: rows, curves, snapshots, decisions."""
        dropped = [row for row in self._rows if row["stage"] in stages]
        self._write_decisions([d for d in self._decisions if d.stage not in stages])
        self._write_rows([row for row in self._rows if row["stage"] not in stages])
        for row in dropped:
            trial = str(row["trial"])
            for path in (self.curve(trial), self.snapshot(trial), self.checkpoint(trial)):
                path.unlink(missing_ok=True)

    def timing(self, key: str) -> Any:
        """Return a measured cost, or None."""
        return self._timings().get(key)

    def set_timing(self, key: str, value: Any) -> None:
        """Keep a measured cost: a later run of this directory uses it again."""
        timings = self._timings() | {key: value}
        write_atomic(self.timings, json.dumps(timings, indent=2, sort_keys=True) + "\n")

    def write_experiment(self, text: str) -> None:
        """Write the resolved experiment."""
        write_atomic(self.experiment, text)

    def write_tuned(self, text: str) -> None:
        """Write the experiment with the decided values."""
        write_atomic(self.tuned, text)

    def write_manifest(self, facts: Mapping[str, Scalar]) -> None:
        """Write with what this run was made, besides the facts given."""
        manifest = {
            "hptune": _version("hptune"),
            "python": platform.python_version(),
            "torch": _version("torch"),
            "numpy": _version("numpy"),
            "platform": platform.platform(),
            "cpu_count": os.cpu_count(),
            "command": sys.argv,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "git": _git_state(),
            **facts,
        }
        write_atomic(self.manifest, json.dumps(manifest, indent=2) + "\n")

    def add_fact(self, name: str, value: Scalar) -> None:
        """Add to the manifest what shows only while the run goes on; where there is one."""
        if manifest := self._facts():
            write_atomic(self.manifest, json.dumps({**manifest, name: value}, indent=2) + "\n")

    def fact(self, name: str) -> Any:
        """Return what the manifest says of the run before this one, or None."""
        return self._facts().get(name)

    def _facts(self) -> dict[str, Any]:
        try:
            manifest = json.loads(_text(self.manifest) or "{}")
        except ValueError:
            return {}
        return manifest if isinstance(manifest, dict) else {}

    def _timings(self) -> dict[str, Any]:
        try:
            timings = json.loads(_text(self.timings) or "{}")
        except ValueError:
            timings = None
        if not isinstance(timings, dict):
            raise InputError(f"{self.timings}: must hold a JSON object; repair or remove the file")
        return timings

    def _write_rows(self, rows: list[Row]) -> None:
        columns = ordered_columns(rows)
        text = table_text(columns, ([row.get(c) for c in columns] for row in rows))
        write_atomic(self.results_csv, text)
        # As a later process would read them, so that a run and its resume see the same.
        self._rows = rows_from(text)
        self._table = text if rows else ""

    def _append(self, row: Row) -> None:
        """Write a row that needs no other columns; all anew would take longer row by row."""
        columns = list(self._rows[0])
        text = table_text(columns, [[row.get(c) for c in columns]])
        _, _, line = text.partition("\n")
        write_atomic(self.results_csv, self._table + line)
        self._table += line
        self._rows += rows_from(text)

    def _write_decisions(self, decisions: list[Decision]) -> None:
        rows = [decision_row(d) for d in decisions]
        text = table_text(DECISION_COLUMNS, (row.values() for row in rows))
        write_atomic(self.decisions_csv, text)
        self._decisions = [decision_from(row) for row in rows_from(text)]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_state() -> str | None:
    """Return the commit of the user's folder, "+changes" where it is not clean."""
    try:
        describe = ["git", "describe", "--always", "--dirty=+changes", "--abbrev=12"]
        done = subprocess.run(describe, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
