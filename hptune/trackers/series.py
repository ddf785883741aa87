"""What of a trial a tracker shows: its hyper-parameters, its last values, its curve as series."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from hptune.results.records import Curve, FloatArray, TrialResult, Value
from hptune.results.tables import result_row

MOST_POINTS = 1000  # of a series; what these tools draw of one
_FIRST_VALUE = "train_loss"  # in results.csv, hyper-parameters stand before it
_NO_PARAMETERS = ("trial", "status")
_NO_VALUES = ("device", "started")


def parameters(result: TrialResult) -> dict[str, Value]:
    """Return what a trial was run with, by the columns of results.csv."""
    row = result_row(result)
    names = list(row)[: list(row).index(_FIRST_VALUE)]
    shown = {name: row[name] for name in names if name not in _NO_PARAMETERS}
    return {name: value for name, value in shown.items() if value is not None}


def values(result: TrialResult) -> dict[str, float]:
    """Return what came of a trial, by the columns of results.csv."""
    row = result_row(result)
    names = list(row)[list(row).index(_FIRST_VALUE) :]
    return {
        name: float(value)
        for name in names
        if name not in _NO_VALUES and isinstance(value := row[name], int | float)
    }


def series(curve: Curve) -> Iterator[tuple[str, NDArray[np.int64], FloatArray, FloatArray]]:
    """Yield name, iterations, values and seconds since the start of each column of a curve.

    Long columns are thinned evenly; every validation reading stays.
    """
    columns = {
        "train_loss": curve.train_loss,
        "val_loss": curve.val_loss,
        **{f"val_{name}": column for name, column in curve.metrics.items()},
        "lr": curve.lr,
        "momentum": curve.momentum,
        "weight_decay": curve.weight_decay,
    }
    seconds = _seconds(curve)
    for name, column in columns.items():
        # A training loss is read at every iteration: a NaN there is a divergence, not a blank.
        read = np.arange(len(column)) if name == "train_loss" else np.flatnonzero(column == column)
        if len(read) > MOST_POINTS:
            read = read[np.linspace(0, len(read) - 1, MOST_POINTS).astype(int)]
        if len(read):
            yield name, curve.iteration[read], column[read], seconds[read]


def _seconds(curve: Curve) -> FloatArray:
    """Return seconds since the start for every iteration; the clock is read now and then."""
    read = np.flatnonzero(curve.seconds == curve.seconds)
    if not len(read):
        return np.zeros(len(curve))
    times = np.concatenate([[0.0], curve.seconds[read]])
    ends = np.concatenate([[-1], curve.iteration[read]])
    spread: FloatArray = np.interp(curve.iteration, ends, times)
    return spread


def started_at(result: TrialResult) -> float:
    """Return when a trial began, seconds since 1970."""
    return datetime.fromisoformat(result.started).timestamp()
