"""A split given as tensors in any structure: a tensor, (inputs, targets), a dict, nested."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from hptune.data.order import epoch_generator, epoch_order

Columns = Any  # a Tensor, or a tuple or dict of columns


class ColumnSource:
    """Batches of columns that are in memory, a `hptune.task.Source`.

    Args:
        columns: Tensors with the examples along their first dimension, in tuples and dicts of
            any depth. Batches have the same structure and are copies.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self._first = next(leaves(columns))
        self._on: dict[torch.device, ColumnSource] = {}

    def __len__(self) -> int:
        return len(self._first)

    def to(self, device: torch.device) -> ColumnSource:
        """Return the source on a device; copied there once, however often it is asked for."""
        if all(leaf.device == device for leaf in leaves(self.columns)):
            return self
        if device not in self._on:
            moved = with_leaves(self.columns, lambda leaf: leaf.to(device))
            self._on[device] = ColumnSource(moved)
        return self._on[device]

    def batches(
        self, batch_size: int, *, seed: int | None = None, epoch: int = 0, skip: int = 0
    ) -> Iterator[Columns]:
        """Yield batches; see `hptune.task.Source.batches`."""
        count, device = len(self), self._first.device
        if seed is None:
            order, last = torch.arange(count), count
        else:
            order = epoch_order(count, epoch_generator(seed, epoch))
            last = count - batch_size + 1
        order = order.to(device)
        for start in range(skip * batch_size, last, batch_size):
            yield take(self.columns, order[start : start + batch_size])


def leaves(columns: Columns) -> Iterator[Any]:
    """Yield the leaves of a structure, in order."""
    if isinstance(columns, Mapping):
        columns = tuple(columns.values())
    if isinstance(columns, tuple | list):
        for column in columns:
            yield from leaves(column)
    else:
        yield columns


def with_leaves(columns: Columns, change: Callable[[Any], Any]) -> Columns:
    """Return a structure with every leaf changed; lists become tuples."""
    if isinstance(columns, Mapping):
        return {key: with_leaves(column, change) for key, column in columns.items()}
    if isinstance(columns, tuple | list):
        return tuple(with_leaves(column, change) for column in columns)
    return change(columns)


def take(columns: Columns, indices: Tensor) -> Columns:
    """Return the examples at some indices, copied."""
    return with_leaves(columns, lambda leaf: leaf.index_select(0, indices.to(leaf.device)))
