"""A split that does not fit into memory: read by worker processes while the model trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from hptune.data.augment import Augment
from hptune.data.normalize import Normalize
from hptune.data.order import epoch_generator, epoch_order

_NOTHING = Augment()


class _Batches(Sampler[list[int]]):
    def __init__(self, batches: list[list[int]]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)


class StreamSource:
    """Batches of a map-style data set, a `hptune.task.Source`.

    Args:
        dataset: Gives (input, target) by index, or whatever the task's own step takes.
        size: Examples in it.
        workers: Processes that read ahead; 0 reads in this one.
        normalize: Applied to the inputs of each batch, on the device.
        augment: Applied to training batches of images, on the device.
        collate: Makes a batch of a list of examples.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        size: int,
        *,
        workers: int = 2,
        normalize: Normalize | None = None,
        augment: Augment = _NOTHING,
        device: torch.device | None = None,
        collate: Callable[[list[Any]], Any] = default_collate,
    ) -> None:
        self.dataset, self._size, self._workers = dataset, size, workers
        self._normalize, self._augment = normalize, augment
        self._device = device or torch.device("cpu")
        self._collate = collate

    def __len__(self) -> int:
        return self._size

    def to(self, device: torch.device) -> StreamSource:
        """Return the source with its batches delivered on a device."""
        return StreamSource(
            self.dataset,
            self._size,
            workers=self._workers,
            normalize=self._normalize.to(device) if self._normalize else None,
            augment=self._augment,
            device=device,
            collate=self._collate,
        )

    def batches(
        self, batch_size: int, *, seed: int | None = None, epoch: int = 0, skip: int = 0
    ) -> Iterator[Any]:
        """Yield batches; see `hptune.task.Source.batches`."""
        draws = None
        if seed is None:
            order = torch.arange(self._size)
            starts = range(0, self._size, batch_size)
        else:
            generator = epoch_generator(seed, epoch)
            order = epoch_order(self._size, generator)
            if self._augment:
                draws = self._augment.draw(self._size, generator)
            starts = range(skip * batch_size, self._size - batch_size + 1, batch_size)
        chosen = [order[start : start + batch_size].tolist() for start in starts]
        pinned = self._device.type == "cuda"
        loader = DataLoader(
            self.dataset,
            batch_sampler=_Batches(chosen),
            num_workers=self._workers,
            pin_memory=pinned,
            collate_fn=self._collate,
            # Its own generator: a loader that draws from the global one would disturb dropout.
            # It seeds the workers, whose own random transforms must differ from pass to pass.
            generator=epoch_generator(seed or 0, epoch),
        )
        for indices, batch in zip(chosen, loader, strict=True):
            moved = _move(batch, self._device, non_blocking=pinned)
            if isinstance(moved, list | tuple) and len(moved) == 2:
                inputs, targets = moved
                if self._normalize is not None:
                    inputs = self._normalize(inputs)
                if draws is not None:
                    taken = draws.take(torch.tensor(indices)).to(self._device)
                    inputs = self._augment.apply(inputs, taken)
                moved = (inputs, targets)
            yield moved


def _move(batch: Any, device: torch.device, *, non_blocking: bool) -> Any:
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=non_blocking)
    if isinstance(batch, Mapping):
        return {k: _move(v, device, non_blocking=non_blocking) for k, v in batch.items()}
    if isinstance(batch, list | tuple):
        moved = [_move(v, device, non_blocking=non_blocking) for v in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else moved
    return batch.to(device) if hasattr(batch, "to") else batch  # a type of the user's own
