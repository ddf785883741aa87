"""Columns: the examples of a split as tensors in any structure, a tuple, a dict, nested."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hptune.errors import InputError
from hptune.step import target_of

_SMALL = (torch.int32, torch.int16, torch.int8, torch.uint8)
Columns = Any  # a Tensor, or a tuple or dict of columns


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
    """Return a structure with every leaf changed; mappings become dicts."""
    if isinstance(columns, Mapping):
        return {key: with_leaves(column, change) for key, column in columns.items()}
    if isinstance(columns, tuple | list):
        changed = [with_leaves(column, change) for column in columns]
        named = hasattr(columns, "_fields")
        return type(columns)(*changed) if named else type(columns)(changed)
    return change(columns)


def batches_of(columns: Columns, batch_size: int) -> Iterator[Columns]:
    """Yield columns in parts of so many examples, as views."""
    whole = [torch.split(leaf, batch_size) for leaf in leaves(columns)]
    if isinstance(columns, tuple | list) and all(isinstance(leaf, Tensor) for leaf in columns):
        yield from zip(*whole, strict=True)
        return
    for parts in zip(*whole, strict=True):
        rest = iter(parts)
        yield with_leaves(columns, lambda _, rest=rest: next(rest))  # type: ignore[misc]


def take(columns: Columns, indices: Tensor) -> Columns:
    """Return the examples at some indices, copied."""
    return with_leaves(columns, lambda leaf: leaf.index_select(0, indices.to(leaf.device)))


def _is_leaf(value: Any) -> bool:
    return isinstance(value, Tensor | np.ndarray) or hasattr(value, "__array__")


def is_columns(data: Any) -> bool:
    """Say whether data are columns; a list of tuples or dicts is one of examples instead."""
    if isinstance(data, list) and not all(_is_leaf(value) for value in data):
        return False
    found = list(leaves(data))
    return bool(found) and all(_is_leaf(leaf) for leaf in found)


def tensors_of(columns: Columns, what: str) -> Columns:
    """Return columns as tensors that fit each other.

    Raises:
        InputError: Lengths differ, text, or values that are not finite.
    """

    def tensor(leaf: Any) -> Tensor:
        if isinstance(leaf, Tensor):
            result = leaf.detach()
        else:
            array = np.asarray(leaf)
            if array.dtype.kind not in "fiub":
                raise InputError(
                    f"{what}: an array of {array.dtype}; must be numbers; encode text as numbers"
                )
            # torch's default; a model of float32 does not take NumPy's float64.
            array = array.astype(np.float32) if array.dtype.kind == "f" else array
            result = torch.from_numpy(np.array(array))
        if result.ndim == 0:
            raise InputError(
                f"{what}: a single number; must be one value an example; give an array"
            )
        if result.is_floating_point() and not torch.isfinite(result).all():
            bad = int((~torch.isfinite(result)).sum())
            raise InputError(
                f"{what}: {bad} values are not finite; must be numbers; clean the data"
            )
        return result

    result = with_leaves(columns, tensor)
    lengths = [len(leaf) for leaf in leaves(result)]
    if len(set(lengths)) > 1:
        raise InputError(
            f"{what}: lengths {', '.join(map(str, lengths))}; must be one, the number of examples; "
            "check the arrays"
        )
    return _with_whole_targets(result)


def _with_whole_targets(columns: Columns) -> Columns:
    """Return columns with integer targets as int64, the type that losses take."""
    target = target_of(columns)
    if not isinstance(target, Tensor) or target.dtype not in _SMALL:
        return columns
    if isinstance(columns, Mapping):
        return {k: v.long() if v is target else v for k, v in columns.items()}
    return (*columns[:-1], target.long())
