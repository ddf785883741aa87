"""The CSV contract: results.csv, decisions.csv and the curves, as text and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Any

from hptune.results.cells import cell, parse_table, table_text, value_of
from hptune.results.divergence import divergence_message
from hptune.results.paths import is_trial_id
from hptune.results.records import Curve, Decision, Status, Trial, TrialResult, Value

_HYPER = ("batch_size", "lr", "lr_min", "momentum", "momentum_min", "weight_decay")
_BEFORE_SWEPT = (
    *("trial", "stage", "status", "seed", "data", "model", "optimizer", "policy"),
    *("epochs", "iterations", *_HYPER),
)
_LAST = ("examples_per_second", "seconds", "peak_memory_mb", "device", "started")
_PARTS = ("val", "best_val", "test")  # of which there is a loss and the metrics
_DECISION = tuple(field.name for field in fields(Decision))
_TEXT = frozenset(
    {"trial", "stage", "status", "data", "model", "optimizer", "policy", "device", "started"}
    | {"parameter", "rule", "reason", "trials", "warnings"}
)
Row = dict[str, Value]


def _columns(metrics: Sequence[str], swept: Iterable[str] = ()) -> list[str]:
    """Return the columns of results.csv for a task's metrics and the other swept keys."""
    ends = [f"{part}_{name}" for part in _PARTS for name in ("loss", *metrics)]
    return [*_BEFORE_SWEPT, *swept, "train_loss", *ends, *_LAST]


def metrics_of(columns: Iterable[str]) -> list[str]:
    """Return the metrics that columns of results.csv are of."""
    best = [name.removeprefix("best_val_") for name in columns if name.startswith("best_val_")]
    return [name for name in best if name != "loss"]


def result_row(result: TrialResult) -> Row:
    """Return a trial's row of results.csv."""
    trial = result.trial
    values = vars(trial) | vars(result) | dict(trial.extra)
    values |= {"trial": trial.id, "iterations": len(result.curve)}
    values |= {"optimizer": trial.optimizer.name, "policy": trial.policy.name}
    values |= dict.fromkeys(trial.fixed)
    for part in _PARTS:
        metrics = getattr(result, f"{part}_metrics")
        values |= {f"{part}_{name}": value for name, value in metrics.items()}
    return {name: values.get(name) for name in _columns(list(result.val_metrics), trial.extra)}


def stored_result(trial: Trial, row: Row, curve: Curve) -> TrialResult:
    """Return the result that a row of results.csv and its curve hold."""
    values: dict[str, Any] = {f.name: row.get(f.name) for f in fields(TrialResult)}
    for part in _PARTS:
        # Columns of other tasks' metrics are blank in this row; the curve has this trial's own.
        metrics = {name: row.get(f"{part}_{name}") for name in curve.metrics}
        values[f"{part}_metrics"] = metrics
    values |= {"trial": trial, "status": Status(str(row["status"])), "curve": curve, "message": ""}
    values |= {name: row.get(name) or 0.0 for name in ("epochs", "seconds")}
    if values["status"] is Status.DIVERGED and len(curve):
        factor = trial.settings.divergence_factor
        values["message"] = divergence_message(curve.train_loss.tolist(), curve.lr[-1], factor)
    return TrialResult(**values)


def row_difference(row: Row, trial: Trial) -> str:
    """Say in what a row of results.csv is not of a trial; "" where it is of it."""
    names = [name for name in ("seed", *_HYPER) if name not in trial.fixed]
    wanted = {name: getattr(trial, name) for name in names} | dict(trial.extra)
    if row["status"] == Status.COMPLETE and trial.settings.early_stopping is None:
        wanted["iterations"] = trial.iterations
    for name, value in wanted.items():
        expected, found = cell(value), cell(row.get(name))
        if not _agree(value_of(expected), row.get(name)):
            return f"{name} is {found or 'blank'} in the row of {row['trial']}, not {expected}"
    return ""


def results_text(rows: Sequence[Row]) -> str:
    """Return results.csv: the contract's columns in their order, whatever each row has."""
    names = dict.fromkeys(name for row in rows for name in row)
    metrics = metrics_of(names)
    columns = _columns(metrics or ["accuracy"], sorted(names.keys() - _columns(metrics)))
    return table_text(columns, ([row.get(c) for c in columns] for row in rows))


def read_results(data: bytes | None) -> tuple[list[Row], str]:
    """Return the rows of results.csv that can be trusted, and what is wrong with the others.

    The second is "" where all are sound, or where there is no file.
    """
    return _sound(data, ("trial", "stage", "status"), _is_result)


