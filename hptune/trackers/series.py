"""What of a trial a tracker shows: its hyper-parameters, its last values, the points of its curve."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import numpy as np

from hptune.results.records import TrialResult, Value
from hptune.results.tables import result_row

MOST_POINTS = 1000  # of a series; what these tools draw of one


def parameters_and_values(result: TrialResult) -> tuple[dict[str, Value], dict[str, float]]:
    """Return what a trial was run with and what came of it, by the columns of results.csv."""
    cells = list(result_row(result).items())
    first = [name for name, _ in cells].index("train_loss")
    parameters: dict[str, Value] = {
        name: value
        for name, value in cells[:first]
        if value is not None and name not in ("trial", "status")
    }
    values = {name: float(v) for name, v in cells[first:] if isinstance(v, int | float)}
    return parameters, values


def points(result: TrialResult) -> Iterator[tuple[str, int, float, float]]:
    """Yield name, iteration, value and time (seconds since 1970) of each point of a trial's curve.

    Long columns are thinned evenly; every validation reading stays.
    """
    curve = result.curve
    columns = {
        "train_loss": curve.train_loss,
        "val_loss": curve.val_loss,
        **{f"val_{name}": column for name, column in curve.metrics.items()},
        "lr": curve.lr,
        "momentum": curve.momentum,
        "weight_decay": curve.weight_decay,
    }
    timed = ~np.isnan(curve.seconds)  # the clock is read now and then
    ends, seconds = [-1, *curve.iteration[timed]], [0.0, *curve.seconds[timed]]
    times = started_at(result) + np.interp(curve.iteration, ends, seconds)
    for name, column in columns.items():
        # A training loss is read at every iteration: a NaN there is a divergence, not a blank.
        read = np.flatnonzero((column == column) | (name == "train_loss"))
        if len(read) > MOST_POINTS:
            read = read[np.linspace(0, len(read) - 1, MOST_POINTS).astype(int)]
        for k in read:
            yield name, int(curve.iteration[k]), float(column[k]), float(times[k])


def started_at(result: TrialResult) -> float:
    """Return when a trial began, seconds since 1970."""
    return datetime.fromisoformat(result.started).timestamp()
