"""Passes over a loader of the user's own, one after another, in an order that can be found again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from hptune.errors import InputError


def batches_of(loader: Any, *, seed: int, first: int) -> Iterator[Any]:
    """Yield the batches of a loader, pass after pass without end.

    Args:
        loader: A DataLoader, or anything else that can be iterated anew.
        seed: With the number of a pass it decides the order of that pass.
        first: Batches that were yielded before, where a run goes on.

    Raises:
        InputError: A pass has no batch.
    """
    length = len(loader) if hasattr(loader, "__len__") else None
    epoch, skip = divmod(first, length) if length else (0, 0)
    while True:
        with _order_of(seed, epoch):
            set_epoch = getattr(getattr(loader, "sampler", None), "set_epoch", None)
            if set_epoch is not None:
                set_epoch(epoch)
            passing = iter(loader)
            batch = next(passing, passing)  # which draws the order
        if batch is passing:
            raise InputError(
                "trial.batches: the loader has no batch; must have one at least a pass, each pass; "
                "check its data, the batch size and drop_last, and give no generator"
            )
        while batch is not passing:
            if skip:
                skip -= 1
            else:
                yield batch
            batch = next(passing, passing)
        epoch += 1


@contextmanager
def _order_of(seed: int, epoch: int) -> Iterator[None]:
    """Draw what is drawn in the block by seed and epoch alone."""
    before = torch.get_rng_state()
    torch.default_generator.manual_seed((seed * 1_000_003 + epoch) % 2**63)
    try:
        yield
    finally:
        torch.set_rng_state(before)