def decision_row(decision: Decision) -> Row:
    """Return a row of decisions.csv; ids and warnings are joined."""
    joined = {"trials": " ".join(decision.trials), "warnings": " | ".join(decision.warnings)}
    return vars(decision) | joined


def decisions_text(decisions: Iterable[Decision]) -> str:
    """Return decisions.csv."""
    return table_text(_DECISION, (decision_row(d).values() for d in decisions))


def read_decisions(data: bytes | None) -> tuple[list[Decision], str]:
    """Return the decisions of decisions.csv that can be trusted, and what is wrong with the others."""
    rows, problem = _sound(data, _DECISION, _is_decision)
    return [_decision(row) for row in rows], problem


def _decision(row: Row) -> Decision:
    values: dict[str, Any] = {name: row[name] or "" for name in _DECISION}
    values["value"] = row["value"]
    values["trials"] = tuple(values["trials"].split())
    values["warnings"] = tuple(w for w in values["warnings"].split(" | ") if w)
    return Decision(**values | {"seconds": float(values["seconds"] or 0.0)})


def curve_text(curve: Curve) -> str:
    """Return a curve as CSV; floats are written so that they read back the same to the bit."""
    columns = {name: values.tolist() for name, values in curve.columns().items()}
    # A training loss is read every iteration, so a NaN there is a fact and no blank.
    columns["train_loss"] = ["nan" if loss != loss else loss for loss in columns["train_loss"]]
    return table_text(list(columns), zip(*columns.values(), strict=True))


def curve_from(data: bytes, row: Row | None = None) -> Curve:
    """Return the curve that a CSV of hptune holds.

    Args:
        data: The CSV.
        row: The row of results.csv that was written with it.

    Raises:
        ValueError: It holds none, is cut off, or is not the row's.
    """
    import numpy as np  # slow to load, and only of use here

    header, rows = parse_table(data)
    if not all(rows):
        raise ValueError("a line is cut off")
    columns = {
        name: np.array([float(cells[k] or math.nan) for cells in rows], dtype=np.float64)
        for k, name in enumerate(header)
    }
    iteration = np.arange(len(rows))
    try:
        if not np.array_equal(columns["iteration"], iteration):
            raise ValueError("an iteration is missing")
        curve = Curve.of(columns | {"iteration": iteration})
    except KeyError as error:
        raise ValueError(f"there is no column {error.args[0]}") from None
    if row is None:
        return curve
    if len(curve) != row.get("iterations"):
        raise ValueError(
            f"it has {len(curve)} iterations, results.csv says {row.get('iterations')}"
        )
    read = curve.val_loss[curve.val_loss == curve.val_loss]
    loss = row.get("val_loss")
    # The last one; of a final run whose earlier weights count, the lowest.
    told = {float(read[-1]), float(read.min())} if len(read) else set()
    if loss is not None and told and not any(_agree(loss, value) for value in told):
        raise ValueError(f"it ends at a validation loss of {read[-1]:.4g}, results.csv says {loss}")
    return curve


def _sound(
    data: bytes | None, columns: Sequence[str], is_sound: Callable[[Row], bool]
) -> tuple[list[Row], str]:
    if data is None:
        return [], ""
    header, lines = parse_table(data)
    if not set(columns) <= set(header):
        return [], "is empty" if not data.strip() else "is no table of hptune's"
    rows = [
        {
            name: (text or None) if name in _TEXT else value_of(text)
            for name, text in zip(header, line, strict=False)
            if name
        }
        for line in lines
    ]
    sound = [row for row in rows if row and is_sound(row)]
    lost = len(rows) - len(sound)
    if lost == 1 and not rows[-1]:
        return sound, "the last line is cut off"
    return sound, f"{lost} line{'s' if lost > 1 else ''} cannot be trusted" if lost else ""


def _is_result(row: Row) -> bool:
    trial, stage = str(row["trial"]), str(row["stage"])
    numbers = row.keys() & set(_columns(metrics_of(row))) - _TEXT
    return (
        is_trial_id(trial)
        and trial.rpartition("-")[0] == stage
        and row["status"] in set(Status)
        and all(_is_number(row[name]) for name in numbers if row[name] is not None)
    )


def _is_decision(row: Row) -> bool:
    # The value of a key of the experiment may be anything.
    is_sound = row["parameter"] not in _BEFORE_SWEPT or _is_number(row["value"])
    return bool(row["stage"] and row["parameter"] and is_sound) and _is_number(row["seconds"] or 0)


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _agree(one: Value, other: Value) -> bool:
    """Return whether two values are the same, numbers as far as a spreadsheet writes them out."""
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-6)
    return one == other
