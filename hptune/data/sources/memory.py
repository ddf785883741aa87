"""A split that is held in memory as tensors, on the device that trains."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from hptune.data.sources.augment import NOTHING, Augment, Draws
from hptune.data.sources.columns import Columns, batches_of, leaves, take, with_leaves
from hptune.data.sources.normalize import Normalize
from hptune.data.sources.order import epoch_order
from hptune.step import inputs_of, target_of, with_targets

# An epoch of at most this size is shuffled in one go, batches are then slices of it.
GATHER_BYTES = 64 * 2**20


class TensorSource:
    """Batches of tensors, a `hptune.task.Source`.

    Args:
        columns: Inputs (N, ...) and targets (N,) or (N, T); or one structure of tensors, in tuples
            and dicts of any depth, with the examples along their first dimension. Batches have
            the same structure.
        normalize: Applied to the inputs of (inputs, targets); None where they are ready. Images
            that are normalised come in the layout that convolutions are fastest in.
        augment: Applied to training batches of images.
        copies: Whether batches that are read in order are copies, as shuffled ones are: where the
            tensors are the user's own, the user's own step must not write into them.
    """

    def __init__(
        self,
        *columns: Any,
        normalize: Normalize | None = None,
        augment: Augment = NOTHING,
        copies: bool = False,
    ) -> None:
        self._images = normalize is not None and columns[0].ndim == 4
        # Floats are normalised once; uint8 stays small and is normalised batch by batch.
        if normalize is not None and columns[0].dtype != torch.uint8:
            columns, normalize = (normalize(columns[0]), *columns[1:]), None
        self.columns: Columns = columns[0] if len(columns) == 1 else columns
        self._normalize, self._augment, self._copies = normalize, augment, copies
        self._bytes = sum(leaf.numel() * leaf.element_size() for leaf in leaves(self.columns))
        self._on: dict[torch.device, TensorSource] = {}

    def __len__(self) -> int:
        return len(next(leaves(self.columns)))

    def __getstate__(self) -> dict[str, Any]:
        """Leave the copies on devices out: every process makes its own."""
        return self.__dict__ | {"_on": {}}

    @property
    def inputs(self) -> Any:
        """The columns that the model gets."""
        return inputs_of(self.columns)

    @property
    def targets(self) -> Any:
        """The column of targets, None where there is none."""
        return target_of(self.columns)

    def sample(self, indices: Tensor) -> Columns:
        """Return a batch of some examples, as they are read for evaluation."""
        return self._ready(take(self.columns, indices))

    def with_targets(self, targets: Tensor) -> TensorSource:
        """Return the source with others in the place of its targets."""
        changed = copy(self)
        changed.columns, changed._on = with_targets(self.columns, targets), {}
        return changed

    def to(self, device: torch.device) -> TensorSource:
        """Return the source on a device; copied there once, however often it is asked for."""
        if all(leaf.device == device for leaf in leaves(self.columns)):
            return self
        if device not in self._on:
            moved = copy(self)
            moved.columns = with_leaves(self.columns, lambda leaf: leaf.to(device))
            moved._normalize = self._normalize.to(device) if self._normalize else None
            self._on[device] = moved
        return self._on[device]

    def batches(
        self,
        batch_size: int,
        *,
        seed: int | None = None,
        epoch: int = 0,
        skip: int = 0,
        every: int = 1,
    ) -> Iterator[Columns]:
        """Yield batches; see `hptune.task.Source.batches`."""
        if seed is None:
            for batch in islice(batches_of(self.columns, batch_size), skip, None, every):
                yield self._ready(with_leaves(batch, torch.clone) if self._copies else batch)
            return
        if self._bytes > GATHER_BYTES:
            where = {"seed": seed, "epoch": epoch, "skip": skip, "every": every}
            yield from map(self.read, self.choices(batch_size, **where))
            return
        device = next(leaves(self.columns)).device
        order, draws = epoch_order(len(self), seed, epoch, self._augment)
        draws = None if draws is None else draws.to(device)
        whole = len(self) - len(self) % batch_size
        if skip * batch_size >= whole:
            return
        order = order[skip * batch_size : whole]
        if every > 1:
            order = torch.cat(torch.split(order, batch_size)[::every])
        order = order.to(device)
        gathered = take(self.columns, order)
        if self._normalize is None and draws is None:
            yield from batches_of(self._ready(gathered), batch_size)
            return
        parts = zip(torch.split(order, batch_size), batches_of(gathered, batch_size), strict=True)
        for part, batch in parts:
            yield self._ready(batch, None if draws is None else draws.take(part))

    def choices(
        self, batch_size: int, *, seed: int, epoch: int = 0, skip: int = 0, every: int = 1
    ) -> Iterator[tuple[Tensor, ...]]:
        """Yield indices and draws of each batch; see `hptune.task.Resident.choices`."""
        device = next(leaves(self.columns)).device
        order, draws = epoch_order(len(self), seed, epoch, self._augment)
        chosen = (order, *(() if draws is None else draws.take(order).drawn))
        parts = [tensor[: len(self) - len(self) % batch_size].to(device) for tensor in chosen]
        batches = zip(*(torch.split(part, batch_size) for part in parts), strict=True)
        yield from islice(batches, skip, None, every)

    def read(self, choice: tuple[Tensor, ...]) -> Columns:
        """Return the batch that a choice stands for."""
        order, *drawn = choice
        draws = self._augment.draws(drawn) if drawn else None
        return self._ready(take(self.columns, order), draws)

    def _ready(self, batch: Columns, draws: Draws | None = None) -> Columns:
        """Return columns normalised, laid out and augmented, where they are images."""
        if self._normalize is None and not self._images and draws is None:
            return batch
        inputs: Tensor = batch[0]
        if self._normalize is not None:
            inputs = self._normalize(inputs)
        if self._images:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        if draws is not None:
            inputs = self._augment.apply(inputs, draws)
        return (inputs, *batch[1:])
