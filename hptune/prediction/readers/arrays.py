"""Arrays, of an npz or in memory, scaled as those of the training data were."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from hptune.data.assemble import check_finite
from hptune.data.readers.npz import INPUTS, TARGETS, as_images, named, opened
from hptune.data.sources.memory import TensorSource
from hptune.data.sources.normalize import Normalize
from hptune.data.spec import Layout
from hptune.data.targets import NUMBERS
from hptune.errors import InputError
from hptune.prediction.examples import Examples, class_numbers, no_targets, quantities
from hptune.results.signature import Signature
from hptune.step import TARGET_NAMES

Array = NDArray[Any]
_PARTS = ("test", "train")  # of an npz: a test set of its own first, else plain x and y
_FAR = 20.0  # standard deviations
_FLAT = 0.02


def read_npz(path: Path, signature: Signature) -> tuple[Any, Array | None, list[str]]:
    """Return the inputs of an npz or an npy, its targets where there are any, and notes.

    Raises:
        InputError: It holds none that can be told from others.
    """
    if path.suffix.lower() == ".npy":
        with opened(path) as (_, read):
            return read(path.stem), None, []
    asked = [each.name for each in signature.inputs if each.name is not None]
    with opened(path) as (names, read):
        if asked:
            if absent := [name for name in asked if name not in names]:
                raise InputError(
                    f"DATA: {path} has no array {absent[0]!r}; must hold {', '.join(asked)}, which the "
                    "model gets by name; rename the arrays"
                )
            target = next((name for name in TARGET_NAMES if name in names), None)
            return {name: read(name) for name in asked}, read(target) if target else None, []
        found = [(named(names, of, INPUTS), named(names, of, TARGETS)) for of in _PARTS]
        x, y = next((pair for pair in found if pair[0]), (None, None))
        if x is None and len(names) <= 2 and "arr_0" in names:  # given to savez without names
            x, y = "arr_0", next((name for name in names if name == "arr_1"), None)
        if x is None and len(names) == 1:
            x = names[0]
        if x is None:
            raise InputError(
                f"DATA: {path} holds {', '.join(sorted(names)[:8]) or 'nothing'}; must hold x, and y where "
                "there are targets; rename the arrays"
            )
        others = sorted({*names} - {x, y})
        notes = [f"of {path.name}, {x} is predicted, not {', '.join(others[:8])}"] if others else []
        return read(x), read(y) if y else None, notes


def of_arrays(x: Any, y: Any, signature: Signature, notes: list[str] | None = None) -> Examples:
    """Return arrays as examples, laid out and scaled as the training data.

    Args:
        x: Inputs, as those of the training data before they were scaled.
        y: Targets; None for none.
        signature: Says how they are scaled.
        notes: Of the reader.

    Raises:
        InputError: Shapes, types or lengths that do not fit.
    """
    inputs, shape, found = np.asarray(x), signature.input_shape, list(notes or ())
    if inputs.dtype.kind not in NUMBERS:
        raise InputError(f"data: inputs of type {inputs.dtype}; must be numbers; convert them")
    given = inputs.shape
    if inputs.ndim and len(shape) == 1:
        inputs = inputs.reshape(len(inputs), -1)
    elif inputs.ndim > 1 and inputs.shape[1:] != shape:
        inputs = as_images(inputs, cast("Layout", signature.layout))[0]
    if inputs.shape[1:] != shape or not inputs.ndim:
        one = "; put one example into a list" if given == shape else ""
        raise InputError(
            f"data: inputs of shape {given}; must be examples of {shape} each, as trained on; reshape "
            f"the array{one}"
        )
    check_finite(inputs)
    targets = no_targets(len(inputs), signature) if y is None else _targets(y, signature)
    if len(targets) != len(inputs):
        raise InputError(
            f"data: {len(inputs)} inputs and {len(targets)} targets; must be as many; check the arrays"
        )
    scaled, normalize = _scaled(inputs, signature)
    source = TensorSource(scaled, torch.from_numpy(targets), normalize=normalize)
    return Examples(source=source, notes=tuple(found + _far(source, signature)))


def _scaled(inputs: Array, signature: Signature) -> tuple[torch.Tensor, Normalize | None]:
    scale = signature.scale
    if signature.inputs[0].dtype == "int64":
        return torch.from_numpy(inputs.astype(np.int64)), None
    if scale is not None and "factor" in scale:
        keep = inputs.dtype == np.uint8
        held = torch.from_numpy(np.array(inputs if keep else inputs.astype(np.float32)))
        return held, Normalize(*(torch.tensor(scale[key]) for key in ("factor", "shift")))
    values = inputs.astype(np.float64)
    if scale is not None:
        values = (values - np.asarray(scale["mean"])) / np.asarray(scale["std"])
    return torch.from_numpy(values.astype(np.float32)), None


def _targets(y: Any, signature: Signature) -> Array:
    targets = np.asarray(y)
    if signature.kind != "classification":
        return quantities(targets.reshape(len(targets), -1), signature)
    if targets.ndim == 2 and targets.shape[1] == signature.outputs > 1:  # one-hot
        return np.asarray(targets.argmax(1))
    if targets.ndim < 1 or targets.size != len(targets):
        raise InputError(
            f"data: targets of shape {targets.shape}; must be one class an example, of shape (N,); "
            "take their argmax, or leave them out"
        )
    if targets.dtype.kind == "S":
        targets = np.char.decode(targets, "utf-8", "replace")
    return class_numbers(targets.reshape(-1), signature.classes)


def _far(source: TensorSource, signature: Signature) -> list[str]:
    """Say where standardised inputs are far from those of training: most likely scaled otherwise."""
    scale = signature.scale or {}
    standardized = isinstance(scale.get("factor"), list) or {*scale.get("std", ())} - {1.0}
    if not standardized or not len(source):
        return []
    first = next(iter(source.batches(256)))[0].double()
    mean, std = float(first.mean()), float(first.std(unbiased=False))
    flat = first[0].ndim > 1 and std < _FLAT
    if abs(mean) < _FAR and not flat:
        return []
    return [
        f"inputs are far from those of training: by its scale their mean is {mean:.3g} and their "
        f"standard deviation {std:.3g}, in the place of 0 and 1; give them as they were trained on"
    ]
