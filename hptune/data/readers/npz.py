"""Arrays in an npz file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from hptune.data.assemble import NUMBERS, Content, splits_of
from hptune.data.spec import DataSpec, Kind, Splits
from hptune.data.split import as_classes, places
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
    return splits_of(spec, arrange(read_parts(spec.place), spec.kind))


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


def arrange(parts: Parts, kind: Kind | None = None) -> Content:
    """Return the content of arrays, as images or vectors.

    Args:
        parts: Inputs and targets of each part.
        kind: Of the targets; None finds out: floats are quantities, all else are classes.

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
    if inputs.dtype.kind not in NUMBERS:
        raise InputError(f"data: inputs of type {inputs.dtype}; must be numbers; convert them")
    classes: list[str] = []
    if kind == "regression" or (kind is None and targets.dtype.kind == "f"):
        targets = targets.reshape(len(targets), -1)
    else:
        targets, classes = as_classes(targets)
    pictures = bool(classes) and inputs.ndim in (3, 4)
    return Content(
        inputs=as_images(inputs) if pictures else inputs.reshape(len(inputs), -1),
        targets=targets,
        classes=classes,
        parts=places({name: len(y) for name, (_, y) in parts.items()}),
    )


def as_images(inputs: Array) -> Array:
    """Return images as (N, C, H, W), uint8 or float32."""
    if inputs.ndim == 3:
        inputs = inputs[:, None]
    elif inputs.shape[-1] in (1, 3, 4) and inputs.shape[1] not in (1, 3, 4):
        inputs = inputs.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(inputs if inputs.dtype == np.uint8 else inputs.astype(np.float32))
