"""Reading any tool's curve: what kind it is, how it went, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hptune.analysis.fitting import read_training
from hptune.analysis.logs import read_log
from hptune.analysis.lr_range import is_range_test, read_lr_range
from hptune.results.records import Curve

DOCUMENT: dict[str, Any] = {
    "kind": "training",
    "verdict": "cannot-say",
    "lr_min": None,
    "lr_max": None,
    "diverged_at_iteration": None,
    "reasons": [],
    "advice": [],
}


def diagnose(path: Path) -> dict[str, Any] | list[dict[str, Any]]:
    """Return the document of `hptune diagnose --json` for a log of any tool.

    Where the log has several runs, it is a list with a document each, which has the run's name as "run".

    Raises:
        InputError: The file is not there, or holds no curve.
    """
    documents = []
    runs = read_log(path)
    for run in runs:
        document = diagnose_curve(run.curve)
        document["reasons"].append(run.read)
        documents.append(document if len(runs) == 1 else {"run": run.name} | document)
    return documents[0] if len(runs) == 1 else documents


def diagnose_curve(curve: Curve) -> dict[str, Any]:
    """Return the document of `hptune diagnose --json` for a curve."""
    if np.isnan(curve.train_loss).all() and np.isnan(curve.val_loss).all():
        reason = (
            "no column to read: none of train_loss, loss, val_loss, test_loss, val_accuracy, "
            "test_accuracy has numbers"
        )
        return DOCUMENT | {"reasons": [reason], "advice": ["log a loss"]}
    if is_range_test(curve.lr):
        return _range_test(curve)
    reading = read_training(curve)
    return DOCUMENT | {
        "verdict": reading.verdict,
        "diverged_at_iteration": reading.diverged_at,
        "reasons": list(reading.reasons),
        "advice": list(reading.advice),
    }


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
