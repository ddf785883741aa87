"""Reading any tool's curve: what kind it is, how it went, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hptune.analysis.fitting import read_training
from hptune.analysis.lr_range import read_lr_range
from hptune.analysis.smoothing import FloatArray
from hptune.errors import InputError
from hptune.results.records import Curve

if TYPE_CHECKING:
    import pandas as pd

# Usual names of each column, ours first; compared in lower case without punctuation.
NAMES = {
    "iteration": "iteration iter step steps globalstep batch epoch",
    "lr": "lr learningrate lrs lrsgd lradam lradamw",
    "momentum": "momentum mom beta1",
    "weight_decay": "weightdecay wd",
    "train_loss": "trainloss loss traininglossstep trainlossstep trainingloss losses",
    "val_loss": "valloss testloss validloss validationloss evalloss",
    "accuracy": "valaccuracy testaccuracy valacc testacc validaccuracy validationaccuracy "
    "evalaccuracy accuracy acc",
    "train_accuracy": "trainaccuracy trainacc trainingaccuracy",
    "seconds": "seconds time walltime",
}
# Read in the place of losses that are not there.
ERRORS = {
    "train_loss": "trainerror trainerr trainingerror",
    "val_loss": "valerror testerror validerror validationerror valerr testerr",
}
DOCUMENT: dict[str, Any] = {
    "kind": "training",
    "verdict": "cannot-say",
    "lr_min": None,
    "lr_max": None,
    "diverged_at_iteration": None,
    "reasons": [],
    "advice": [],
}
_NOT_A_NUMBER = ("nan", "-nan", "none", "null")
RISING = 0.95  # of the steps of LR: a range test only rises
RANGE = 5.0  # last LR over the first: less is a warm-up or a constant


def diagnose(path: Path) -> dict[str, Any]:
    """Read a CSV with a header and return the document of `hptune diagnose --json`.

    Raises:
        InputError: The file is not there, or not a table.
    """
    import pandas as pd

    try:
        with path.open(encoding="utf-8") as file:
            separator = max(",;\t", key=file.readline().count)
        # As text: a blank is a loss that was not read, "nan" may be one that was.
        table = pd.read_csv(path, dtype=str, keep_default_na=False, sep=separator)
        if separator != ",":  # there 0,1 may be a number
            table = table.apply(lambda cells: cells.str.replace(",", "."))
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read ({' '.join(str(error).split())[:100]}); must be a CSV with a "
            "header; correct the path or the file"
        ) from None
    curve, has_loss = curve_of(table)
    document = diagnose_curve(curve)
    if not has_loss and document["verdict"] != "cannot-say":
        document["reasons"].append("there is no loss: the error, what accuracy lacks, is read so")
    return document


def curve_of(table: pd.DataFrame) -> tuple[Curve, bool]:
    """Return the curve that a table holds, and whether it has a loss, else errors stand for it.

    Columns are found by their usual names; cells may be text.
    """
    import pandas as pd

    columns = {_plain(str(name)): name for name in reversed(table.columns)}

    def column(names: str, *, loss: bool) -> FloatArray:
        name = next((columns[n] for n in names.split() if n in columns), None)
        if name is None:
            return np.full(len(table), np.nan)
        values = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64)
        if loss:
            values = _with_ends(values, table[name].astype(str).str.lower().isin(_NOT_A_NUMBER))
        return values

    found = {key: column(names, loss=key.endswith("_loss")) for key, names in NAMES.items()}
    has_loss = any(np.isfinite(found[key]).any() for key in ERRORS)
    if not has_loss:
        for key, names in ERRORS.items():
            found[key] = column(names, loss=True)
            if not np.isfinite(found[key]).any():
                accuracy = found["train_accuracy" if key == "train_loss" else "accuracy"]
                found[key] = _error(accuracy)
    iteration = found["iteration"]
    if not np.isfinite(iteration).all():
        iteration = np.arange(len(table), dtype=np.float64)
    curve = Curve(
        iteration=iteration.astype(np.int64),
        epoch=np.full(len(table), np.nan),
        lr=found["lr"],
        momentum=found["momentum"],
        weight_decay=found["weight_decay"],
        train_loss=found["train_loss"],
        val_loss=found["val_loss"],
        metrics={"accuracy": found["accuracy"]},
        seconds=found["seconds"],
    )
    return curve, has_loss


def diagnose_curve(curve: Curve) -> dict[str, Any]:
    """Return the document of `hptune diagnose --json` for a curve."""
    if not np.isfinite(curve.train_loss).any() and not np.isfinite(curve.val_loss).any():
        reason = (
            "no column to read: none of train_loss, loss, val_loss, test_loss, val_accuracy, "
            "test_accuracy has numbers"
        )
        return DOCUMENT | {"reasons": [reason], "advice": ["log a loss"]}
    if is_range_test(curve):
        return _range_test(curve)
    reading = read_training(curve)
    return DOCUMENT | {
        "verdict": reading.verdict,
        "diverged_at_iteration": reading.diverged_at,
        "reasons": list(reading.reasons),
        "advice": list(reading.advice),
    }


def is_range_test(curve: Curve) -> bool:
    """Say whether LR only rises, and by much."""
    lr = curve.lr[np.isfinite(curve.lr)]
    positive = lr[lr > 0]
    if len(lr) < 5 or not len(positive):
        return False
    return bool(np.mean(np.diff(lr) > 0) >= RISING and positive[-1] >= RANGE * positive[0])


def _range_test(curve: Curve) -> dict[str, Any]:
    reading = read_lr_range([curve])
    at = None
    if reading.lr_divergence is not None:
        with np.errstate(invalid="ignore"):
            at = int(curve.iteration[np.flatnonzero(curve.lr >= reading.lr_divergence * 0.999)[0]])
    verdict, advice = {
        "ok": (
            "balanced" if at is None else "diverged",
            f"train with 1cycle from LR {reading.lr_min:.2g} to {reading.lr_max:.2g}",
        ),
        "still-improving": (
            "underfit",
            "test again up to a larger LR: the loss still improves at the end",
        ),
        "diverges-at-once": ("diverged", "test again from an LR a hundred times smaller"),
        "never-learns": (
            "not-learning",
            "check the labels, the loss and the initial weights; widen the range",
        ),
        "cannot-say": ("cannot-say", "read the loss more often, over more iterations"),
    }[reading.verdict]
    usable = reading.verdict in ("ok", "still-improving")
    return DOCUMENT | {
        "kind": "lr-range",
        "verdict": verdict,
        "lr_min": reading.lr_min if usable else None,
        "lr_max": reading.lr_max if usable else None,
        "diverged_at_iteration": at,
        "reasons": [reading.reason, *reading.warnings],
        "advice": [advice],
    }


def _with_ends(values: FloatArray, said_nan: pd.Series[bool]) -> FloatArray:
    """Return a loss with infinity where it ends in "nan": the run went on and diverged.

    A "nan" with numbers after it is another tool's blank.
    """
    known = np.flatnonzero(np.isfinite(values))
    after = np.arange(len(values)) > (known[-1] if len(known) else -1)
    return np.where(said_nan.to_numpy() & after, np.inf, values)


def _error(accuracy: FloatArray) -> FloatArray:
    """Return what is left to an accuracy of 1, which may be in percent."""
    # A rounded share may exceed 1 by its last digit.
    whole = 100.0 if np.nanmax(accuracy, initial=0.0) > 1.01 else 1.0
    return (whole - accuracy) / whole


def _plain(name: str) -> str:
    """Return a column's name without punctuation, and without the run that W&B sets before it."""
    return "".join(c for c in name.lower().rpartition(" - ")[2] if c.isalnum())
