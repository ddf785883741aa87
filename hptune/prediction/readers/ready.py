"""Data in any form that `hptune.Task` takes, with or without targets, given to the model as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hptune.data.given import given_split
from hptune.errors import InputError
from hptune.prediction.examples import Examples
from hptune.results.signature import Signature
from hptune.step import target_of


def of_anything(data: Any, signature: Signature) -> Examples:
    """Return tensors, arrays, lists of examples, a Dataset or a DataLoader as examples.

    Raises:
        InputError: They are none of these, or of another structure than the training data.
    """
    if _is_rows(data):
        data = np.asarray(data)
    elif _is_examples(data, signature.input_shape):
        data = torch.stack([torch.as_tensor(example) for example in data])
    source = given_split(data, "data").source()
    batch = next(iter(source.batches(2)))
    _check_dimensions(batch, signature)
    return Examples(source=source, bare=_is_bare(batch, signature))


def _is_bare(batch: Any, signature: Signature) -> bool:
    """Say whether a batch is inputs without targets, by what the model gets.

    Raises:
        InputError: It is neither those inputs nor they with targets.
    """
    if not isinstance(batch, tuple | list):
        return target_of(batch) is None
    together = not isinstance(batch[0], Tensor)  # as in ((a, b), y)
    count, wanted = len(batch), 1 if together else len(signature.inputs)
    if count not in (wanted, wanted + 1):
        raise InputError(
            f"data: {count} columns an example; the model gets {wanted}; give these, with or without "
            "targets after them"
        )
    return count == wanted


def _check_dimensions(batch: Any, signature: Signature) -> None:
    """Refuse a single example where a batch of them is wanted."""
    shape = signature.input_shape
    if isinstance(batch, Tensor) and len(signature.inputs) == 1 and batch.ndim == len(shape) > 0:
        raise InputError(
            f"data: shape {tuple(batch.shape)} in the first two examples; examples must be of "
            f"{shape} each, as trained on; give one example as x[None]"
        )


def _is_examples(data: Any, shape: tuple[int, ...]) -> bool:
    """Say whether a list is of examples of this shape, which could be taken for columns."""
    one = isinstance(data, list) and len(data) > 0 < len(shape)
    return one and all(getattr(example, "shape", None) == shape for example in data)


def _is_rows(data: Any) -> bool:
    """Say whether a list is of rows of plain numbers."""
    first = data[0] if isinstance(data, list) and data else None
    return isinstance(first, list) and all(isinstance(value, int | float) for value in first)
