"""Arrays in an npz file."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from hptune.data.assemble import image_splits, vector_splits
from hptune.data.spec import DataSpec, Kind, Splits
from hptune.data.split import divide, places
from hptune.errors import InputError, one_line

_INPUTS = ("x", "images", "inputs", "data", "X")
_TARGETS = ("y", "labels", "targets", "target", "Y")
_PARTS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}


def load(spec: DataSpec) -> Splits:
    """Load `x` and `y`, or `x_train`, `y_train`, `x_test`, ... from an npz file.

    Inputs of three or four dimensions are images: (N, H, W), (N, H, W, C) or (N, C, H, W).

    Raises:
        InputError: No such file, or arrays that do not fit.
    """
    path = Path(spec.path or "").expanduser()
    if spec.path is None or not path.is_file():
        raise InputError(
            f"data.path: {spec.path!r}; must be an npz file that exists; correct the path"
        )
    return from_arrays(spec, read_parts(path))


def read_parts(path: Path) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Return inputs and targets under "train" and, where there are any, "validation" and "test".

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
    return _parts(path, arrays)


def kind_of(targets: NDArray[Any]) -> Kind:
    """Say what targets are: floats are quantities, all else are classes."""
    return "regression" if targets.dtype.kind == "f" else "classification"


def from_arrays(spec: DataSpec, parts: dict[str, tuple[NDArray[Any], NDArray[Any]]]) -> Splits:
    """Return the splits of arrays in memory.

    Args:
        spec: How to split and normalise.
        parts: Inputs and targets under "train" and, where there are any, "validation" and "test".

    Raises:
        InputError: Lengths or kinds that do not fit, or values that are not finite.
    """
    inputs = np.concatenate([x for x, _ in parts.values()])
    targets = np.concatenate([y for _, y in parts.values()])
    if len(inputs) != len(targets):
        raise InputError(
            f"data: {len(inputs)} inputs and {len(targets)} targets; must be as many; check the arrays"
        )
    if inputs.dtype.kind == "f" and not np.isfinite(inputs).all():
        bad = int((~np.isfinite(inputs)).sum())
        raise InputError(
            f"data: {bad} input values are not finite; must be numbers; clean the data"
        )
    parts_at = places({name: len(y) for name, (_, y) in parts.items()})
    classes: list[str] = []
    if (spec.kind or kind_of(targets)) == "classification":
        targets, classes = as_classes(targets)
        if inputs.ndim >= 3:
            return image_splits(spec, as_images(inputs), targets, classes, parts_at)
    else:
        targets = targets.reshape(len(targets), -1)
    divided = divide(spec, parts_at, targets if classes else None, classes)
    return vector_splits(spec, inputs.reshape(len(inputs), -1), targets, classes, divided)


def as_classes(targets: NDArray[Any]) -> tuple[NDArray[np.int64], list[str]]:
    """Return the class of each example, (N,), from 0, and the names of the classes.

    Raises:
        InputError: There is more than one value an example.
    """
    if targets.size != len(targets):
        raise InputError(
            f"data: targets of shape {targets.shape}; a classification's must be one class an "
            "example, of shape (N,); take the argmax of one-hot targets"
        )
    values, labels = np.unique(targets, return_inverse=True)
    return labels.astype(np.int64).reshape(-1), [str(v) for v in values]


def _parts(
    path: Path, arrays: dict[str, NDArray[Any]]
) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    found: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
    for part, suffixes in _PARTS.items():
        x = [f"{n}_{s}" for n in _INPUTS for s in suffixes] + list(_INPUTS * (part == "train"))
        y = [f"{n}_{s}" for n in _TARGETS for s in suffixes] + list(_TARGETS * (part == "train"))
        x_name = next((name for name in x if name in arrays), None)
        y_name = next((name for name in y if name in arrays), None)
        if x_name and y_name:
            if len(arrays[x_name]) != len(arrays[y_name]):
                raise InputError(
                    f"data.path: {path} has {len(arrays[x_name])} in {x_name!r} and "
                    f"{len(arrays[y_name])} in {y_name!r}; must be as many; check the arrays"
                )
            found[part] = (arrays[x_name], arrays[y_name])
    if "train" not in found:
        raise InputError(
            f"data.path: {path} holds {', '.join(sorted(arrays)) or 'nothing'}; must hold x and y, or "
            "x_train and y_train; rename the arrays"
        )
    return found


def as_images(inputs: NDArray[Any]) -> NDArray[Any]:
    """Return images as (N, C, H, W), uint8 or float32."""
    if inputs.ndim == 3:
        inputs = inputs[:, None]
    elif inputs.shape[-1] in (1, 3, 4) and inputs.shape[1] not in (1, 3, 4):
        inputs = inputs.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(inputs if inputs.dtype == np.uint8 else inputs.astype(np.float32))
