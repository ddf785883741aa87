"""Passes over a loader of the user's own, one after another, in an order that can be found again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from hptune.errors import InputError
from hptune.training.device import random_state, restore_random_state


def batches_of(loader: Any, *, seed: int, first: int) -> Iterator[Any]:
    """Yield the batches of a loader, pass after pass without end.

    Args:
        loader: A DataLoader, or anything else that can be iterated anew.
        seed: With the number of a pass it decides the order of that pass.
        first: Batches that were yielded before, where a run goes on.

    Raises:
        InputError: A pass has no batch.
    """
    try:
        length = len(loader)
    except TypeError:  # of a stream
        length = 0
    epoch, skip = divmod(first, length) if length else (0, first)
    # What is skipped may draw an augmentation, which the run that goes on has drawn already.
    before = random_state() if skip else None
    while True:
        with _order_of(loader, seed, epoch):
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
        while skip and batch is not passing:
            skip -= 1
            if skip == 0 and before is not None:
                restore_random_state(before)
            batch = next(passing, passing)
        while batch is not passing:
            yield batch
            batch = next(passing, passing)
        epoch += 1


@contextmanager
def _order_of(loader: Any, seed: int, epoch: int) -> Iterator[None]:
    """Draw what is drawn in the block by seed and epoch alone."""
    drawn = (seed * 1_000_003 + epoch) % 2**63
    own = getattr(loader, "generator", None)
    if isinstance(own, torch.Generator):
        own.manual_seed(drawn)
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(drawn)
    try:
        yield
    finally:
        torch.set_rng_state(before)
