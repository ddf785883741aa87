"""From arrays, or images on disk, to splits: divided, normalised, wrapped."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Subset

from hptune.data.sources.augment import Augment
from hptune.data.sources.memory import TensorSource
from hptune.data.sources.normalize import image_normalization
from hptune.data.sources.stream import StreamSource
from hptune.data.spec import DataSpec, Splits
from hptune.data.split import Indices, divide
from hptune.task import Source

_NORMALIZATION_SAMPLE = 2048  # images that the normalisation of a streamed set is read from


def image_splits(
    spec: DataSpec,
    images_NCHW: NDArray[Any] | Dataset[Any],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    parts: Mapping[str, Indices],
    record: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> Splits:
    """Return the splits of images, held in memory or streamed from disk.

    Args:
        spec: How to split, normalise and augment.
        images_NCHW: uint8 or float32, or what decodes one (C, H, W) at a time.
        labels: (N,), from 0.
        classes: Names of the classes.
        parts: Indices of the data's own splits; "train" is everything where there are none.
        record: Facts to add to the splits' record.
        key: Changes with the content of images that are streamed.

    Raises:
        InputError: A single class, or too few examples to split.
    """
    divided = divide(spec, parts, labels, classes)
    if isinstance(images_NCHW, np.ndarray):
        seen, fitted, content = images_NCHW, divided["train"], images_NCHW
    else:
        order = np.random.default_rng(spec.split_seed).permutation(divided["train"])
        seen = np.stack([images_NCHW[k][0].numpy() for k in order[:_NORMALIZATION_SAMPLE]])
        fitted, content = np.arange(len(seen)), np.frombuffer(str(key).encode(), np.uint8)
    normalize = image_normalization(seen, fitted, spec.normalize, spec.scale)

    def source(name: str, indices: Indices) -> Source:
        train_only = Augment(flip=spec.flip, crop=spec.crop, cutout=spec.cutout)
        augment = train_only if name == "train" else Augment()
        if isinstance(images_NCHW, np.ndarray):
            return TensorSource(
                torch.from_numpy(np.ascontiguousarray(images_NCHW[indices])),
                torch.from_numpy(labels[indices]),
                normalize=normalize,
                augment=augment,
            )
        return StreamSource(
            Subset(images_NCHW, indices.tolist()),
            workers=spec.workers,
            normalize=normalize,
            augment=augment,
        )

    return Splits(
        **{name: source(name, indices) for name, indices in divided.items()},
        input_shape=seen.shape[1:],
        outputs=len(classes),
        kind="classification",
        classes=tuple(classes),
        record={
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
    return Splits(
        **{
            name: TensorSource(torch.from_numpy(inputs[part]), torch.from_numpy(targets[part]))
            for name, part in divided.items()
        },
        input_shape=inputs.shape[1:],
        outputs=len(classes) or targets.shape[1],
        kind="classification" if classes else "regression",
        classes=tuple(classes),
        record={"fingerprint": fingerprint(inputs, targets, *divided.values()), **facts},
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


def fingerprint(*arrays: NDArray[Any]) -> str:
    """Return a short hash of the data and the split: it becomes part of every trial's id."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
