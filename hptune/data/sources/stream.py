"""A split that does not fit into memory: read by worker processes while the model trains."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from hptune.data.sources.augment import NOTHING, Augment
from hptune.data.sources.columns import with_leaves
from hptune.data.sources.normalize import Normalize
from hptune.data.sources.order import epoch_order
from hptune.step import target_of, with_targets

BATCHES_A_WORKER = 4


class _Seeded(Dataset[Any]):
    """A data set whose random transforms follow from seed, epoch and example alone."""

    def __init__(self, dataset: Any, seed: int, epoch: int) -> None:
        self._dataset, self._seed, self._epoch = dataset, seed, epoch

    def __getitem__(self, index: int) -> Any:
        mixed = int(np.random.SeedSequence([self._seed, self._epoch, index]).generate_state(1)[0])
        before = np.random.get_state(), random.getstate()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(mixed)
            np.random.seed(mixed)
            random.seed(mixed)
            try:
                return self._dataset[index]
            finally:
                np.random.set_state(before[0])
                random.setstate(before[1])


class _Relabelled(Dataset[Any]):
    """A data set whose examples have other targets, of the type that they had."""

    def __init__(self, dataset: Any, targets: NDArray[Any]) -> None:
        self._dataset, self._targets = dataset, targets

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Any:
        example, target = self._dataset[index], self._targets[index].item()
        before = target_of(example)
        if isinstance(before, Tensor):
            changed: Any = torch.full_like(before, target)
        elif isinstance(before, np.ndarray):
            changed = np.full_like(before, target)
        else:
            changed = type(before)(target)
        return with_targets(example, changed)


class StreamSource:
    """Batches of a map-style data set, a `hptune.task.Source`.

    Args:
        dataset: Gives (input, target) by index, or whatever the task's own step takes.
        workers: Processes that read ahead; 0 reads in this one.
        normalize: Applied to the inputs of (inputs, targets), on the device; None where they are
            ready.
        augment: Applied to training batches of images that are normalised.
        collate: Makes a batch of a list of examples.
        varies: Whether the data set draws random numbers for its examples; then these follow
            from seed, epoch and example, as the augmentation's own do.
        targets: Of all examples, where they are known without reading them.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        workers: int = 2,
        normalize: Normalize | None = None,
        augment: Augment = NOTHING,
        collate: Callable[[list[Any]], Any] = default_collate,
        varies: bool = False,
        targets: NDArray[Any] | None = None,
    ) -> None:
        self.targets = targets
        self.dataset, self._workers = dataset, workers
        self._normalize, self._augment = normalize, augment
        self._collate, self._varies = collate, varies
        self._device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self.dataset)

    def sample(self, indices: Tensor) -> Any:
        """Return a batch of some examples, as they are read for evaluation, in this process."""
        examples = _Seeded(self.dataset, 0, 0)
        batch = with_leaves(self._collate([examples[k] for k in indices.tolist()]), self._on_device)
        if self._normalize is None:
            return batch
        inputs, targets = batch
        return self._normalize(inputs), targets

    def with_targets(self, targets: NDArray[Any]) -> StreamSource:
        """Return the source with others in the place of its targets."""
        changed = copy(self)
        changed.dataset, changed.targets = _Relabelled(self.dataset, targets), targets
        return changed

    def to(self, device: torch.device) -> StreamSource:
        """Return the source with its batches delivered on a device."""
        moved = copy(self)
        moved._normalize = self._normalize.to(device) if self._normalize else None
        moved._device = device
        return moved

    def batches(
        self,
        batch_size: int,
        *,
        seed: int | None = None,
        epoch: int = 0,
        skip: int = 0,
        every: int = 1,
    ) -> Iterator[Any]:
        """Yield batches; see `hptune.task.Source.batches`."""
        draws = None
        if seed is None:
            order = torch.arange(len(self))
            starts = range(skip * batch_size, len(self), every * batch_size)
        else:
            order, draws = epoch_order(len(self), seed, epoch, self._augment)
            last = len(self) - batch_size
            starts = range(skip * batch_size, last + 1, every * batch_size)
        chosen = [order[start : start + batch_size].tolist() for start in starts]
        pinned = self._device.type == "cuda"
        loader = DataLoader(
            _Seeded(self.dataset, seed or 0, epoch) if self._varies else self.dataset,
            batch_sampler=chosen,
            # A worker takes longer to start than a few batches take to read.
            num_workers=min(self._workers, len(chosen) // BATCHES_A_WORKER),
            pin_memory=pinned,
            collate_fn=self._collate,
            # Its own generator: a loader that draws from the global one would disturb dropout.
            generator=torch.Generator(),
        )
        for indices, batch in zip(chosen, loader, strict=True):
            moved = with_leaves(batch, self._on_device)
            if self._normalize is not None:
                inputs, targets = moved
                inputs = self._normalize(inputs)
                if draws is not None:
                    taken = draws.take(torch.tensor(indices)).to(self._device)
                    inputs = self._augment.apply(inputs, taken)
                moved = (inputs, targets)
            yield moved

    def _on_device(self, leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return leaf.to(self._device, non_blocking=self._device.type == "cuda")
        return leaf.to(self._device) if hasattr(leaf, "to") else leaf  # a type of the user's own
