"""Training labels that are wrong on purpose, to see what memorises them; the other splits stay.

Source: Zhang 2017, "Understanding deep learning requires rethinking generalization".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hptune.data.sources.memory import TensorSource
from hptune.data.sources.stream import StreamSource
from hptune.data.spec import DataSpec
from hptune.errors import InputError
from hptune.step import target_of
from hptune.task import Source

_COMPARED = 32  # examples that are read to see whether their labels are those in memory


def with_wrong_labels(
    spec: DataSpec, train: Source, classes: int | None, *, seed: int, ignored: int | None = None
) -> tuple[Source, list[str]]:
    """Return the training examples with the labels that a spec asks for, and how many are wrong.

    `label_noise` gives that share of the examples, drawn at random, a class other than theirs, each of
    the others as likely. `shuffle_labels` deals all labels out anew, so that each class keeps its
    number of examples. The same seed gives the same labels.

    Args:
        spec: Of the data.
        train: The training examples.
        classes: Their number, None for other than classification.
        seed: Of the draw.
        ignored: A label that the loss leaves out, and that is left as it is.

    Raises:
        InputError: There are no classes, or they are not known without reading every example.
    """
    if not spec.label_noise and not spec.shuffle_labels:
        return train, []
    key = "label_noise" if spec.label_noise else "shuffle_labels"
    value = f"data.{key}: {getattr(spec, key):g}" if spec.label_noise else f"data.{key}: true"
    if classes is None:
        raise InputError(
            f"{value}; the targets are no classes; needs a classification; leave it out"
        )
    if not isinstance(train, TensorSource | StreamSource) or train.targets is None:
        raise InputError(
            f"{value}; the labels are not known before each example is read; must be held in memory; "
            "give the data set an attribute `targets` with one for each example"
        )
    labels = torch.as_tensor(train.targets).cpu().numpy()
    if labels.size != len(labels) or labels.dtype.kind not in "iu":
        raise InputError(
            f"{value}; targets of shape {labels.shape} and type {labels.dtype}; needs one class an "
            "example; leave it out"
        )
    if isinstance(train, StreamSource) and not _holds(train, labels):
        raise InputError(
            f"{value}; the data set's labels in memory are not those of its examples, as where a "
            "target_transform makes others; must be the same; hold them as they are trained on"
        )
    flat, draw = labels.reshape(-1), np.random.default_rng([seed, len(labels)])
    counting = np.arange(len(flat)) if ignored is None else np.flatnonzero(flat != ignored)
    wrong = flat.copy()
    if spec.label_noise:
        chosen = draw.permutation(counting)[: round(spec.label_noise * len(counting))]
        wrong[chosen] = (flat[chosen] + draw.integers(1, classes, len(chosen))) % classes
    else:
        wrong[counting] = draw.permutation(flat[counting])
    count = int((wrong != flat).sum())
    note = f"{value}: {count:,} of {len(counting):,} training labels are another class on purpose"
    return train.with_targets(_like(train.targets, wrong.reshape(labels.shape))), [note]


def _holds(train: StreamSource, labels: NDArray[Any]) -> bool:
    """Say whether examples have the labels that their data set holds in memory."""
    few = torch.linspace(0, len(train) - 1, min(_COMPARED, len(train))).long()
    read = target_of(train.sample(few))
    return np.array_equal(np.asarray(read).reshape(-1), labels.reshape(-1)[few.numpy()])


def _like(targets: Any, labels: Any) -> Any:
    return torch.from_numpy(labels).to(targets) if isinstance(targets, Tensor) else labels
