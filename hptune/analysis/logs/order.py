"""Rows in the order of their step, and each column as a series of its own over the steps."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hptune.analysis.smoothing import FloatArray

FEW = 0.05  # of the readings: so many steps back are restarts, more are a shuffled file
MOST_RESTARTS = 20
MANY = 5  # readings at other steps, that tell a restart
AGAIN = 0.2  # of the epochs begin below the last iteration of the one before: it is counted anew
SEVERAL = 1.5  # readings a step: then they belong to one step, and not to a run that was resumed

Column = tuple[str, FloatArray]  # its name and its numbers, NaN where it has none
Series = tuple[FloatArray, FloatArray]  # steps and values


def steps_of(
    iteration: Column | None, epoch: Column | None, measured: NDArray[np.bool_]
) -> tuple[FloatArray, str]:
    """Return the step of each row, and in words what it is; NaN where a row cannot be placed.

    Args:
        iteration: Numbers of shape (N,), as of the epoch.
        epoch: Stands for the iteration where there is none.
        measured: (N,), whether the row has the measure that is read most often.
    """
    if iteration is None or epoch is None:
        column = iteration or epoch
        if column is None:
            return np.arange(len(measured), dtype=np.float64), "the place of the row"
        name, steps = column
        return _spread(_filled(steps), measured), repr(name)
    (name, steps), (epoch_name, epochs) = iteration, epoch
    if _restarts(steps, epochs):  # a batch within its epoch
        lowest, highest = np.nanmin(steps), np.nanmax(steps)
        within = np.where(np.isnan(steps), highest + 0.5, steps)
        begun = (epochs - np.nanmin(epochs)) * (highest - lowest + 1)
        return _filled(begun + within), f"{epoch_name!r} and {name!r}"
    if len(np.unique(steps)) < len(np.unique(epochs)):  # a batch size, not a batch
        return _spread(_filled(epochs), measured), repr(epoch_name)
    # A row without its iteration is of the end of its epoch.
    ends = pd.Series(steps).groupby(epochs).transform("max").to_numpy()
    steps = np.where(np.isnan(steps), ends, steps)
    return _spread(_filled(steps), measured), repr(name)


def _restarts(steps: FloatArray, epochs: FloatArray) -> bool:
    """Say whether the iterations are counted from the start of each epoch."""
    known = ~np.isnan(steps) & ~np.isnan(epochs)
    of_epoch = pd.Series(steps[known]).groupby(epochs[known])
    first, last = of_epoch.min().to_numpy(), of_epoch.max().to_numpy()
    return len(first) > 1 and bool(np.mean(first[1:] < last[:-1]) > AGAIN)


def _filled(steps: FloatArray) -> FloatArray:
    """Return steps with those that a row lacks between its neighbours', where the rows are in order."""
    known = np.flatnonzero(~np.isnan(steps))
    change = np.diff(steps[known])
    if len(known) in (0, len(steps)) or ((change < 0).any() and (change > 0).any()):
        return steps
    return np.interp(np.arange(len(steps)), known, steps[known])


def _spread(steps: FloatArray, measured: NDArray[np.bool_]) -> FloatArray:
    """Return steps of which several rows with a reading each lie evenly between it and the next."""
    read = steps[measured & ~np.isnan(steps)]
    change = np.diff(read)
    different = len(np.unique(read))
    together = 1 + np.count_nonzero(change)  # blocks of rows with the same step
    shuffled = min((change < 0).sum(), (change > 0).sum()) > max(1, FEW * len(read))
    if len(read) < SEVERAL * different or (len(read) < SEVERAL * together and not shuffled):
        return steps
    newest_first = (change < 0).sum() > (change > 0).sum()
    rows = pd.Series(steps).groupby(steps)
    place = rows.cumcount(ascending=not newest_first)
    return np.asarray(steps + place / rows.transform("size"), dtype=np.float64)


def series_of(
    steps: FloatArray, values: FloatArray, said: NDArray[np.bool_]
) -> tuple[Series, dict[str, int]]:
    """Return a column's readings in the order of their step, and how many it is said of.

    Of readings of the same step the last one counts: the run was resumed. Where it went back to
    a step, what it had read beyond that before is of no run that there is.

    Args:
        steps: (N,).
        values: (N,), NaN where a row has none.
        said: (N,), whether the row says of its value that it is none.
    """
    present = (~np.isnan(values) | said) & ~np.isnan(steps)
    steps, values = steps[present], values[present]
    notes: dict[str, int] = {}
    change = np.diff(steps)
    newest_first = (change < 0).sum() > (change > 0).sum()
    if newest_first:
        steps, values, change = steps[::-1], values[::-1], -change[::-1]
    back = np.flatnonzero(change < 0) + 1
    if len(back) > min(MOST_RESTARTS, max(1, FEW * len(steps))):
        notes["readings not in order, sorted by step"] = len(steps)
    else:
        notes["readings newest first, turned round"] = len(steps) * bool(newest_first)
        stale = _before_restarts(steps, back)
        notes["readings from before a restart left out"] = int(stale.sum())
        steps, values = steps[~stale], values[~stale]
    order = np.lexsort((~np.isnan(values), steps))  # a number counts before a blank
    steps, values = steps[order], values[order]
    last = np.append(np.diff(steps) > 0, True)[: len(steps)]
    repeated = np.count_nonzero(~last & ~np.isnan(values))
    notes["repeated readings of a step, of which the last counts"] = int(repeated)
    steps, values = steps[last], values[last]
    values = _with_end(values)
    known = ~np.isnan(values)
    return (steps[known], values[known]), notes


def _before_restarts(steps: FloatArray, back: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which readings a run made again, having been resumed from an earlier step.

    A step back alone is no restart: the file may be shuffled, or the last reading be that of an
    evaluation without a step. The same steps, or as many between them, follow a restart.
    """
    stale = np.zeros(len(steps), dtype=bool)
    for start in back:
        beyond = ~stale[:start] & (steps[:start] >= steps[start])
        old, new = steps[:start][beyond], steps[start:]
        again = new[(new >= old.min(initial=np.inf)) & (new <= old.max(initial=-np.inf))]
        same = np.count_nonzero(np.isin(again, old))
        if (same > 1 and same > len(again) / 2) or len(again) >= max(MANY, len(old) / 2):
            stale[:start] |= beyond
    return stale


def _with_end(values: FloatArray) -> FloatArray:
    """Return values with infinity where they end in "nan": the run went on and diverged.

    As many between or before numbers are another tool's blanks, and so are those at the end.
    """
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return np.full(len(values), np.inf)
    before = np.diff(known, prepend=-1).max() - 1
    after = len(values) - 1 - known[-1]
    end = np.arange(len(values)) > known[-1]
    return np.where(end & (after > before), np.inf, values)
