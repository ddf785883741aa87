"""Arrays in an npz file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from hptune.data.assemble import image_splits, vector_splits
from hptune.data.spec import DataSpec, Kind, Splits
from hptune.data.split import as_classes, divide, places
from hptune.errors import InputError, one_line

Array = NDArray[Any]
Parts = Mapping[str, tuple[Array, Array]]  # inputs and targets of "train", "validation" and "test"
_INPUTS = ("x", "images", "inputs", "data", "X")
_TARGETS = ("y", "labels", "targets", "target", "Y")
_SUFFIXES = {
    "train": ("_train", ""),
    "validation": ("_validation", "_valid", "_val"),
    "test": ("_test",),
}


def load(spec: DataSpec) -> Splits:
    """Load `x` and `y`, or `x_train`, `y_train`, `x_test`, ... from an npz file.

    Inputs of three or four dimensions are images: (N, H, W), (N, H, W, C) or (N, C, H, W).

    Raises:
        InputError: No npz, or arrays that do not fit.
    """
    return from_arrays(spec, read_parts(spec.place))


def read_parts(path: Path) -> Parts:
    """Return the inputs and targets of an npz file, those of "train" at least.

    Raises:
        InputError: It is no npz of plain arrays, or has none that go together.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, ValueError, TypeError, BadZipFile) as error:
        raise InputError(
            f"data.path: {path} is not an npz of plain arrays ({one_line(error, 80)}); "
            "write it with numpy.savez"
        ) from None

    def first(names: tuple[str, ...], suffixes: tuple[str, ...]) -> Array | None:
        known = (f"{name}{suffix}" for suffix in suffixes for name in names)
        return next((arrays[name] for name in known if name in arrays), None)

    found = {}
    for part, suffixes in _SUFFIXES.items():
        inputs, targets = first(_INPUTS, suffixes), first(_TARGETS, suffixes)
        if inputs is not None and targets is not None:
            found[part] = (inputs, targets)
    if "train" not in found:
        raise InputError(
            f"data.path: {path} holds {', '.join(sorted(arrays)) or 'nothing'}; must hold x and y, or "
            "x_train and y_train; rename the arrays"
        )
    return found


def from_arrays(spec: DataSpec, parts: Parts) -> Splits:
    """Return the splits of arrays in memory.

    Raises:
        InputError: Lengths or kinds that do not fit, or values that are not finite.
    """
    inputs, targets, classes = arrange(parts, spec.kind)
    check_finite(inputs)
    at = places({name: len(y) for name, (_, y) in parts.items()})
    if inputs.ndim == 4:
        return image_splits(spec, inputs, targets, classes, at)
    divided = divide(spec, at, targets if classes else None, classes)
    return vector_splits(spec, inputs, targets, classes, divided)


def arrange(parts: Parts, kind: Kind | None = None) -> tuple[Array, Array, list[str]]:
    """Return inputs, targets and names of classes of all parts, one after the other.

    Args:
        parts: Inputs and targets of each part.
        kind: Of the targets; None finds out: floats are quantities, all else are classes.

    Returns:
        Images (N, C, H, W) or vectors (N, F); classes (N,) from 0, or numbers (N, T); and the
        classes' names, none for a regression.

    Raises:
        InputError: Lengths or kinds that do not fit.
    """
    for part, (x, y) in parts.items():
        if len(x) != len(y):
            raise InputError(
                f"data: {len(x)} inputs and {len(y)} targets to {part}; must be as many; check the "
                "arrays"
            )
    inputs = np.concatenate([x for x, _ in parts.values()])
    targets = np.concatenate([y for _, y in parts.values()])
    if inputs.dtype.kind not in "buif":
        raise InputError(f"data: inputs of type {inputs.dtype}; must be numbers; convert them")
    kind = kind or ("regression" if targets.dtype.kind == "f" else "classification")
    if kind == "regression":
        return inputs.reshape(len(inputs), -1), targets.reshape(len(targets), -1), []
    labels, classes = as_classes(targets)
    if inputs.ndim in (3, 4):
        return as_images(inputs), labels, classes
    return inputs.reshape(len(inputs), -1), labels, classes


def check_finite(inputs: Array) -> None:
    """Refuse inputs that are infinite or no numbers.

    Raises:
        InputError: Some are.
    """
    bad = int((~np.isfinite(inputs)).sum()) if inputs.dtype.kind == "f" else 0
    if bad:
        raise InputError(
            f"data: {bad} input values are not finite; must be numbers; clean the data"
        )


def as_images(inputs: Array) -> Array:
    """Return images as (N, C, H, W), uint8 or float32."""
    if inputs.ndim == 3:
        inputs = inputs[:, None]
    elif inputs.shape[-1] in (1, 3, 4) and inputs.shape[1] not in (1, 3, 4):
        inputs = inputs.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(inputs if inputs.dtype == np.uint8 else inputs.astype(np.float32))
