"""A split that is held in memory as tensors, on the device that trains."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from hptune.data.sources.augment import Augment
from hptune.data.sources.normalize import Normalize
from hptune.data.sources.order import epoch_generator, epoch_order

# An epoch of at most this size is shuffled in one go, batches are then slices of it.
GATHER_BYTES = 64 * 2**20
_NOTHING = Augment()


class TensorSource:
    """Batches of tensors, a `hptune.task.Source`.

    Args:
        inputs: (N, ...), uint8 or float32.
        targets: (N,) int64 for classes, (N, T) float32 for a regression.
        normalize: Applied to each batch; None where the inputs are ready.
        augment: Applied to training batches of images.
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        *,
        normalize: Normalize | None = None,
        augment: Augment = _NOTHING,
    ) -> None:
        assert len(inputs) == len(targets)
        # Floats are normalised once; uint8 stays small and is normalised batch by batch.
        if normalize is not None and inputs.dtype != torch.uint8:
            inputs, normalize = normalize(inputs), None
        self.inputs, self.targets = inputs, targets
        self._normalize, self._augment = normalize, augment
        self._on: dict[torch.device, TensorSource] = {}

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> TensorSource:
        """Return the source on a device; copied there once, however often it is asked for."""
        if device == self.inputs.device:
            return self
        if device not in self._on:
            self._on[device] = TensorSource(
                self.inputs.to(device),
                self.targets.to(device),
                normalize=self._normalize.to(device) if self._normalize else None,
                augment=self._augment,
            )
        return self._on[device]

    def batches(
        self, batch_size: int, *, seed: int | None = None, epoch: int = 0, skip: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (inputs, targets); see `hptune.task.Source.batches`."""
        if seed is None:
            return self._in_order(batch_size)
        return self._shuffled(batch_size, seed, epoch, skip)

    def _in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self), batch_size):
            part = slice(start, start + batch_size)
            yield self._ready(self.inputs[part]), self.targets[part]

    def _shuffled(
        self, batch_size: int, seed: int, epoch: int, skip: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        device = self.inputs.device
        generator = epoch_generator(seed, epoch)
        order = epoch_order(len(self), generator)
        # Drawn by example, not by place, and for all: the draws do not depend on the batch size.
        draws = self._augment.draw(len(self), generator).to(device) if self._augment else None
        order = order.to(device)
        targets = self.targets.index_select(0, order)
        gathered = None
        whole = len(self) - len(self) % batch_size
        if skip * batch_size >= whole:
            return
        if self.inputs.numel() * self.inputs.element_size() <= GATHER_BYTES:
            gathered = self.inputs.index_select(0, order)
            if self._normalize is None and draws is None and gathered.ndim != 4:
                # Ready as they are: all slices in one call.
                first = skip * batch_size
                yield from zip(
                    torch.split(gathered[first:whole], batch_size),
                    torch.split(targets[first:whole], batch_size),
                    strict=True,
                )
                return
        for start in range(skip * batch_size, whole, batch_size):
            part = slice(start, start + batch_size)
            chosen = order[part]
            inputs = self.inputs.index_select(0, chosen) if gathered is None else gathered[part]
            inputs = self._ready(inputs)
            if draws is not None:
                inputs = self._augment.apply(inputs, draws.take(chosen))
            yield inputs, targets[part]

    def _ready(self, inputs: Tensor) -> Tensor:
        if self._normalize is not None:
            inputs = self._normalize(inputs)
        if inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return inputs
