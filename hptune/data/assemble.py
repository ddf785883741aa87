"""From arrays, or images on disk, to splits: divided, normalised, wrapped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Subset

from hptune.data.sources.augment import Augment
from hptune.data.sources.memory import TensorSource
from hptune.data.sources.normalize import Normalize, image_normalization
from hptune.data.sources.stream import StreamSource
from hptune.data.spec import DataSpec, Splits
from hptune.data.split import Indices, class_counts, divide
from hptune.task import Source

_NORMALIZATION_SAMPLE = 2048  # images that the normalisation of a streamed set is read from


class StreamedImages(Protocol):
    """Images that are decoded when they are asked for.

    Attributes:
        key: Changes with the content.
    """

    key: str

    def __getitem__(self, k: int) -> tuple[Tensor, int]: ...


def image_splits(
    spec: DataSpec,
    images_NCHW: NDArray[Any] | StreamedImages,
    labels: NDArray[np.int64],
    classes: Sequence[str],
    parts: Mapping[str, Indices],
    record: Mapping[str, Any] | None = None,
) -> Splits:
    """Return the splits of images, held in memory or streamed from disk.

    Args:
        spec: How to split, normalise and augment.
        images_NCHW: uint8 or float32, or what decodes one (C, H, W) at a time.
        labels: (N,), from 0.
        classes: Names of the classes.
        parts: Indices of the data's own splits; "train" is everything where there are none.
        record: Facts to add to the splits' record.

    Raises:
        InputError: A single class, or too few examples to split.
    """
    divided = divide(spec, parts, labels, classes)
    if isinstance(images_NCHW, np.ndarray):
        seen, fitted, content = images_NCHW, divided["train"], images_NCHW
    else:
        order = np.random.default_rng(spec.split_seed).permutation(divided["train"])
        seen = np.stack([images_NCHW[k][0].numpy() for k in order[:_NORMALIZATION_SAMPLE]])
        fitted, content = np.arange(len(seen)), np.frombuffer(images_NCHW.key.encode(), np.uint8)
    normalize = image_normalization(seen, fitted, spec.normalize, spec.scale)

    def source(name: str, indices: Indices) -> Source:
        augment = Augment()
        if name == "train":
            augment = Augment(flip=spec.flip, crop=spec.crop, cutout=spec.cutout)
        if isinstance(images_NCHW, np.ndarray):
            return TensorSource(
                torch.from_numpy(np.ascontiguousarray(images_NCHW[indices])),
                torch.from_numpy(labels[indices].astype(np.int64)),
                normalize=normalize,
                augment=augment,
            )
        return StreamSource(
            Subset(images_NCHW, indices.tolist()),  # type: ignore[arg-type]
            len(indices),
            workers=spec.workers,
            normalize=normalize,
            augment=augment,
        )

    return splits_of(
        spec,
        divided,
        source,
        labels=labels,
        classes=classes,
        input_shape=seen.shape[1:],
        record={
            "normalize": describe(normalize),
            "fingerprint": fingerprint(content, labels, *divided.values()),
            **(record or {}),
        },
    )


def vector_splits(
    spec: DataSpec,
    inputs_NF: NDArray[Any],
    targets: NDArray[Any],
    classes: Sequence[str],
    divided: Mapping[str, Indices],
    record: Mapping[str, Any] | None = None,
) -> Splits:
    """Return the splits of feature vectors, standardised over the training split.

    Targets are (N,) classes where `classes` has names, else (N, T) numbers, standardised too.
    """
    inputs, scale = standardized(inputs_NF, divided["train"])
    facts = {"normalize": scale, **(record or {})}
    if not classes:
        targets, facts["target"] = standardized(targets, divided["train"])

    def source(name: str, indices: Indices) -> Source:
        return TensorSource(torch.from_numpy(inputs[indices]), torch.from_numpy(targets[indices]))

    return splits_of(
        spec,
        divided,
        source,
        labels=targets,
        classes=classes,
        input_shape=inputs.shape[1:],
        outputs=None if classes else targets.shape[1],
        record={"fingerprint": fingerprint(inputs, targets, *divided.values()), **facts},
    )


def splits_of(
    spec: DataSpec,
    divided: Mapping[str, Indices],
    source: Callable[[str, Indices], Source],
    *,
    labels: NDArray[Any] | None,
    classes: Sequence[str],
    input_shape: Sequence[int],
    record: Mapping[str, Any],
    outputs: int | None = None,
) -> Splits:
    """Return splits with what is recorded of all: how many examples, of which classes.

    Args:
        spec: How the data were split.
        divided: Indices of each split.
        source: Makes the source of a split by its name and indices.
        labels: Class of every example, where `classes` has names.
        classes: Names of the classes, empty for a regression.
        input_shape: Of one example.
        record: Facts to add.
        outputs: Columns of a regression's target; None counts the classes.
    """
    made = {name: source(name, indices) for name, indices in divided.items()}
    counted = (
        class_counts(labels[divided["train"]], classes) if labels is not None and classes else {}
    )
    return Splits(
        train=made["train"],
        validation=made["validation"],
        test=made.get("test"),
        input_shape=tuple(input_shape),
        outputs=len(classes) if outputs is None else outputs,
        kind="classification" if classes else "regression",
        classes=tuple(classes),
        record={
            "train": len(divided["train"]),
            "validation": len(divided["validation"]),
            "test": len(divided["test"]) if "test" in divided else None,
            "classes": counted,
            "split_seed": spec.split_seed,
            **record,
        },
    )


def standardized(
    values_NF: NDArray[Any], train: Indices
) -> tuple[NDArray[np.float32], dict[str, list[float]]]:
    """Return columns with mean 0 and standard deviation 1 over the training split, and what they had."""
    values = values_NF.astype(np.float64)
    mean, std = values[train].mean(0), values[train].std(0)
    std[std == 0] = 1.0  # a constant column stays constant
    scale = {"mean": mean.tolist(), "std": std.tolist()}
    return ((values - mean) / std).astype(np.float32), scale


def describe(normalize: Normalize) -> dict[str, Any]:
    """Return a normalisation in plain values; an image as its mean alone."""
    if normalize.shift.numel() > 16:
        return {"factor": normalize.factor.item(), "mean_shift": normalize.shift.mean().item()}
    return {
        "factor": normalize.factor.flatten().tolist(),
        "shift": normalize.shift.flatten().tolist(),
    }


def fingerprint(*arrays: NDArray[Any]) -> str:
    """Return a short hash of the data and the split: it becomes part of every trial's id."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
