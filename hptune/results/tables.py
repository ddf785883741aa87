"""The CSV contract: results.csv, decisions.csv and the curves, as text and back."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hptune.results.records import Curve, Decision, Scalar, TrialResult

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
Row = dict[str, Scalar]


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
    metrics: dict[str, None] = {}
    swept: dict[str, None] = {}
    for row in rows:
        names = [k.removeprefix("best_val_") for k in row if k.startswith("best_val_")]
        metrics |= dict.fromkeys(name for name in names if name != "loss")
    fixed = set(result_columns(list(metrics)))
    for row in rows:
        swept |= dict.fromkeys(key for key in row if key not in fixed)
    return result_columns(list(metrics) or ["accuracy"], sorted(swept))


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


def decision_from(row: Mapping[str, Scalar]) -> Decision:
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


def curve_from(text: str) -> Curve:
    """Return the curve that a CSV of hptune holds."""
    reader = csv.reader(io.StringIO(text))
    header = next(reader)
    rows = list(reader)
    columns = {name: [row[k] for row in rows] for k, name in enumerate(header)}

    def numbers(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([float(v) if v else math.nan for v in columns[name]], dtype=np.float64)

    metrics = [n for n in header if n.startswith("val_") and n != "val_loss"]
    return Curve(
        iteration=np.array([int(v) for v in columns["iteration"]], dtype=np.int64),
        epoch=numbers("epoch"),
        lr=numbers("lr"),
        momentum=numbers("momentum"),
        weight_decay=numbers("weight_decay"),
        train_loss=numbers("train_loss"),
        val_loss=numbers("val_loss"),
        metrics={name.removeprefix("val_"): numbers(name) for name in metrics},
        seconds=numbers("seconds"),
    )


def table_text(columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return rows of values as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([cell(value) for value in row] for row in rows)
    return buffer.getvalue()


def rows_from(text: str) -> list[Row]:
    """Return the rows of results.csv or decisions.csv, numbers as numbers, blanks as None."""
    return [
        {name: _value(name, value) for name, value in row.items()}
        for row in csv.DictReader(io.StringIO(text))
    ]


def cell(value: Any) -> str:
    """Return a value as it stands in a CSV: blank for nothing, floats with all their digits."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    return str(value)


def _value(name: str, text: str) -> Scalar:
    if text == "":
        return None
    if name in _TEXT:
        return text
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
