"""Looks at an npz file, with the reader's own rules for names and shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hptune.data.inspect.found import Arrays
from hptune.data.inspect.splits import fractions
from hptune.data.readers.npz import as_classes, as_images, kind_of, read_parts
from hptune.data.spec import Kind
from hptune.data.split import class_counts
from hptune.errors import InputError


def inspect_data(path: Path, target: str | None = None) -> Arrays:
    """Look at the inputs and targets of an npz file.

    Raises:
        InputError: It holds no inputs and targets that fit.
    """
    parts = read_parts(path)
    inputs = np.concatenate([x for x, _ in parts.values()])
    targets = np.concatenate([y for _, y in parts.values()])
    kind: Kind = kind_of(targets)
    problems: list[str] = []
    classes: dict[str, int] = {}
    labels = None
    places: dict[str, range] = {}
    for name, (_, y) in parts.items():
        start = sum(map(len, places.values()))
        places[name] = range(start, start + len(y))
    if kind == "classification":
        labels, names = as_classes(targets)
        classes = class_counts(labels[: len(places["train"])], names)
        if len(names) < 2:
            problems.append(f"{path} has one class alone ({names[0]}); a classifier needs 2")
    if inputs.dtype.kind not in "buif":
        raise InputError(
            f"PATH: the inputs in {path} are of type {inputs.dtype}; must be numbers; convert them"
        )
    finite = np.isfinite(inputs)
    if not finite.all():
        problems.append(
            f"{path} has {int((~finite).sum())} input values that are not finite; must be numbers; "
            "clean the data"
        )
    validation, test, unsplittable = fractions(places, labels)
    if unsplittable is not None and not problems:
        problems.append(f"{path} cannot be split: {unsplittable.removeprefix('data: ')}")
    pictures = inputs.ndim in (3, 4) and kind == "classification"
    shape = as_images(inputs[:1]).shape[1:] if pictures else (int(np.prod(inputs.shape[1:])),)
    return Arrays(
        reader="npz",
        path=path,
        kind=kind,
        parts={name: len(place) for name, place in places.items()},
        classes=classes,
        validation=validation,
        test=test,
        warnings=_odd(inputs.shape, kind),
        problems=tuple(problems),
        shape=tuple(map(int, shape)),
        dtype=str(inputs.dtype),
        low=float(inputs[finite].min()) if finite.any() else 0.0,
        high=float(inputs[finite].max()) if finite.any() else 0.0,
    )


def _odd(shape: tuple[int, ...], kind: Kind) -> tuple[str, ...]:
    if len(shape) > 2 and kind == "regression":
        return (f"inputs of shape {shape[1:]} are flattened for the regression",)
    return ()
