"""From what a reader found to splits: divided, normalised, wrapped."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Subset

from hptune.data.sources.augment import NOTHING, Augment
from hptune.data.sources.memory import TensorSource
from hptune.data.sources.normalize import image_normalization
from hptune.data.sources.stream import StreamSource
from hptune.data.spec import DataSpec, Splits
from hptune.data.split import Indices, divide
from hptune.data.tables.preprocessing import encoded
from hptune.data.unused import AUGMENTATION, unused
from hptune.errors import InputError
from hptune.task import Source

_NORMALIZATION_SAMPLE = 2048  # images that the normalisation of a streamed set is read from


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a reader found, before it is split.

    Attributes:
        inputs: A table; vectors (N, F); images (N, C, H, W), and volumes, video and signals alike,
            uint8 or float32; or a data set that decodes one (C, H, W) at a time, whose `key`
            changes with what it decodes.
        targets: Classes (N,) from 0 where `classes` has names, else numbers (N, T).
        classes: Names of the classes, none for a regression.
        parts: Indices of "train", or of everything, and of "validation" and "test" where the data
            bring them.
        record: Facts to add to the splits' record.
        notes: What the user should know of the data before training, a sentence each.
        largest: Value that a pixel can have; None is 255 for uint8 and leaves floats as they are.
    """

    inputs: Any
    targets: NDArray[Any]
    classes: Sequence[str]
    parts: Mapping[str, Indices]
    record: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    largest: float | None = None

    @property
    def labels(self) -> NDArray[Any] | None:
        """Class of every example, None for a regression."""
        return self.targets if self.classes else None


def splits_of(spec: DataSpec, content: Content) -> Splits:
    """Return the splits of what was read, normalised by the training split as the spec says.

    Vectors of whole numbers that are not normalised stay whole numbers: they may be ids.

    Raises:
        InputError: Values that are not finite, a single class, or too few examples to split.
    """
    divided = divide(spec, content.parts, content.labels, content.classes)
    train = divided["train"]
    inputs, targets, record = content.inputs, content.targets, dict(content.record)
    notes, whole = list(content.notes), False
    if hasattr(inputs, "columns"):
        inputs, made, told = encoded(inputs, divided, spec.normalize)
        record |= {"columns": made.names, "preprocessing": made.record}
        notes += told
    if not content.classes:
        check_finite(targets, "target")
        mode = "none" if spec.normalize == "none" else "standardize"
        targets, record["target"] = _scaled(targets, train, mode, "target")
        notes += _told(record["target"])
    identity, seen, fitted = inputs, inputs, train
    held = isinstance(inputs, np.ndarray)
    if held:
        check_finite(inputs)
    else:
        order = np.random.default_rng(spec.split_seed).permutation(train)
        seen = np.stack([inputs[k][0].numpy() for k in order[:_NORMALIZATION_SAMPLE]])
        identity, fitted = np.frombuffer(inputs.key.encode(), np.uint8), np.arange(len(seen))
    if spec.normalize == "imagenet" and (seen.ndim != 4 or seen.shape[1] != 3):
        raise InputError(
            f"data.normalize: imagenet; examples of shape {seen.shape[1:]} are no colour images "
            "(3, H, W); leave it out"
        )
    augment, normalize = NOTHING, None
    if seen.ndim == 2:
        whole = inputs.dtype.kind in "iu"
        record["normalize"] = None
        if whole and spec.normalize == "none":
            inputs = inputs.astype(np.int64)
        elif "preprocessing" not in record:
            inputs, record["normalize"] = _scaled(inputs, train, spec.normalize, "input")
        identity = inputs
    else:
        normalize = image_normalization(seen, fitted, spec.normalize, spec.scale, content.largest)
        record["normalize"] = {
            "factor": normalize.factor.tolist(),
            "shift": normalize.shift.tolist(),
        }
    if seen.ndim == 4:
        augment = Augment(flip=spec.flip, crop=spec.crop, cutout=spec.cutout)
    else:
        keys = (*AUGMENTATION, "scale") if seen.ndim == 2 else AUGMENTATION
        notes += unused(spec, keys, "the inputs are no images")

    def source(name: str, indices: Indices) -> Source:
        changed = augment if name == "train" else NOTHING
        if held:
            return TensorSource(
                torch.from_numpy(np.ascontiguousarray(inputs[indices])),
                torch.from_numpy(targets[indices]),
                normalize=normalize,
                augment=changed,
            )
        images = Subset(inputs, indices.tolist())
        return StreamSource(
            images,
            workers=spec.workers,
            normalize=normalize,
            augment=changed,
            targets=targets[indices],
        )

    return Splits(
        **{name: source(name, indices) for name, indices in divided.items()},
        input_shape=seen.shape[1:],
        outputs=len(content.classes) or targets.shape[1],
        kind="classification" if content.classes else "regression",
        classes=tuple(content.classes),
        whole=whole,
        notes=tuple(notes),
        record=record | {"fingerprint": _fingerprint(identity, targets, *divided.values())},
    )


def check_finite(values: NDArray[Any], what: str = "input") -> None:
    """Refuse inputs or targets that are infinite or no numbers.

    Raises:
        InputError: Some are.
    """
    if values.dtype.kind != "f":
        return
    bad = ~np.isfinite(values)
    if bad.any():
        examples = int(bad.reshape(len(bad), -1).any(1).sum())
        raise InputError(
            f"data: {int(bad.sum()):,} {what} values in {examples:,} of {len(bad):,} examples are not "
            "finite; must be numbers; clean the data, or leave these examples out"
        )


def _scaled(
    values_NF: NDArray[Any], train: Indices, mode: str, what: str
) -> tuple[NDArray[np.float32], dict[str, list[float]] | None]:
    """Return columns less their mean over the training split, divided by their standard deviation.

    With mode "mean-image" they are not divided, with "none" they are as they are.

    Returns:
        The columns, and the mean and standard deviation that they had, None where they stay.
    """
    values, scale = values_NF.astype(np.float64), None
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        if mode != "none":
            mean, std = values[train].mean(0), values[train].std(0)
            std[std == 0] = 1.0  # a constant column stays constant
            if mode == "mean-image":
                std[:] = 1.0
            scale = {"mean": mean.tolist(), "std": std.tolist()}
            values = (values - mean) / std
        scaled = values.astype(np.float32)
    if not np.isfinite(scaled).all() or (scale and not np.isfinite(scale["std"]).all()):
        raise InputError(
            f"data: {what} values up to {np.abs(values_NF).max():.3g}; must lie within the range of "
            "32-bit floats; scale them"
        )
    return scaled, scale


def _told(scale: Mapping[str, list[float]] | None) -> list[str]:
    """Say how the targets of a regression were standardised, which changes the unit of its losses."""
    if scale is None:
        return []
    by = f" (mean {scale['mean'][0]:.4g}, standard deviation {scale['std'][0]:.4g})"
    return [
        f"the targets are standardized by the training examples{by if len(scale['std']) == 1 else ''}: "
        "losses are in these units; data.normalize: none takes targets and inputs as they are"
    ]


def _fingerprint(*arrays: NDArray[Any]) -> str:
    """Return a short hash of the data and the split: it becomes part of every trial's id."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
