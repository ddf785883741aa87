"""The run directory: what one process writes of a run, what a later one takes up, repaired where damaged."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, Self

from filelock import BaseFileLock, Timeout

from hptune.errors import InputError
from hptune.results import tables
from hptune.results.atomic import write_atomic
from hptune.results.cells import table_text
from hptune.results.evidence import Evidence, evidence_from, evidence_key, evidence_text
from hptune.results.lock import locked
from hptune.results.paths import RunPaths
from hptune.results.records import Curve, Decision, Scalar, Status, Trial, TrialResult
from hptune.results.repair import Repair, check_experiment, is_whole_state, json_object, read_bytes
from hptune.results.tables import Row
from hptune.stages import WHOLE_RUNS

_OWN_END = (Status.COMPLETE, Status.DIVERGED)
_FINISHED = (*_OWN_END, Status.PRUNED)  # its own stage had no more use for a pruned trial


class RunDir(RunPaths):
    """A run directory, open for reading or, by one process at a time, for writing.

    A file that was cut short or edited is set aside as NAME.damaged, and what it held is run,
    decided, measured or written again. Who only reads leaves it and goes on with what can be read.

    Args:
        path: The directory.
        lock: Held by the process that writes; None for one that reads.
        tell: Is called with a line for each damaged file.
    """

    def __init__(
        self, path: Path, lock: BaseFileLock | None, tell: Callable[[str], None] = warnings.warn
    ) -> None:
        super().__init__(path)
        self._lock = lock
        self._repair = Repair(path, tell, write=lock is not None)
        self._rows, problem = tables.read_results(read_bytes(self.results_csv))
        self._table = ""  # what this process has written to results.csv
        if problem:
            self._set_rows_aside(self._rows, problem, "what is missing in it runs again")
        self._decisions, problem = tables.read_decisions(read_bytes(self.decisions_csv))
        if problem:
            follows = "what is missing in it is decided again when its stage runs"
            text = tables.decisions_text(self._decisions)
            self._repair.set_aside(self.decisions_csv, problem, follows, text)
        self._sound_weights: set[Path] = set()
        self._begun: tuple[str, dict[str, Any]] | None = None  # not written yet

    @classmethod
    def open(
        cls, path: Path, *, write: bool = True, tell: Callable[[str], None] = warnings.warn
    ) -> Self:
        """Open a directory.

        Args:
            path: Made where it is not there, if it is to be written.
            write: Whether to hold its lock.
            tell: Is called with a line for each damaged file.

        Raises:
            InputError: It cannot be written, is held by another process, or is not there to be read.
        """
        if not write:
            if not path.is_dir():
                raise InputError(
                    f"{path}: no such run directory; must be one that hptune wrote; run "
                    "`hptune run` first or name another"
                )
            return cls(path, None, tell)
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = locked(path / ".lock")
        except Timeout as error:
            raise InputError(
                f"--out: {path} is in use by another hptune; one process writes a run directory; "
                f"wait for it or give another --out; if none runs anywhere, remove {error.lock_file}"
            ) from None
        except OSError as error:
            raise InputError(
                f"--out: {path}; must be a folder that can be written ({error.strerror}); give another --out"
            ) from None
        try:
            run_dir = cls(path, lock, tell)
            run_dir.remove_unfinished()
            run_dir._check_files()
        except BaseException:
            lock.release()
            raise
        return run_dir

    def close(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def add(self, result: TrialResult) -> None:
        """Record a trial: its curve first, then its row, so that a row always has its curve."""
        if self._begun is not None:
            (experiment, manifest), self._begun = self._begun, None
            write_atomic(self.experiment, experiment)
            self._write_manifest(manifest)
        write_atomic(self.curve(result.trial.id), tables.curve_text(result.curve))
        if result.status is Status.FAILED and not self.log(result.trial.id).exists():
            write_atomic(self.log(result.trial.id), f"{result.message}\n")
        row = tables.result_row(result)
        known = {each["trial"]: each for each in self._rows}
        if row["trial"] in known or not self._table or row.keys() - self._rows[0].keys():
            self._write_rows([*(known | {row["trial"]: row}).values()])
            return
        # It needs no other columns: to write all rows anew would take longer row by row.
        columns = list(self._rows[0])
        text = table_text(columns, [[row.get(c) for c in columns]])
        table = self._table + text.partition("\n")[2]
        write_atomic(self.results_csv, table)
        self._table = table
        self._rows += tables.read_results(text.encode())[0]

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
        for row in self._rows_of(trial):
            curve = self.history(row) if self._is_sound(row, trial) else None
            if curve is not None:
                return tables.stored_result(trial.change(stage=str(row["stage"])), row, curve)
        return None

    def history(self, row: Row) -> Curve | None:
        """Return the curve of a row of results.csv; None where it is not whole."""
        path = self.curve(str(row["trial"]))
        needed = row["status"] != Status.FAILED  # nobody asks for the curve of one that failed
        parse = partial(tables.curve_from, row=row)
        return self._repair.read(path, parse, "its trial runs again", needed=needed)

    def _rows_of(self, trial: Trial) -> list[Row]:
        """Return the rows of a finished trial, another search stage's where it came to its own end."""

        def is_of_it(row: Row) -> bool:
            if row["stage"] == trial.stage:
                return row["status"] in _FINISHED
            # The weights of a whole run are kept under its own id.
            searched = {row["stage"], trial.stage}.isdisjoint(WHOLE_RUNS)
            return searched and row["status"] in _OWN_END

        same = [row for row in self._rows if str(row["trial"]).endswith(f"-{trial.digest}")]
        return [row for row in same if is_of_it(row)]

    def _is_sound(self, row: Row, trial: Trial) -> bool:
        """Return whether a row agrees with its trial, and its weights are whole; else drop it."""
        weights = self.checkpoint(str(row["trial"]))
        rest = [other for other in self._rows if other is not row]
        again = "its trial runs again"
        if what := tables.row_difference(row, trial):
            self._set_rows_aside(rest, what, again)
        elif weights in self._sound_weights or not weights.exists() or is_whole_state(weights):
            self._sound_weights.add(weights)
            return True
        else:
            self._write_rows(rest)
            self._repair.set_aside(weights, "is cut short", again)
        return False

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
        if evidence:
            kept = {evidence_key(one): one for one in (*self.evidence(), *evidence)}
            write_atomic(self.comparisons, evidence_text(list(kept.values())))

    def evidence(self) -> list[Evidence]:
        """Return what the decisions rest on, in the order in which it was made."""
        follows = "each stage that runs again writes its part anew"
        return self._repair.read(self.comparisons, evidence_from, follows) or []

    def forget(self, stages: Sequence[str]) -> None:
        """Drop what some stages left: rows, curves, logs, snapshots, weights, decisions, evidence."""
        dropped = [row for row in self._rows if row["stage"] in stages]
        self._write_decisions([d for d in self._decisions if d.stage not in stages])
        self._write_rows([row for row in self._rows if row["stage"] not in stages])
        evidence = self.evidence()
        kept = [one for one in evidence if one.stage not in stages]
        if kept != evidence:
            write_atomic(self.comparisons, evidence_text(kept))
        for row in dropped:
            for place in (self.curve, self.log, self.snapshot, self.checkpoint):
                place(str(row["trial"])).unlink(missing_ok=True)

    def timing(self, key: str) -> Any:
        """Return a measured cost, or None."""
        return self._timings().get(key)

    def set_timing(self, key: str, value: Any) -> None:
        """Keep a measured cost: a later run of this directory uses it again."""
        timings = self._timings() | {key: value}
        write_atomic(self.timings, json.dumps(timings, indent=2, sort_keys=True) + "\n")

    def begin(self, experiment: str, facts: Mapping[str, Scalar]) -> None:
        """Take down what a command runs and with what; it is written with the first trial it records.

        Args:
            experiment: The resolved experiment, as YAML.
            facts: For the manifest, besides versions, command and git state.
        """
        from hptune.results.environment import environment  # slow to load, and only of use here

        self._begun = experiment, environment() | dict(facts)

    def take_experiment(self, experiment: str) -> None:
        """Take down another experiment, as YAML, in the place of the one that a command began with."""
        if self._begun is not None:
            self._begun = experiment, self._begun[1]
        elif self.experiment.exists():
            write_atomic(self.experiment, experiment)

    def add_fact(self, name: str, value: Scalar | Sequence[str]) -> None:
        """Add to the manifest what shows only while the run goes on."""
        if self._begun is not None:
            self._begun[1][name] = value
        elif manifest := self.facts():
            self._write_manifest({**manifest, name: value})

    def facts(self) -> dict[str, Any]:
        """Return the manifest: what it says of the run before this one, until a trial is recorded."""
        return self._repair.read(self.manifest, json_object, "it is written again") or {}

    def _write_manifest(self, manifest: Mapping[str, Any]) -> None:
        write_atomic(self.manifest, json.dumps(manifest, indent=2) + "\n")

    def _timings(self) -> dict[str, Any]:
        follows = "what it held is measured again"
        return self._repair.read(self.timings, json_object, follows) or {}

    def _check_files(self) -> None:
        """Set aside what is damaged of the files that nothing else reads before it writes them."""
        self.facts()
        self._timings()
        for path in (self.experiment, self.tuned):
            self._repair.read(path, check_experiment, "it is written again")
        for path in (self.path / "snapshots").glob("*.pt"):
            if not zipfile.is_zipfile(path):
                follows = "its trial begins anew if it is needed"
                self._repair.set_aside(path, "is cut short", follows)

    def _set_rows_aside(self, rows: list[Row], what: str, follows: str) -> None:
        """Keep results.csv as it was, and go on with the rows that can be trusted."""
        self._repair.set_aside(self.results_csv, what, follows, tables.results_text(rows))
        self._rows, self._table = rows, ""

    def _write_rows(self, rows: list[Row]) -> None:
        text = tables.results_text(rows)
        write_atomic(self.results_csv, text)
        # As a later process would read them, so that a run and its resume see the same.
        self._rows, _ = tables.read_results(text.encode())
        self._table = text if rows else ""

    def _write_decisions(self, decisions: list[Decision]) -> None:
        text = tables.decisions_text(decisions)
        write_atomic(self.decisions_csv, text)
        self._decisions, _ = tables.read_decisions(text.encode())
