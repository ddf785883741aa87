"""A split that does not fit into memory: read by worker processes while the model trains."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from hptune.data.sources.augment import Augment
from hptune.data.sources.normalize import Normalize
from hptune.data.sources.order import epoch_generator, epoch_order

BATCHES_A_WORKER = 4
_NOTHING = Augment()


class _Batches(Sampler[list[int]]):
    def __init__(self, batches: list[list[int]]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)


class _Seeded(Dataset[Any]):
    """A data set whose random transforms follow from seed, epoch and example alone."""

    def __init__(self, dataset: Any, seed: int, epoch: int) -> None:
        self._dataset, self._seed, self._epoch = dataset, seed, epoch

    def __getitem__(self, index: int) -> Any:
        mixed = np.random.SeedSequence([self._seed, self._epoch, index]).generate_state(1)[0]
        before = torch.get_rng_state(), np.random.get_state(), random.getstate()
        torch.default_generator.manual_seed(int(mixed))
        np.random.seed(mixed)
        random.seed(int(mixed))
        try:
            return self._dataset[index]
        finally:
            torch.set_rng_state(before[0])
            np.random.set_state(before[1])
            random.setstate(before[2])


class StreamSource:
    """Batches of a map-style data set, a `hptune.task.Source`.

    Args:
        dataset: Gives (input, target) by index, or whatever the task's own step takes.
        size: Examples in it.
        workers: Processes that read ahead; 0 reads in this one.
        normalize: Applied to the inputs of each batch, on the device.
        augment: Applied to training batches of images, on the device.
        collate: Makes a batch of a list of examples.
        varies: Whether the data set draws random numbers for its examples; then these follow
            from seed, epoch and example, as the augmentation's own do.
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
        varies: bool = False,
    ) -> None:
        self.dataset, self._size, self._workers = dataset, size, workers
        self._normalize, self._augment = normalize, augment
        self._device = device or torch.device("cpu")
        self._collate, self._varies = collate, varies

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
            varies=self._varies,
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
        # A worker takes longer to start than a few batches take to read.
        workers = min(self._workers, len(chosen) // BATCHES_A_WORKER)
        pinned = self._device.type == "cuda"
        loader = DataLoader(
            _Seeded(self.dataset, seed or 0, epoch) if self._varies else self.dataset,
            batch_sampler=_Batches(chosen),
            num_workers=workers,
            pin_memory=pinned,
            collate_fn=self._collate,
            # Its own generator: a loader that draws from the global one would disturb dropout.
            generator=torch.Generator(),
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
