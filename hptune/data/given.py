"""Data given in Python: tensors or arrays in any structure, a Dataset, or a DataLoader."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    default_collate,
)

from hptune.data.sources.columns import is_columns, leaves, take, tensors_of
from hptune.data.sources.memory import TensorSource
from hptune.data.sources.stream import StreamSource
from hptune.data.spec import DataSpec
from hptune.data.split import divide, places
from hptune.errors import InputError
from hptune.step import target_of
from hptune.task import Source

READABLE = 2_000  # examples; to read the labels of more by loading each would take too long
_HASHED = 32  # examples of a data set whose content identifies it
_REMEDY = (
    "give (inputs, targets) of tensors or arrays, a dict of them, a Dataset with a length, or a "
    "DataLoader over one"
)


@dataclass(frozen=True)
class GivenSplit:
    """A split as it was given, in one of two forms.

    Attributes:
        data: Columns of tensors, or a map-style data set.
        in_memory: Whether it is columns.
        collate: Makes a batch of the data set's examples.
        workers: Processes that read the data set.
        batch_size: Of the DataLoader that was given.
        varies: Whether an example differs from reading to reading, by random transforms.
        name: For the tables.
        known: Class of every example where they have been read; see `labels`.
    """

    data: Any
    in_memory: bool
    collate: Callable[[list[Any]], Any] = default_collate
    workers: int = 0
    batch_size: int | None = None
    varies: bool = False
    name: str = "tensors"
    known: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(next(leaves(self.data))) if self.in_memory else len(self.data)

    def source(self) -> Source:
        """Return what trials read."""
        if self.in_memory:
            return TensorSource(self.data, copies=True)
        return StreamSource(
            self.data,
            workers=self.workers,
            collate=self.collate,
            varies=self.varies,
            targets=self.labels(most=0),
        )

    def code(self) -> list[Any]:
        """Return what makes the examples of a data set besides its content: class, transforms, collation."""
        if self.in_memory:
            return []
        data = self.data
        while isinstance(data, Subset):
            data = data.dataset
        transforms = (getattr(data, name, None) for name in ("transform", "target_transform"))
        return [type(data), self.collate, *transforms]

    def part(self, indices: NDArray[np.int64]) -> GivenSplit:
        """Return some of the examples."""
        if self.in_memory:
            data: Any = take(self.data, torch.as_tensor(indices))
        else:
            data = Subset(self.data, indices.tolist())
        return replace(self, data=data, known=None if self.known is None else self.known[indices])

    def labels(self, most: int = READABLE) -> NDArray[np.int64] | None:
        """Return the class of every example, None where there are no plain classes to be had.

        Args:
            most: Examples to load at most where the data set does not hold its labels in memory.
        """
        if self.known is not None:
            return self.known
        if self.in_memory:
            found = target_of(self.data)
            labels = found.cpu().numpy() if isinstance(found, Tensor) else None
        else:
            labels = _held_labels(self.data)
            if labels is None and len(self) <= most:
                labels = _read_labels(self.data)
        if labels is None or labels.size != len(labels) or labels.dtype.kind not in "iub":
            return None
        return labels.reshape(-1).astype(np.int64)

    def read(self) -> tuple[GivenSplit, str]:
        """Return this, knowing whether its examples vary, and a short hash of the content.

        Columns are hashed whole. Of a data set, the hash is of its length, the labels that it
        holds in memory, and a sample of its examples, spread evenly over it and read twice: where
        the two readings differ, random transforms are at work and no example identifies the data.
        """
        if self.in_memory:
            return self, _hash(len(self), [self.data])
        spread = np.linspace(0, len(self) - 1, min(_HASHED, len(self))).astype(int).tolist()
        held = _held_labels(self.data)
        labels = [] if held is None or held.dtype.kind not in "iubf" else [held]
        first, again = (
            _hash(len(self), [labels, [self.data[k] for k in spread]]) for _ in range(2)
        )
        if first == again:
            return self, first
        return replace(self, varies=True), _hash(len(self), labels)


def given_split(data: Any, what: str) -> GivenSplit:
    """Recognise what was given for a split.

    Args:
        data: Tensors or arrays in tuples and dicts, a list of examples, a Dataset, a DataLoader.
        what: "train", "validation" or "test", for errors.

    Raises:
        InputError: It is none of these, or cannot be read in an order of hptune's own.
    """
    name = type(data).__name__
    if isinstance(data, type):
        raise InputError(f"{what}: the class {data.__name__}; must be an object of it; make one")
    if isinstance(data, DataLoader):
        given = _loader(data, what)
    elif isinstance(data, IterableDataset):
        raise InputError(
            f"{what}: {name} is an iterable data set; trials need a length and examples by "
            "index, to be repeatable; give a map-style Dataset, or its examples as a list"
        )
    elif type(data) is TensorDataset:
        given = GivenSplit(tensors_of(data.tensors, what), in_memory=True)
    elif type(data) is Subset and type(data.dataset) is TensorDataset:
        given = given_split(data.dataset, what).part(np.asarray(data.indices))
    elif is_columns(data):
        given = GivenSplit(tensors_of(data, what), in_memory=True)
    elif isinstance(data, list) or _is_dataset(data):
        given = GivenSplit(data, in_memory=False, name=name)
    else:
        raise InputError(f"{what}: a {name}; must be data with a length; {_REMEDY}")
    if len(given) == 0:
        raise InputError(f"{what}: no examples; must have some; {_REMEDY}")
    return given


def divide_given(
    spec: DataSpec, parts: Mapping[str, GivenSplit], labels: NDArray[Any] | None
) -> tuple[dict[str, GivenSplit], str]:
    """Split what was given as the spec says, where it brings no such split.

    Args:
        spec: Fractions, seed and subsets.
        parts: What was given: "train", and "validation" and "test" where they were.
        labels: Of all parts, one after the other. It is split by them where they are plain classes;
            one of a single example is drawn with the most frequent.

    Returns:
        The splits, and how they were split: "stratified" or "random".

    Raises:
        InputError: Too few examples to split.
    """
    at = places({name: len(part) for name, part in parts.items()})
    if labels is not None:
        values, counts = np.unique(labels[at["train"]], return_counts=True)
        # Many values with few examples each are numbers or rare classes, nothing to stratify by.
        smallest = min(spec.validation, 1 - spec.validation)
        if len(counts) > smallest * len(at["train"]):
            labels = None
        else:  # one example cannot be in both parts, such as one that the loss ignores
            alone = np.isin(labels, values[counts < 2])
            labels = np.where(alone, values[counts.argmax()], labels)
    found = {}
    for name, indices in divide(spec, at, labels).items():
        origin = name if name in parts else "train"
        found[name] = parts[origin].part(indices - at[origin][0])
    return found, "random" if labels is None else "stratified"


def _loader(loader: DataLoader[Any], what: str) -> GivenSplit:
    """Take a DataLoader's data set, collation and batch size; the order of examples is hptune's."""
    given = given_split(loader.dataset, what)
    sampler, batches = loader.sampler, loader.batch_sampler
    if loader.batch_size is None or type(batches) is not BatchSampler:
        own = f"a {type(batches).__name__} of its own" if batches else "batch_size=None"
        raise InputError(
            f"{what}: a DataLoader with {own}; batches are hptune's to draw; give its data set, or a "
            "DataLoader with a batch_size"
        )
    if given.in_memory and loader.collate_fn is not default_collate:
        # The collation is of examples, which columns have not.
        given = GivenSplit(loader.dataset, in_memory=False)
    if isinstance(sampler, SubsetRandomSampler):
        given = given.part(np.asarray(sampler.indices, dtype=np.int64))
    elif not isinstance(sampler, RandomSampler | SequentialSampler):
        raise InputError(
            f"{what}: a DataLoader with a {type(sampler).__name__}; the order of examples is hptune's "
            "to draw, so that trials are paired; give its data set, and put weights into the loss"
        )
    return replace(
        given,
        collate=loader.collate_fn,
        workers=loader.num_workers,
        batch_size=loader.batch_size,
        name=type(loader.dataset).__name__,
    )


def _hash(count: int, examples: list[Any]) -> str:
    digest = hashlib.blake2b(repr(count).encode(), digest_size=8)
    for leaf in leaves(examples):
        if isinstance(leaf, Tensor | np.ndarray):
            tensor = torch.as_tensor(leaf).detach().cpu()
            if tensor.dtype is torch.bfloat16:  # unknown to NumPy
                tensor = tensor.float()
            array = np.ascontiguousarray(tensor.numpy())
            digest.update(repr(array.shape).encode())
            digest.update(array.data)
        elif isinstance(leaf, int | float | str):
            digest.update(repr(leaf).encode())
        else:  # a NumPy number, an image of Pillow
            digest.update(leaf.tobytes() if hasattr(leaf, "tobytes") else b"?")
    return digest.hexdigest()


def _held_labels(dataset: Any) -> NDArray[Any] | None:
    """Return a data set's labels where it holds them in memory."""
    if isinstance(dataset, Subset):
        labels = _held_labels(dataset.dataset)
        return None if labels is None else labels[np.asarray(list(dataset.indices))]
    for name in ("targets", "labels"):
        found = getattr(dataset, name, None)
        if found is not None and hasattr(found, "__len__") and len(found) == len(dataset):
            return np.asarray(found)
    return None


def _read_labels(dataset: Any) -> NDArray[Any] | None:
    """Return a data set's labels by loading every example, None where they are no single values."""
    targets = [target_of(dataset[k]) for k in range(len(dataset))]
    if any(target is None or np.ndim(target) for target in targets):
        return None
    return np.array([np.asarray(target) for target in targets])


def _is_dataset(data: Any) -> bool:
    if isinstance(data, str | bytes | Mapping | tuple):
        return False
    return isinstance(data, Dataset) or (hasattr(data, "__getitem__") and hasattr(data, "__len__"))
