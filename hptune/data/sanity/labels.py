"""What is wrong with targets: all the same, classes that are missing, inputs of two classes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hptune.data.sanity.inputs import LARGE, SMALL, coincide
from hptune.data.sanity.seen import Seen
from hptune.data.targets import MOST_CLASSES

_NAMED = 4  # classes


def fault(train: Seen, classes: Sequence[str] | None) -> str | None:
    """Return why nothing can be learnt from these targets, None where something may be."""
    targets = train.targets if train.all_targets is None else train.all_targets
    if targets is None or len(targets) < 2 or (targets != targets[0]).any():
        return None
    value = f", {_name(classes, targets[0])}" if classes is not None and targets.ndim == 1 else ""
    return (
        f"data: the targets of {train.count(len(targets), len(targets))} are all the same{value}; "
        "must differ to be learnt from; check how they are read"
    )


def badly_scaled(train: Seen) -> list[str]:
    """Say that quantities are far from the size that a net's outputs have at the start."""
    targets = train.targets
    if targets is None or targets.dtype.kind != "f":
        return []
    mean, std = abs(float(targets.mean())), float(targets.std())
    size = max(mean, std)
    if SMALL <= size <= LARGE:
        return []
    return [
        f"the targets are {'large' if size > LARGE else 'small'} (mean {targets.mean():.3g}, standard "
        f"deviation {std:.3g}); outputs start at about 0 and 1: scale them"
    ]


def classes_as_floats(train: Seen) -> list[str]:
    """Say that what is taken for a regression may be classes, written as 0.0 and 1.0."""
    targets = train.targets
    if targets is None or targets.size != len(targets) or (targets != np.round(targets)).any():
        return []
    distinct = len(np.unique(targets))
    if not 2 <= distinct <= min(MOST_CLASSES, len(targets) // 2):
        return []
    return [
        f"the targets are {distinct} whole numbers written as floats: taken for quantities, a "
        "regression; classes must be of an integer type"
    ]


def notes(train: Seen, others: Sequence[Seen], classes: Sequence[str]) -> list[str]:
    """Return what is worth a word in the classes of a training set and of others."""
    return [*_missing(train, others, classes), *_twins(train, classes)]


def _missing(train: Seen, others: Sequence[Seen], classes: Sequence[str]) -> Iterator[str]:
    trained = _distinct(train.all_targets)
    elsewhere = set(range(len(classes))).union(*(_distinct(other.all_targets) for other in others))
    if trained and elsewhere - trained:
        absent = elsewhere - trained
        yield f"no {train.name} example of {_listed(absent, elsewhere | trained, classes)}"
    for other in others:
        labels = other.targets if other.all_targets is None else other.all_targets
        present = _distinct(labels)
        if labels is not None and len(labels) > 1 and len(present) == 1:
            count = other.count(len(labels), len(labels))
            yield f"{count} are of one class, {_name(classes, present.pop())}: check how it was split"
        elif other.all_targets is not None and present and trained - present:
            yield f"no {other.name} example of {_listed(trained - present, trained, classes)}"


def _twins(train: Seen, classes: Sequence[str]) -> Iterator[str]:
    if train.targets is None or train.targets.size != len(train.keys):
        return
    labels = train.targets.reshape(-1)
    of_key: dict[int, set[int]] = defaultdict(set)
    for key, label in zip(train.keys.tolist(), labels.tolist(), strict=True):
        if label >= 0:  # the negative numbers stand for no class
            of_key[key].add(label)
    shared = {key: found for key, found in of_key.items() if len(found) > 1}
    if not shared or coincide(train, train):
        return
    pairs = Counter(pair for found in shared.values() for pair in combinations(sorted(found), 2))
    (first, second), _ = pairs.most_common(1)[0]
    count = int(np.isin(train.keys, list(shared)).sum())
    yield (
        f"{train.count(count, len(train.keys))} have the very inputs of an example of another class, "
        f"most between {_name(classes, first)} and {_name(classes, second)}: no model tells them apart"
    )


def _distinct(labels: NDArray[Any] | None) -> set[int]:
    """Return the classes that are there; the negative numbers stand for none."""
    if labels is None or labels.size != len(labels):
        return set()
    return {label for label in np.unique(labels).tolist() if label >= 0}


def _name(classes: Sequence[str], label: Any) -> str:
    return repr(classes[label]) if 0 <= label < len(classes) else str(label)


def _listed(labels: set[int], of: set[int], classes: Sequence[str]) -> str:
    """Return how many classes these are, and the names of a few."""
    names = [_name(classes, label) for label in sorted(labels)]
    more = ", ..." if len(names) > _NAMED else ""
    return f"{len(names)} of {len(of)} classes: {', '.join(names[:_NAMED])}{more}"
