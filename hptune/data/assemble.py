"""From what a reader found to splits: divided, normalised, wrapped."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
from hptune.errors import InputError
from hptune.task import Source

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = "biuf"  # kinds of dtype; all others hold text
_NORMALIZATION_SAMPLE = 2048  # images that the normalisation of a streamed set is read from


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a reader found, before it is split.

    Attributes:
        inputs: A table; vectors (N, F); images (N, C, H, W), uint8 or float32; or a data set that
            decodes one (C, H, W) at a time, whose `key` changes with what it decodes.
        targets: Classes (N,) from 0 where `classes` has names, else numbers (N, T).
        classes: Names of the classes, none for a regression.
        parts: Indices of "train", or of everything, and of "validation" and "test" where the data
            bring them.
        record: Facts to add to the splits' record.
        notes: What the user should know of the data before training, a sentence each.
    """

    inputs: Any
    targets: NDArray[Any]
    classes: Sequence[str]
    parts: Mapping[str, Indices]
    record: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def labels(self) -> NDArray[Any] | None:
        """Class of every example, None for a regression."""
        return self.targets if self.classes else None


def splits_of(spec: DataSpec, content: Content) -> Splits:
    """Return the splits of what was read, normalised by the training split.

    Vectors, the columns of tables and the targets of regressions are standardised.

    Raises:
        InputError: Values that are not finite, a single class, or too few examples to split.
    """
    divided = divide(spec, content.parts, content.labels, content.classes)
    train = divided["train"]
    inputs, targets, record = content.inputs, content.targets, dict(content.record)
    if hasattr(inputs, "columns"):
        inputs, record["columns"] = _features(inputs, train)
    if not content.classes:
        targets, record["target"] = _standardized(targets, train)
    identity, seen, fitted = inputs, inputs, train
    held = isinstance(inputs, np.ndarray)
    if held:
        check_finite(inputs)
    else:
        order = np.random.default_rng(spec.split_seed).permutation(train)
        seen = np.stack([inputs[k][0].numpy() for k in order[:_NORMALIZATION_SAMPLE]])
        identity, fitted = np.frombuffer(inputs.key.encode(), np.uint8), np.arange(len(seen))
    augment, normalize = NOTHING, None
    if seen.ndim == 2:
        inputs, record["normalize"] = _standardized(inputs, train)
        identity = inputs
    else:
        normalize = image_normalization(seen, fitted, spec.normalize, spec.scale)
        record["normalize"] = {
            "factor": normalize.factor.tolist(),
            "shift": normalize.shift.tolist(),
        }
        augment = Augment(flip=spec.flip, crop=spec.crop, cutout=spec.cutout)

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
        return StreamSource(images, workers=spec.workers, normalize=normalize, augment=changed)

    return Splits(
        **{name: source(name, indices) for name, indices in divided.items()},
        input_shape=seen.shape[1:],
        outputs=len(content.classes) or targets.shape[1],
        kind="classification" if content.classes else "regression",
        classes=tuple(content.classes),
        notes=tuple(content.notes),
        record=record | {"fingerprint": _fingerprint(identity, targets, *divided.values())},
    )


def check_finite(inputs: NDArray[Any]) -> None:
    """Refuse inputs that are infinite or no numbers.

    Raises:
        InputError: Some are.
    """
    bad = int((~np.isfinite(inputs)).sum()) if inputs.dtype.kind == "f" else 0
    if bad:
        raise InputError(
            f"data: {bad} input values are not finite; must be numbers; clean the data"
        )


def _features(table: pd.DataFrame, train: Indices) -> tuple[NDArray[np.float64], list[str]]:
    """Return numbers as they are and text as one column a value seen in the training split."""
    features: list[tuple[str, NDArray[np.float64]]] = []
    for name, column in table.items():
        if column.dtype.kind in NUMBERS:
            features.append((str(name), column.to_numpy(dtype=np.float64)))
            continue
        text = column.astype(str).to_numpy()
        features += [
            (f"{name}={v}", (text == v).astype(np.float64)) for v in np.unique(text[train])
        ]
    return np.stack([values for _, values in features], axis=1), [name for name, _ in features]


def _standardized(
    values_NF: NDArray[Any], train: Indices
) -> tuple[NDArray[np.float32], dict[str, list[float]]]:
    """Return columns with mean 0 and standard deviation 1 over the training split, and what they had."""
    values = values_NF.astype(np.float64)
    mean, std = values[train].mean(0), values[train].std(0)
    std[std == 0] = 1.0  # a constant column stays constant
    scale = {"mean": mean.tolist(), "std": std.tolist()}
    return ((values - mean) / std).astype(np.float32), scale


def _fingerprint(*arrays: NDArray[Any]) -> str:
    """Return a short hash of the data and the split: it becomes part of every trial's id."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
