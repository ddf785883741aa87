"""The user's own data: a function by "package.module:name"."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from hptune.data.assemble import splits_of
from hptune.data.given import GivenSplit, divide_given, given_split
from hptune.data.readers.npz import arrange
from hptune.data.spec import DataSpec, Splits
from hptune.data.unused import AUGMENTATION, unused
from hptune.errors import InputError
from hptune.step import inputs_of, target_of
from hptune.user_code import find

_OF_ARRAYS = (*AUGMENTATION, "scale", "resize", "layout")


def load(spec: DataSpec) -> Splits:
    """Call the user's function with `data.args` and take what it returns.

    It may return `Splits`; or (train, test) or (train, validation, test), each an (inputs,
    targets) pair of arrays or tensors, or a torch Dataset; or one such pair or Dataset alone.

    Raises:
        InputError: No such function, or something else returned.
    """
    function = find(spec.name, "data.name")
    try:
        returned = function(**spec.args)
    except TypeError as error:
        raise InputError(
            f"data.args: {spec.name} refuses them: {error}; correct data.args"
        ) from error
    if isinstance(returned, Splits):
        return returned
    if _is_pair(returned) or not isinstance(returned, list | tuple):
        returned = (returned,)
    if not 1 <= len(returned) <= 3:
        raise InputError(
            f"data.name: {spec.name} returned {len(returned)} parts; must be (train, test) or "
            "(train, validation, test); correct the function"
        )
    names = ("train", "test") if len(returned) == 2 else ("train", "validation", "test")
    parts = {n: part for n, part in zip(names, returned, strict=False) if part is not None}
    if all(_is_pair(part) for part in parts.values()):
        arrays = {name: (np.asarray(x), np.asarray(y)) for name, (x, y) in parts.items()}
        return splits_of(spec, arrange(arrays, spec.kind, spec.layout))
    given = {n: given_split(part, f"data.name: {spec.name}, {n}") for n, part in parts.items()}
    return _given_splits(
        spec, {n: replace(part, workers=part.workers or spec.workers) for n, part in given.items()}
    )


def _is_pair(part: Any) -> bool:
    return (
        isinstance(part, list | tuple)
        and len(part) == 2
        and all(isinstance(a, np.ndarray | Tensor) for a in part)
    )


def _given_splits(spec: DataSpec, parts: dict[str, GivenSplit]) -> Splits:
    """Return the splits of what is read as it is: data sets, which scale and augment themselves."""
    example = next(iter(parts["train"].part(np.arange(1)).source().batches(1)))
    target, inputs = target_of(example), inputs_of(example)
    if not isinstance(target, Tensor):
        raise InputError(
            f"data.name: {spec.name} returned examples without targets; must be (inputs, target); "
            "correct the function"
        )
    kind = spec.kind or ("regression" if target.is_floating_point() else "classification")
    labels = None
    classes: tuple[str, ...] = ()
    if kind == "classification":
        # How many classes there are is in the labels alone, so they are all read.
        each = [part.labels(most=len(part)) for part in parts.values()]
        if any(found is None for found in each):
            raise InputError(
                f"data.name: {spec.name} returned targets that are no classes; must be one whole "
                "number an example; correct the function, or set data.kind to regression"
            )
        parts = {
            n: replace(part, known=k) for (n, part), k in zip(parts.items(), each, strict=True)
        }
        labels = np.concatenate([found for found in each if found is not None])
        classes = tuple(str(k) for k in range(int(labels.max()) + 1))
    divided, how = divide_given(spec, parts, labels)
    keys = _OF_ARRAYS if spec.normalize == "none" else (*_OF_ARRAYS, "normalize")
    read = {name: part.read() for name, part in divided.items()}
    sources: dict[str, Any] = {name: part.source() for name, (part, _) in read.items()}
    return Splits(
        **sources,
        input_shape=tuple(inputs.shape[1:]) if isinstance(inputs, Tensor) else (),
        outputs=len(classes) or max(1, target[0].numel()),
        kind=kind,
        classes=classes,
        notes=tuple(unused(spec, keys, "a data set of your own scales and augments itself")),
        record={"split": how, "fingerprint": " ".join(digest for _, digest in read.values())},
    )
