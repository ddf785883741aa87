"""The order of examples in an epoch, the same for every batch size and executor."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hptune.data.sources.augment import Augment, Draws


def epoch_order(
    examples: int, seed: int, epoch: int, augment: Augment
) -> tuple[Tensor, Draws | None]:
    """Return a permutation of the examples, (N,) int64, and what augments each, None where nothing does.

    It is drawn by example, not by place, and for all: it does not depend on the batch size.
    """
    # torch's CPU generator uses 32 bits of its seed, so seed and epoch are mixed first.
    mixed = np.random.SeedSequence([seed, epoch]).generate_state(1)[0]
    generator = torch.Generator().manual_seed(int(mixed))
    order = torch.randperm(examples, generator=generator)
    return order, augment.draw(examples, generator) if augment else None
