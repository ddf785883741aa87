"""The order of examples in an epoch, the same for every batch size and executor."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """Return a CPU generator for an epoch.

    torch's CPU generator uses 32 bits of its seed, so seed and epoch are mixed first.
    """
    mixed = np.random.SeedSequence([seed, epoch]).generate_state(1)[0]
    return torch.Generator().manual_seed(int(mixed))


def epoch_order(examples: int, generator: torch.Generator) -> Tensor:
    """Return a permutation of the examples, (N,) int64."""
    return torch.randperm(examples, generator=generator)
