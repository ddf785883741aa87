"""The CSV contract: results.csv, decisions.csv and the curves, as text and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hptune.results.cells import parse_table, table_text, value_of
from hptune.results.paths import is_trial_id
from hptune.results.records import Curve, Decision, FloatArray, Status, TrialResult, Value

# Other swept keys follow weight_decay, then the losses and metrics.
_BEFORE_SWEPT = (
    "trial",
    "stage",
    "status",
    "seed",
    "data",
    "model",
    "optimizer",
    "policy",
    "epochs",
    "iterations",
    "batch_size",
    "lr",
    "lr_min",
    "momentum",
    "momentum_min",
    "weight_decay",
)
_LAST = ("examples_per_second", "seconds", "peak_memory_mb", "device", "started")
DECISION_COLUMNS = (
    "stage",
    "parameter",
    "value",
    "rule",
    "reason",
    "trials",
    "warnings",
    "seconds",
)
_TEXT = frozenset(
    {"trial", "stage", "status", "data", "model", "optimizer", "policy", "device", "started"}
    | {"parameter", "rule", "reason", "trials", "warnings"}
)
Row = dict[str, Value]


def result_columns(metrics: Sequence[str], swept: Iterable[str] = ()) -> list[str]:
    """Return the columns of results.csv for a task's metrics and the other swept keys."""
    losses = ["train_loss", "val_loss", *(f"val_{m}" for m in metrics)]
    best = ["best_val_loss", *(f"best_val_{m}" for m in metrics)]
    test = ["test_loss", *(f"test_{m}" for m in metrics)]
    return [*_BEFORE_SWEPT, *swept, *losses, *best, *test, *_LAST]


def result_row(result: TrialResult) -> Row:
    """Return a trial's row of results.csv."""
    trial = result.trial
    row: Row = {
        "trial": trial.id,
        "stage": trial.stage,
        "status": result.status,
        "seed": trial.seed,
        "data": result.data,
        "model": result.model,
        "optimizer": trial.optimizer.name,
        "policy": trial.policy.name,
        "epochs": result.epochs,
        "iterations": len(result.curve),
        "batch_size": trial.batch_size,
        "lr": trial.lr,
        "lr_min": trial.lr_min,
        "momentum": trial.momentum,
        "momentum_min": trial.momentum_min,
        "weight_decay": trial.weight_decay,
        **trial.extra,
        "train_loss": result.train_loss,
        "val_loss": result.val_loss,
    }
    row |= {f"val_{name}": value for name, value in result.val_metrics.items()}
    row["best_val_loss"] = result.best_val_loss
    row |= {f"best_val_{name}": value for name, value in result.best_val_metrics.items()}
    row["test_loss"] = result.test_loss
    row |= {f"test_{name}": value for name, value in result.test_metrics.items()}
    return row | {
        "examples_per_second": result.examples_per_second,
        "seconds": result.seconds,
        "peak_memory_mb": result.peak_memory_mb,
        "device": result.device,
        "started": result.started,
    }


def ordered_columns(rows: Sequence[Row]) -> list[str]:
    """Return the columns that hold all rows: the contract's order, whatever each row has."""
    names = dict.fromkeys(name for row in rows for name in row)
    metrics = metrics_of(names)
    swept = names.keys() - result_columns(metrics)
    return result_columns(metrics or ["accuracy"], sorted(swept))


def metrics_of(columns: Iterable[str]) -> list[str]:
    """Return the metrics that columns of results.csv are of."""
    best = [name.removeprefix("best_val_") for name in columns if name.startswith("best_val_")]
    return [name for name in best if name != "loss"]


def decision_row(decision: Decision) -> Row:
    """Return a row of decisions.csv; ids and warnings are joined."""
    return {
        "stage": decision.stage,
        "parameter": decision.parameter,
        "value": decision.value,
        "rule": decision.rule,
        "reason": decision.reason,
        "trials": " ".join(decision.trials),
        "warnings": " | ".join(decision.warnings),
        "seconds": decision.seconds,
    }


