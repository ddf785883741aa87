"""What is wrong with inputs: not finite, all the same, blank, badly scaled, seen in training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from hptune.data.sanity.seen import Seen

_LARGE, _SMALL = 30.0, 1e-3  # means and standard deviations that nets do not start well from
_UNLIKE = 10.0  # times what the training inputs vary by
_MANY = 0.1  # of the columns
_COLUMNS = 64  # that coincidence is judged by
_VALUES = 100_000  # that quantiles are taken of


def fault(seen: Sequence[Seen]) -> str | None:
    """Return why nothing can be learnt from these inputs, None where something may be."""
    for split in seen:
        finite = [leaf.isfinite().reshape(len(leaf), -1).all(1) for leaf in _floats(split)]
        bad = int((~torch.stack(finite).all(0)).sum()) if finite else 0
        if bad:
            return (
                f"data: the inputs of {split.count(bad, len(finite[0]))} are not finite; must be "
                "numbers; clean the data, or leave these examples out"
            )
    keys = seen[0].keys
    if len(keys) > 1 and (keys == keys[0]).all():
        return (
            f"data: the inputs of {seen[0].count(len(keys), len(keys))} are all the same; must differ "
            "to be learnt from; check how they are read"
        )
    return None


def notes(train: Seen, others: Sequence[Seen], scale: float) -> list[str]:
    """Return what is worth a word in the inputs of a training set and of others."""
    return [
        *_blank([train, *others]),
        *_constant(train),
        *_far(train, scale),
        *_unlike(train, others),
        *_again(train, others),
    ]


def coincide(train: Seen, other: Seen) -> bool:
    """Say whether equal inputs are to be expected by chance, as of a few columns of few values."""
    chance = 0.0
    for leaf in train.inputs:
        values = leaf.reshape(len(leaf), -1).float().numpy()
        places = np.linspace(0, values.shape[1] - 1, min(values.shape[1], _COLUMNS)).astype(int)
        for place in places:
            _, counts = np.unique(values[:, place], return_counts=True)
            chance += float(np.log(np.square(counts / len(values)).sum()))
    return bool(chance + np.log(len(train.keys)) + np.log(len(other.keys)) > np.log(0.5))


def _floats(split: Seen) -> list[Tensor]:
    """Return the inputs that are neither ids nor masks nor raw bytes."""
    return [leaf for leaf in split.inputs if leaf.is_floating_point() and leaf.numel()]


def _columns(leaf: Tensor) -> tuple[Tensor, str]:
    """Return the values of each column or channel, (columns, values), and what they are called."""
    if leaf.ndim == 2:
        return leaf.T.double(), "columns"
    if leaf.ndim > 3:
        return leaf.transpose(0, 1).flatten(1).double(), "channels"
    return leaf.reshape(1, -1).double(), "inputs"


def _blank(seen: Sequence[Seen]) -> Iterator[str]:
    counts = []
    for split in seen:
        for leaf in split.inputs:
            if leaf.ndim < 3:
                continue
            places = leaf.flatten(1)[:, None] if leaf.ndim == 3 else leaf.flatten(2)
            blank = int((places.amax(-1) == places.amin(-1)).all(1).sum())
            if blank and places.shape[-1] > 1:
                counts.append(split.count(blank, len(leaf)))
    if counts:
        yield f"blank inputs, of one value all over: {', '.join(counts)}"


def _constant(train: Seen) -> Iterator[str]:
    for leaf in _floats(train):
        columns, name = _columns(leaf)
        constant = (columns.amax(1) == columns.amin(1)).nonzero()[:, 0].tolist()
        if len(leaf) > 1 and len(constant) >= _MANY * len(columns):
            named = ", ".join(map(str, constant[:4])) + ", ..." * (len(constant) > 4)
            yield (
                f"{len(constant)} of {len(columns)} input {name} are constant in the training set "
                f"(from 0: {named}): nothing is learnt from them"
            )


def _far(train: Seen, scale: float) -> Iterator[str]:
    for leaf in _floats(train):
        columns, name = _columns(leaf)
        mean, std = columns.mean(1) / scale, columns.std(1, correction=0) / scale
        size = torch.maximum(mean.abs(), std)
        large, small = size > _LARGE, (size < _SMALL) & (std > 0)
        for which, sort, worst in (
            (large, "large", size.argmax()),
            (small, "small", size.argmin()),
        ):
            if which.any():
                about = f"mean {mean[worst]:.3g}, standard deviation {std[worst]:.3g}"
                what = f"the inputs are {sort} ({about})"
                if len(columns) > 1:
                    what = f"{int(which.sum())} of {len(columns)} input {name} are {sort}"
                    what += f" (number {int(worst)}, from 0: {about})"
                yield f"{what}; nets start well from about 0 and 1: scale them, or see data.normalize"


def _unlike(train: Seen, others: Sequence[Seen]) -> Iterator[str]:
    for other in others:
        for own, theirs in zip(_floats(train), _floats(other), strict=False):
            ratios = [b / a for a, b in zip(_varies(own), _varies(theirs), strict=True) if a > 0]
            if len(ratios) == 2 and (min(ratios) > _UNLIKE or max(ratios) < 1 / _UNLIKE):
                yield (
                    f"the {other.name} inputs vary {ratios[0]:.2g} times as much as the training "
                    "inputs; must be scaled alike for their scores to mean anything"
                )


def _varies(leaf: Tensor) -> tuple[float, float]:
    """Return the standard deviation, and the range of nine tenths, which outliers do not move."""
    values = leaf.reshape(-1)
    some = values[:: 1 + len(values) // _VALUES].double().numpy()
    low, high = np.quantile(some, (0.05, 0.95))
    return float(some.std()), float(high - low)


def _again(train: Seen, others: Sequence[Seen]) -> Iterator[str]:
    for other in others:
        again = int(np.isin(other.keys, train.keys).sum())
        if again and not coincide(train, other):
            yield (
                f"{other.count(again, len(other.keys))} have inputs that are in the training set too: "
                "their scores say nothing of new data"
            )
