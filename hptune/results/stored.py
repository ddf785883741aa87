"""A trial's result as a run directory holds it, and whether row and curve are of that trial."""

from __future__ import annotations

import math

import numpy as np

from hptune.results.cells import cell, value_of
from hptune.results.divergence import divergence_message
from hptune.results.records import Curve, Status, Trial, TrialResult, Value
from hptune.results.tables import Row, metrics_of


def row_difference(row: Row, trial: Trial) -> str:
    """Say in what a row of results.csv is not of a trial; "" where it is of it."""
    names = ("seed", "batch_size", "lr", "lr_min", "momentum", "momentum_min", "weight_decay")
    wanted = {name: getattr(trial, name) for name in names} | dict(trial.extra)
    if row["status"] == Status.COMPLETE and trial.settings.early_stopping is None:
        wanted["iterations"] = trial.iterations
    for name, value in wanted.items():
        expected, found = cell(value), cell(row.get(name))
        if not _agree(value_of(expected), row.get(name)):
            return f"{name} is {found or 'blank'} in the row of {row['trial']}, not {expected}"
    return ""


def curve_difference(row: Row, curve: Curve) -> str:
    """Say in what a curve is not the one that its row was written from; "" where it is."""
    if len(curve) != row.get("iterations"):
        return f"has {len(curve)} iterations, results.csv says {row.get('iterations')}"
    read = curve.val_loss[~np.isnan(curve.val_loss)]
    loss = row.get("val_loss")
    if loss is not None and len(read) and not _agree(loss, float(read[-1])):
        return f"ends at a validation loss of {read[-1]:.4g}, results.csv says {loss}"
    return ""


def stored_result(trial: Trial, row: Row, curve: Curve) -> TrialResult:
    """Return the result that a row and its curve hold."""

    def number(name: str) -> float | None:
        value = row.get(name)
        return float(value) if isinstance(value, int | float) else None

    # Columns of other tasks' metrics are blank in this row; the curve has this trial's own.
    metrics = [name for name in metrics_of(row) if name in curve.metrics]
    message = ""
    if row["status"] == Status.DIVERGED and len(curve):
        factor = trial.settings.divergence_factor
        message = divergence_message(curve.train_loss.tolist(), curve.lr[-1], factor)
    return TrialResult(
        trial=trial,
        status=Status(str(row["status"])),
        data=str(row.get("data")),
        model=str(row.get("model")),
        device=str(row.get("device")),
        started=str(row.get("started")),
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
        message=message,
    )


def _agree(one: Value, other: Value) -> bool:
    """Return whether two values are the same, numbers as far as a spreadsheet writes them out."""
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-6)
    return one == other
