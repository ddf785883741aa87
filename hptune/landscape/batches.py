"""Data of any kind as the same batches at every reading."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hptune.errors import InputError
from hptune.step import LossOf, LossOfModel, Step
from hptune.task import Batch, Source
from hptune.training.evaluation import batch_size_of

BATCH_SIZE = 128
EXAMPLES = 1000  # that are looked at by default


class Batches:
    """A source of fixed batches: no order, no augmentation.

    Args:
        batches: On the device already.
    """

    def __init__(self, batches: list[Batch]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return sum(batch_size_of(batch) for batch in self._batches)

    def to(self, device: torch.device) -> Source:
        """Return the same source with its batches on a device."""
        return Batches([moved(batch, device) for batch in self._batches])

    def batches(
        self,
        batch_size: int = 0,
        *,
        seed: int | None = None,
        epoch: int = 0,
        skip: int = 0,
        every: int = 1,
    ) -> Iterator[Batch]:
        """Yield the batches; they are what they are, whatever is asked for."""
        yield from self._batches[skip::every]


def fixed_batches(
    data: Any,
    device: torch.device,
    *,
    examples: int | None = EXAMPLES,
    batch_size: int = BATCH_SIZE,
) -> Batches:
    """Return the first examples of data, the last batch cut to so many.

    Args:
        data: A source of a task, a tuple of tensors with one row an example, or batches.
        device: Where they are kept.
        examples: How many at most; None takes all.
        batch_size: Examples a batch, where the data are not in batches already.

    Raises:
        InputError: There are none.
    """
    found, left = list[Batch](), examples
    for batch in _batches_in(data, batch_size):
        size = batch_size_of(batch)
        if left is not None and size > left:
            batch, size = _cut(batch, left, size), left
        found.append(moved(batch, device))
        left = None if left is None else left - size
        if left == 0:
            break
    if not found:
        raise InputError("data: no examples; must have at least one; give data that can be read")
    return Batches(found)


def _batches_in(data: Any, batch_size: int) -> Iterable[Batch]:
    if hasattr(data, "batches"):
        batches: Iterable[Batch] = data.batches(batch_size)
        return batches
    if isinstance(data, tuple) and all(isinstance(part, Tensor) for part in data):
        return zip(*(part.split(batch_size) for part in data), strict=True)
    if isinstance(data, Iterable) and not isinstance(data, Tensor | Mapping | Iterator):
        return data
    raise InputError(
        f"data: a {type(data).__name__}; must be (inputs, targets) as tensors, or batches that can "
        "be read again, such as a list or a DataLoader; put them into one of these"
    )


def step_of(loss: Callable[..., Any] | Step | None) -> Step:
    """Return the step of a loss of (outputs, targets), of a step itself, or of the model's own loss."""
    if loss is None:
        return LossOfModel()
    step: Step = loss if hasattr(loss, "stackable") else LossOf(loss)
    return step


def moved(batch: Batch, device: torch.device) -> Batch:
    """Return a batch of any structure on a device."""
    return _mapped(batch, lambda tensor: tensor.to(device))


def halved(batches: Sequence[Batch]) -> tuple[list[Batch], list[Batch]] | None:
    """Return two halves of as many examples; None where there is but one example."""
    count = len(batches) // 2
    if count:
        return list(batches[:count]), list(batches[count : 2 * count])
    size = batch_size_of(batches[0]) // 2
    if not size:
        return None
    first = _cut(batches[0], size, batch_size_of(batches[0]))
    second = _mapped(
        batches[0], lambda t: t[size : 2 * size] if t.ndim and len(t) >= 2 * size else t
    )
    return [first], [second]


def _cut(batch: Batch, count: int, size: int) -> Batch:
    return _mapped(batch, lambda t: t[:count] if t.ndim and len(t) == size else t)


def _mapped(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return {key: _mapped(value, change) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return tuple(_mapped(value, change) for value in batch)
    return batch
