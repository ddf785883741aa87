"""The curve that a run's log holds, and in a line how it was read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hptune.analysis.logs.columns import ENOUGH, Columns
from hptune.analysis.logs.table import Table
from hptune.analysis.lr_range import is_range_test
from hptune.analysis.smoothing import FloatArray
from hptune.results.records import Curve

NOBODYS = -10  # as log10 of an LR: where it is below, the logarithm is a natural one
LARGEST = 2**53  # whole number that a float holds
PERCENT = 1.01  # a rounded share may exceed 1 by its last digit
_BASES = {"ln": np.e, "log2": 2.0, "log": 10.0}
_TRAIN, _VALIDATION = ("train", ""), ("val", "test")


@dataclass(frozen=True)
class Run:
    """A run's curve, and how it was read.

    Attributes:
        curve: In the order of its steps.
        name: "" where the log has none.
        read: In one line: which columns were read as what, and what was left out or changed.
    """

    curve: Curve
    name: str
    read: str


def run_of(table: Table) -> Run:
    """Return the run that a table holds."""
    columns = Columns.of(table)
    steps = columns.readings.index.to_numpy(dtype=np.float64)
    train_loss = columns.take("train_loss", "loss", _TRAIN)
    val_loss = columns.take("val_loss", "loss", _VALIDATION)
    lr = _learning_rate(columns, steps)
    # An accuracy of no part is of the validation data, where neither those have another nor it
    # stands beside a loss of no part alone.
    beside = columns.chosen("loss", ("",)) and not columns.chosen("loss", ("train", *_VALIDATION))
    own = columns.chosen("accuracy", _VALIDATION) or beside
    accuracy = _share(columns.take("val_accuracy", "accuracy", _VALIDATION if own else ("",)))
    has_train = not np.isnan(train_loss).all()
    if not has_train and np.isnan(val_loss).all():
        of_training = _TRAIN if own else ("train",)
        train_loss = _error(
            columns,
            "train_loss",
            _TRAIN,
            _share(columns.take("train_accuracy", "accuracy", of_training)),
        )
    if _few(val_loss) and not (has_train and is_range_test(lr)):
        error = _error(columns, "val_loss", _VALIDATION, accuracy)
        val_loss = val_loss if _few(error) and not np.isnan(val_loss).all() else error
    whole = ((steps == np.floor(steps)) & (abs(steps) < LARGEST)).all()
    nothing = np.full(len(steps), np.nan)
    curve = Curve(
        iteration=(steps if whole else np.arange(len(steps))).astype(np.int64),
        epoch=nothing,
        lr=lr,
        momentum=columns.take("momentum", "momentum"),
        weight_decay=nothing,
        train_loss=train_loss,
        val_loss=val_loss,
        metrics={"accuracy": accuracy},
        seconds=nothing,
    )
    parts = [*columns.taken, f"step from {columns.step}"]
    if columns.left_out:
        parts.append(f"not read {', '.join(map(repr, columns.left_out))}")
    return Run(curve, table.run, "read " + "; ".join([*parts, *columns.notes]))


def _few(values: FloatArray) -> bool:
    return bool(np.count_nonzero(~np.isnan(values)) < ENOUGH)


def _error(columns: Columns, role: str, parts: Sequence[str], accuracy: FloatArray) -> FloatArray:
    """Return what stands for a loss that is not there: an error, or what an accuracy lacks."""
    error = columns.take(role, "error", parts)
    if np.isnan(error).all() and not np.isnan(accuracy).all():
        columns.taken.append(f"{role} from what the accuracy lacks")
        return 1 - accuracy
    return error


def _share(accuracy: FloatArray) -> FloatArray:
    """Return accuracies as fractions, which may be in per cent."""
    return accuracy / 100 if np.nanmax(accuracy, initial=0.0) > PERCENT else accuracy


def _learning_rate(columns: Columns, steps: FloatArray) -> FloatArray:
    """Return the LR at each step, between its readings where it was read less often."""
    chosen = columns.chosen("lr", ("", "train", "val", "test"))
    lr = columns.take("lr", "lr")
    known = np.flatnonzero(~np.isnan(lr))
    if not len(known):
        return lr
    if lr[known].min() < 0:  # no LR is
        log = columns.names[chosen[0]].log or "log"
        base = np.e if log == "log" and lr[known].min() < NOBODYS else _BASES[log]
        columns.notes.append(f"the LR is {base:.3g} to the power of {chosen[0]!r}")
        with np.errstate(over="ignore"):
            lr = base**lr
    return np.interp(steps, steps[known], lr[known], left=np.nan, right=np.nan)
