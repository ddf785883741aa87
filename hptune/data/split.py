"""Stratified, seeded splits and subsets, as indices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hptune.data.spec import DataSpec
from hptune.errors import InputError, one_line

Indices = NDArray[np.int64]
# Validation and test data that come in the order of their classes are shuffled with this,
# so that the first few hundred examples are a fair sample.
_SHUFFLE_SEED = 0


def divide(
    spec: DataSpec,
    parts: Mapping[str, Indices],
    labels: NDArray[np.generic] | None,
    classes: Sequence[str] | None = None,
) -> dict[str, Indices]:
    """Split as the spec says what the data do not bring split.

    Args:
        spec: Fractions, seed and subsets.
        parts: Indices of the data's own "train" split, or of everything, and of its "validation"
            and "test" splits where it brings them.
        labels: Class of every example, to stratify by; None where there are no classes.
        classes: Names of the classes of a classification; training data of one class are refused.

    Returns:
        Indices of "train" and "validation", and of "test" unless the spec wants none.

    Raises:
        InputError: A single class, or too few examples to split.
    """
    found = dict(parts)
    if labels is not None and classes is not None:
        present = np.unique(labels[found["train"]])
        if len(present) < 2:
            only = f" ({classes[int(present[0])]})" if len(present) else ""
            raise InputError(
                f"data: {len(present)} class{only}; a classifier needs at least 2; check the folder "
                "or the target column"
            )

    def split_off(part: str, fraction: float, key: str) -> list[Indices]:
        chosen = None if labels is None else labels[found[part]]
        return _split_off(found[part], chosen, classes, fraction, spec.split_seed, key)

    def draw(part: str, size: int | None, key: str) -> None:
        have = len(found[part])
        if size is None or size == have:
            return
        if size > have:
            raise InputError(
                f"data.{key}: {size}; must lie between 1 and the {have} examples there are; "
                "give a smaller number or leave it out"
            )
        found[part] = split_off(part, size / have, key)[1]

    if "test" not in parts and spec.test > 0:
        found["train"], found["test"] = split_off("train", spec.test, "test")
    draw("train", spec.subset, "subset")
    if "validation" not in parts:
        found["train"], found["validation"] = split_off("train", spec.validation, "validation")
    for name in {"validation", "test"} & set(parts):
        found[name] = np.random.default_rng(_SHUFFLE_SEED).permutation(parts[name])
    if "test" in found:
        draw("test", spec.test_subset, "test_subset")
    return found


def places(sizes: Mapping[str, int]) -> dict[str, Indices]:
    """Return the indices of parts that stand one after the other."""
    ends = np.cumsum(list(sizes.values())).tolist()
    pairs = zip(sizes.items(), ends, strict=True)
    return {name: np.arange(end - size, end) for (name, size), end in pairs}


def _split_off(
    indices: Indices,
    labels: NDArray[np.generic] | None,
    classes: Sequence[str] | None,
    fraction: float,
    seed: int,
    what: str,
) -> list[Indices]:
    """Return the rest and a part of so large a fraction, each in random order.

    Where there are labels, each class is in both in proportion; of named ones, one with a single
    example stays in the rest.
    """
    from sklearn.model_selection import train_test_split

    if not 0 < fraction < 1:
        raise InputError(
            f"data.{what}: {fraction:g}; must lie between 0 and 1 without its ends; give 0.15, say"
        )
    if labels is not None:
        values, counts = np.unique(labels, return_counts=True)
        single = np.isin(labels, values[counts < 2])
        if classes and single.any() and (counts > 1).sum() > 1:
            both = _split_off(indices[~single], labels[~single], classes, fraction, seed, what)
            return [np.concatenate([both[0], indices[single]]), both[1]]
        if counts.min() < 2:
            rarest = values[counts.argmin()]
            raise InputError(
                f"data: class {classes[rarest] if classes else rarest} has {counts.min()} example; "
                f"the {what} split needs at least 2 of each class; add examples or leave the class "
                "out"
            )
    try:
        return list(
            train_test_split(indices, test_size=fraction, random_state=seed, stratify=labels)
        )
    except ValueError as error:
        raise InputError(
            f"data.{what}: {fraction:g} of {len(indices)} examples is too small a part: "
            f"{one_line(error)}; give a larger fraction or more data"
        ) from None


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
    return labels.astype(np.int64).reshape(-1), [str(value) for value in values]


def class_counts(labels: NDArray[np.generic], names: Sequence[str]) -> dict[str, int]:
    """Return the examples of each class by name."""
    counts = np.bincount(labels, minlength=len(names)).tolist()
    return dict(zip(names, counts, strict=True))
