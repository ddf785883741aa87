"""Stratified, seeded splits and subsets, as indices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    seed, found = spec.split_seed, dict(parts)
    if labels is not None and classes is not None:
        _check_classes(labels[found["train"]], classes)
    if "test" not in parts and spec.test > 0:
        found["train"], found["test"] = split_off(found["train"], labels, spec.test, seed, "test")
    found["train"] = subset(found["train"], labels, spec.subset, seed, "subset")
    if "validation" not in parts:
        found["train"], found["validation"] = split_off(
            found["train"], labels, spec.validation, seed, "validation"
        )
    for name in {"validation", "test"} & set(parts):
        found[name] = np.random.default_rng(_SHUFFLE_SEED).permutation(parts[name])
    if "test" in found and spec.test_subset is not None:
        found["test"] = subset(found["test"], labels, spec.test_subset, seed, "test_subset")
    return found


def places(sizes: Mapping[str, int]) -> dict[str, Indices]:
    """Return the indices of parts that stand one after the other."""
    ends = np.cumsum(list(sizes.values())).tolist()
    return {
        name: np.arange(end - size, end)
        for (name, size), end in zip(sizes.items(), ends, strict=True)
    }


def _check_classes(labels: NDArray[np.generic], classes: Sequence[str]) -> None:
    present = np.unique(labels)
    if len(present) < 2:
        found = f" ({classes[int(present[0])]})" if len(present) else ""
        raise InputError(
            f"data: {len(present)} class{found}; a classifier needs at least 2; check the folder or "
            "the target column"
        )


def split_off(
    indices: Indices, labels: NDArray[np.generic] | None, fraction: float, seed: int, what: str
) -> tuple[Indices, Indices]:
    """Split a part off, each class in proportion.

    Args:
        indices: What to split.
        labels: Class of every example of the data set, None where there are no classes.
        fraction: Of the part, between 0 and 1.
        seed: Of the draw.
        what: Name of the part, for errors.

    Returns:
        The rest and the part, each in random order.

    Raises:
        InputError: Too few examples, in all or of a class.
    """
    from sklearn.model_selection import train_test_split

    if not 0 < fraction < 1:
        raise InputError(
            f"data.{what}: {fraction:g}; must lie between 0 and 1 without its ends; give 0.15, say"
        )
    if labels is not None:
        values, counts = np.unique(labels[indices], return_counts=True)
        if counts.min() < 2:
            raise InputError(
                f"data: class {values[counts.argmin()]} has {counts.min()} example; the {what} "
                "split needs at least 2 of each class; add examples or leave the class out"
            )
    try:
        rest, part = train_test_split(
            indices,
            test_size=fraction,
            random_state=seed,
            stratify=None if labels is None else labels[indices],
        )
    except ValueError as error:
        raise InputError(
            f"data.{what}: {fraction:g} of {len(indices)} examples is too small a part: "
            f"{one_line(error)}; give a larger fraction or more data"
        ) from None
    return rest, part


def subset(
    indices: Indices, labels: NDArray[np.generic] | None, size: int | None, seed: int, key: str
) -> Indices:
    """Draw so many of the examples, each class in proportion.

    Raises:
        InputError: There are not so many.
    """
    if size is None or size == len(indices):
        return indices
    if not 0 < size < len(indices):
        raise InputError(
            f"data.{key}: {size}; must lie between 1 and the {len(indices)} examples there are; "
            "give a smaller number or leave it out"
        )
    return split_off(indices, labels, size / len(indices), seed, key)[1]


def class_counts(labels: NDArray[np.generic], names: Sequence[str]) -> dict[str, int]:
    """Return the examples of each class by name."""
    return {
        name: int(count)
        for name, count in zip(names, np.bincount(labels, minlength=len(names)), strict=True)
    }