def decision_from(row: Mapping[str, Any]) -> Decision:
    """Return the decision that a row holds."""
    return Decision(
        stage=str(row["stage"]),
        parameter=str(row["parameter"]),
        value=row["value"],
        rule=str(row["rule"] or ""),
        reason=str(row["reason"] or ""),
        trials=tuple(str(row["trials"] or "").split()),
        warnings=tuple(w for w in str(row["warnings"] or "").split(" | ") if w),
        seconds=float(row["seconds"] or 0.0),
    )


def curve_text(curve: Curve) -> str:
    """Return a curve as CSV; floats are written so that they read back the same to the bit."""
    columns: dict[str, Any] = {
        "iteration": curve.iteration,
        "epoch": curve.epoch,
        "lr": curve.lr,
        "momentum": curve.momentum,
        "weight_decay": curve.weight_decay,
        "train_loss": curve.train_loss,
        "val_loss": curve.val_loss,
        **{f"val_{name}": values for name, values in curve.metrics.items()},
        "seconds": curve.seconds,
    }
    lists = [values.tolist() for values in columns.values()]
    # A training loss is read every iteration, so a NaN there is a fact and no blank.
    place = list(columns).index("train_loss")
    lists[place] = ["nan" if value != value else value for value in lists[place]]
    return table_text(list(columns), zip(*lists, strict=True))


def curve_from(data: bytes) -> Curve:
    """Return the curve that a CSV of hptune holds.

    Raises:
        ValueError: It holds none, or is cut off.
    """
    header, rows = parse_table(data)
    if not all(rows):
        raise ValueError("a line is cut off")
    columns = {name: [row[k] for row in rows] for k, name in enumerate(header)}

    def numbers(name: str) -> FloatArray:
        if name not in columns:
            raise ValueError(f"there is no column {name}")
        return np.array([float(v) if v else math.nan for v in columns[name]], dtype=np.float64)

    iteration = numbers("iteration")
    if not np.array_equal(iteration, np.arange(len(rows))):
        raise ValueError("an iteration is missing")
    metrics = [n for n in header if n.startswith("val_") and n != "val_loss"]
    return Curve(
        iteration=iteration.astype(np.int64),
        epoch=numbers("epoch"),
        lr=numbers("lr"),
        momentum=numbers("momentum"),
        weight_decay=numbers("weight_decay"),
        train_loss=numbers("train_loss"),
        val_loss=numbers("val_loss"),
        metrics={name.removeprefix("val_"): numbers(name) for name in metrics},
        seconds=numbers("seconds"),
    )


def rows_from(text: str) -> list[Row]:
    """Return the rows of a table that hptune has just written, as a later process reads them."""
    return _rows(*parse_table(text.encode()))


def read_results(data: bytes | None) -> tuple[list[Row], str]:
    """Return the rows of results.csv that can be trusted, and what is wrong with the others.

    The second is "" where all are sound, or where there is no file.
    """
    return _sound(data, ("trial", "stage", "status"), _is_result)


def read_decisions(data: bytes | None) -> tuple[list[Decision], str]:
    """Return the decisions of decisions.csv that can be trusted, and what is wrong with the others."""
    rows, problem = _sound(data, DECISION_COLUMNS, _is_decision)
    return [decision_from(row) for row in rows], problem


def _sound(
    data: bytes | None, columns: Sequence[str], is_sound: Callable[[Row], bool]
) -> tuple[list[Row], str]:
    if data is None:
        return [], ""
    header, lines = parse_table(data)
    if not set(columns) <= set(header):
        return [], "is empty" if not data.strip() else "is no table of hptune's"
    rows = _rows(header, lines)
    sound = [row for row in rows if row and is_sound(row)]
    lost = len(rows) - len(sound)
    if lost == 1 and not rows[-1]:
        return sound, "the last line is cut off"
    return sound, f"{lost} line{'s' if lost > 1 else ''} cannot be trusted" if lost else ""


def _rows(header: Sequence[str], lines: Iterable[Sequence[str]]) -> list[Row]:
    return [
        {
            name: (text or None) if name in _TEXT else value_of(text)
            for name, text in zip(header, line, strict=False)
            if name
        }
        for line in lines
    ]


def _is_result(row: Row) -> bool:
    trial, stage = str(row["trial"]), str(row["stage"])
    numbers = row.keys() & set(result_columns(metrics_of(row))) - _TEXT
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
