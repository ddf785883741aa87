"""What an array of targets is: classes, however they are written, or quantities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hptune.data.spec import Kind
from hptune.data.split import as_classes
from hptune.errors import InputError

MOST_CLASSES = 20  # whole numbers of more distinct values are quantities, of a table or as floats
NUMBERS = "biuf"  # kinds of dtype; all others hold text
Found = tuple[NDArray[Any], list[str], list[str]]


def read_targets(targets: NDArray[Any], kind: Kind | None) -> Found:
    """Return targets in the form that trials take, the names of the classes, and notes.

    Args:
        targets: Classes (N,) or (N, 1) as whole numbers, text, booleans or floats such as 1.0;
            one-hot rows (N, K); or quantities (N, ...).
        kind: What they are; None finds out, and what is not plain is noted.

    Returns:
        Classes (N,) from 0 and their names, or quantities (N, T) and no names.

    Raises:
        InputError: They are neither.
    """
    if targets.dtype.kind == "S":
        targets = np.char.decode(targets, "utf-8", "replace")
    if targets.dtype.kind not in NUMBERS + ("" if kind == "regression" else "U"):
        wanted = "numbers" if kind == "regression" else "numbers or text"
        raise InputError(f"data: targets of type {targets.dtype}; must be {wanted}; convert them")
    bad = int((~np.isfinite(targets)).sum()) if targets.dtype.kind == "f" else 0
    if bad:
        raise InputError(
            f"data: {bad} of {targets.size:,} target values are not finite; must be numbers; leave "
            "these examples out"
        )
    if kind == "regression":
        return _quantities(targets)
    if targets.size == len(targets):
        return _single(targets.reshape(-1), kind)
    if targets.ndim == 2 and targets.dtype.kind in NUMBERS:
        return _rows(targets, kind)
    if targets.dtype.kind == "f" and kind is None:
        return _quantities(targets)
    raise InputError(
        f"data: targets of shape {targets.shape}; must be one class or a row of quantities an "
        "example; give masks, boxes and the like to hptune.Task in Python"
    )


def _quantities(targets: NDArray[Any], *notes: str) -> Found:
    return targets.reshape(len(targets), -1), [], list(notes)


def _single(targets_N: NDArray[Any], kind: Kind | None) -> Found:
    """Tell classes from quantities where there is one value an example."""
    distinct = len(np.unique(targets_N))
    few = 2 * distinct <= len(targets_N)
    shown = f"targets have {distinct} distinct values in {len(targets_N):,} examples"
    floats = targets_N.dtype.kind == "f"
    if floats:
        targets_N = targets_N.astype(np.float64)
    if floats and np.array_equal(targets_N, np.round(targets_N)) and abs(targets_N).max() < 2**53:
        if kind is not None or (few and 2 <= distinct <= MOST_CLASSES):
            note = (
                f"targets are {distinct} whole numbers written as floats: taken for classes; "
                "data.kind: regression takes them for quantities"
            )
            labels, classes = as_classes(targets_N.astype(np.int64))
            return labels, classes, [note] if kind is None else []
        note = f"{shown}, whole numbers written as floats: taken for quantities"
        return _quantities(targets_N, f"{note}; data.kind: classification takes them for classes")
    if kind is None and floats:
        return _quantities(targets_N)
    if kind is None and targets_N.dtype.kind in "iu" and not few:
        note = f"{shown}: taken for quantities; data.kind: classification takes them for classes"
        return _quantities(targets_N, note)
    labels, classes = as_classes(targets_N)
    return labels, classes, []


def _rows(targets_NK: NDArray[Any], kind: Kind | None) -> Found:
    """Tell one-hot classes from quantities where there are several values an example."""
    width = targets_NK.shape[1]
    sums = targets_NK.sum(1, dtype=np.float64)
    if np.isin(targets_NK, (0, 1)).all():
        if (sums == 1).all():
            note = f"one-hot targets of {width} columns are taken for {width} classes"
            names = [str(k) for k in range(width)]
            return targets_NK.argmax(1).astype(np.int64), names, [note]
        raise InputError(
            f"data: targets of shape {targets_NK.shape} are 0 and 1, and {int((sums != 1).sum())} rows "
            "have not exactly one 1: several labels an example; give them to hptune.Task in Python "
            "with kind='multilabel', or set data.kind to regression"
        )
    if kind is None and targets_NK.dtype.kind == "f":
        if (targets_NK >= 0).all() and np.allclose(sums, 1.0, atol=1e-3):
            return _quantities(
                targets_NK,
                f"targets are {width} shares that sum to 1 (soft labels): taken for quantities, a "
                "regression; give their argmax as classes, or these to hptune.Task in Python with "
                "loss='cross-entropy'",
            )
        return _quantities(targets_NK)
    raise InputError(
        f"data: targets of shape {targets_NK.shape}; a classification's must be one class an "
        "example, of shape (N,), or one-hot; set data.kind to regression if they are quantities"
    )
