"""Stratified, seeded splits and subsets, as indices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hptune.errors import InputError

Indices = NDArray[np.int64]


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
            f"{' '.join(str(error).split())}; give a larger fraction or more data"
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
