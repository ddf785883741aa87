"""How values and names read in the report."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

PARAMETERS = {
    "lr": "maximum LR",
    "lr_min": "minimum LR",
    "momentum": "maximum momentum",
    "momentum_min": "minimum momentum",
    "weight_decay": "weight decay",
    "batch_size": "batch size",
    "epochs": "epochs",
}
STAGES = {
    "lr-range": "LR range test",
    "momentum": "Momentum",
    "weight-decay": "Weight decay",
    "batch-size": "Batch size",
    "final": "Final run",
    "train": "Training run",
    "sweep": "Sweep",
    "search": "Joint search",
}
COLUMNS = {"val_loss": "validation loss", "train_loss": "training loss", "test_loss": "test loss"}


def parameter(name: str) -> str:
    """Return a parameter's name in words."""
    return PARAMETERS.get(name) or column(name)


def stage(name: str) -> str:
    """Return a stage's name in words."""
    return STAGES.get(name, name)


def column(name: str) -> str:
    """Return a column of results.csv in words: "val_accuracy" is "validation accuracy"."""
    for short, long in (("val_", "validation "), ("test_", "test ")):
        if name.startswith(short):
            return long + name.removeprefix(short).replace("_", " ")
    return COLUMNS.get(name) or name.replace("_", " ")


def is_share(name: str) -> bool:
    """Say whether a metric is a fraction that reads best in per cent."""
    return "accuracy" in name.lower()


def value(name: str, number: object) -> str:
    """Return a value as its column's readers write it: an accuracy in per cent."""
    if isinstance(number, float) and is_share(name) and math.isfinite(number):
        return f"{100 * number:.2f} %"
    return plain(number)


def plain(number: object) -> str:
    """Return a number with four significant figures at most, a dash for nothing."""
    if number is None:
        return "–"
    if isinstance(number, bool):
        return str(number).lower()
    if isinstance(number, int) or (isinstance(number, float) and number.is_integer()):
        return f"{number:.0f}" if abs(number) < 1e6 else f"{number:.3g}"
    return f"{number:.4g}" if isinstance(number, float) else str(number)


def spread(name: str, values: Sequence[float]) -> str:
    """Return "mean ± standard deviation" of a column; one value has no deviation."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return value(name, mean)
    deviation = statistics.stdev(values)
    if is_share(name):
        return f"{100 * mean:.2f} ± {100 * deviation:.2f} %"
    digits = 4 if deviation == 0 else min(6, max(1, 2 - math.floor(math.log10(deviation)) - 1))
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def duration(seconds: float) -> str:
    """Return seconds as people say them."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
