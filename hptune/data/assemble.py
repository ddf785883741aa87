"""From arrays to splits: subset, split, normalise, wrap."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hptune.data.sources.augment import Augment
from hptune.data.sources.memory import TensorSource
from hptune.data.sources.normalize import Normalize, image_normalization
from hptune.data.spec import DataSpec, Splits
from hptune.data.split import Indices, class_counts, split_off, subset
from hptune.errors import InputError

# Validation and test data that come in the order of their classes are shuffled with this,
# so that the first few hundred examples are a fair sample.
_SHUFFLE_SEED = 0


def divide(
    spec: DataSpec,
    train: Indices,
    validation: Indices | None,
    test: Indices | None,
    labels: NDArray[np.generic] | None,
) -> tuple[Indices, Indices, Indices | None]:
    """Split as the spec says what the data do not bring split.

    Args:
        spec: Fractions, seed and subsets.
        train: Indices of the data's own training split, or of everything.
        validation, test: Of the data's own splits, None where it brings none.
        labels: Classes of all examples, to stratify by; None for a regression.
    """
    seed = spec.split_seed
    if test is None and spec.test > 0:
        train, test = split_off(train, labels, spec.test, seed, "test")
    elif test is not None:
        test = np.random.default_rng(_SHUFFLE_SEED).permutation(test)
    train = subset(train, labels, spec.subset, seed, "subset")
    if validation is None:
        train, validation = split_off(train, labels, spec.validation, seed, "validation")
    else:
        validation = np.random.default_rng(_SHUFFLE_SEED).permutation(validation)
    if test is not None and spec.test_subset is not None:
        test = subset(test, labels, spec.test_subset, seed, "test_subset")
    return train, validation, test


def image_splits(
    spec: DataSpec,
    images_NCHW: NDArray[Any],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    *,
    train: Indices,
    validation: Indices | None = None,
    test: Indices | None = None,
    record: dict[str, Any] | None = None,
) -> Splits:
    """Return the splits of images that are in memory.

    Args:
        spec: How to split, normalise and augment.
        images_NCHW: uint8, or float32.
        labels: (N,), from 0.
        classes: Names of the classes.
        train, validation, test: Indices of the data's own splits.
        record: Facts to add to the splits' record.

    Raises:
        InputError: A single class, or too few examples to split.
    """
    check_classes(labels[train], classes)
    train, validation, test = divide(spec, train, validation, test, labels)
    normalize = image_normalization(images_NCHW, train, spec.normalize, spec.scale)
    augment = Augment(flip=spec.flip, crop=spec.crop, cutout=spec.cutout)

    def source(indices: Indices, augment: Augment) -> TensorSource:
        return TensorSource(
            torch.from_numpy(np.ascontiguousarray(images_NCHW[indices])),
            torch.from_numpy(labels[indices].astype(np.int64)),
            normalize=normalize,
            augment=augment,
        )

    return Splits(
        train=source(train, augment),
        validation=source(validation, Augment()),
        test=None if test is None else source(test, Augment()),
        input_shape=tuple(images_NCHW.shape[1:]),
        outputs=len(classes),
        kind="classification",
        classes=tuple(classes),
        record={
            "train": len(train),
            "validation": len(validation),
            "test": None if test is None else len(test),
            "classes": class_counts(labels[train], classes),
            "normalize": describe(normalize),
            "split_seed": spec.split_seed,
            "fingerprint": fingerprint(images_NCHW, labels, train, validation, test),
            **(record or {}),
        },
    )


def vector_splits(
    spec: DataSpec,
    inputs: NDArray[np.float32],
    targets: NDArray[Any],
    classes: Sequence[str],
    *,
    train: Indices,
    validation: Indices,
    test: Indices | None,
    record: dict[str, Any] | None = None,
) -> Splits:
    """Return the splits of feature vectors (N, F) that are standardised already.

    Targets are (N,) classes where `classes` has names, else (N, T) floats.
    """

    def source(indices: Indices) -> TensorSource:
        return TensorSource(torch.from_numpy(inputs[indices]), torch.from_numpy(targets[indices]))

    return Splits(
        train=source(train),
        validation=source(validation),
        test=None if test is None else source(test),
        input_shape=tuple(inputs.shape[1:]),
        outputs=len(classes) if classes else targets.shape[1],
        kind="classification" if classes else "regression",
        classes=tuple(classes),
        record={
            "train": len(train),
            "validation": len(validation),
            "test": None if test is None else len(test),
            "classes": class_counts(targets[train], classes) if classes else {},
            "split_seed": spec.split_seed,
            "fingerprint": fingerprint(inputs, targets, train, validation, test),
            **(record or {}),
        },
    )


def check_classes(labels: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Refuse data of a single class.

    Raises:
        InputError: Fewer than two classes have examples.
    """
    if len(np.unique(labels)) < 2:
        found = f" ({classes[int(labels[0])]})" if len(labels) else ""
        raise InputError(
            f"data: {len(np.unique(labels))} class{found}; a classifier needs at least 2; check "
            "the folder or the target column"
        )


def describe(normalize: Normalize) -> dict[str, Any]:
    """Return a normalisation in plain values; an image as its mean alone."""
    if normalize.shift.numel() > 16:
        return {"factor": normalize.factor.item(), "mean_shift": normalize.shift.mean().item()}
    return {
        "factor": normalize.factor.flatten().tolist(),
        "shift": normalize.shift.flatten().tolist(),
    }


def fingerprint(
    inputs: NDArray[Any],
    targets: NDArray[Any],
    train: Indices,
    validation: Indices,
    test: Indices | None,
) -> str:
    """Return a short hash of the data and the split: it becomes part of every trial's id."""
    digest = hashlib.blake2b(digest_size=8)
    for array in (inputs, targets, train, validation, test):
        if array is not None:
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
