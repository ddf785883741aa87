"""How names and numbers are written in the report."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from hptune.stages import STAGES

# In the order in which a reader asks for them.
PARAMETERS = {
    "optimizer.name": "optimizer",
    "lr": "maximum LR",
    "lr_min": "minimum LR",
    "momentum": "maximum momentum",
    "momentum_min": "minimum momentum",
    "weight_decay": "weight decay",
    "batch_size": "batch size",
    "epochs": "epochs",
}
_PARTS = {"train_loss": "training loss", "val_": "validation ", "test_": "test "}


def parameter(name: str) -> str:
    """Return a parameter's name in words."""
    return PARAMETERS.get(name) or column(name)


def stage_title(name: str) -> str:
    """Return a stage's name in words."""
    return STAGES[name].title if name in STAGES else name


def column(name: str) -> str:
    """Return a column of results.csv in words: "val_accuracy" is "validation accuracy"."""
    for short, long in _PARTS.items():
        if name.startswith(short):
            return long + name.removeprefix(short).replace("_", " ")
    return name.replace("_", " ")


def is_share(name: str) -> bool:
    """Return whether a metric is a fraction that is written in per cent."""
    return "accuracy" in name.lower()


def value(number: object, name: str) -> str:
    """Return a value of a column as text: an accuracy in per cent, other numbers in four figures."""
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


def rounded(number: float, figures: int = 2) -> str:
    """Return a number with so many significant figures."""
    return plain(float(f"{number:.{figures}g}"))


def spread(values: Sequence[float], name: str) -> str:
    """Return "mean ± standard deviation" of a column; one value has no deviation, none is a dash."""
    if len(values) < 2:
        return value(values[0], name) if values else plain(None)
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    if is_share(name):
        return f"{100 * mean:.2f} ± {100 * deviation:.2f} %"
    digits = 4 if deviation == 0 else min(6, max(1, 2 - math.floor(math.log10(deviation)) - 1))
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def duration(seconds: float) -> str:
    """Return a time as text: "41.2 s", "5 min 20 s", "2 h 5 min"."""
    if seconds < 120:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
