"""Sharpness-aware minimisation: the gradient of a step is that where the loss is highest nearby.

Two passes over the batch a step: the first gives the loss that is recorded, the running averages of
normalisation layers and the direction; the second, at w + rho g / |g|, the gradients that the
optimizer gets, with the random numbers of the first, so that both drop the same activations. What is
clipped, or scaled for float16, is the second; the direction depends on no scale.

Source: Foret et al. 2021, "Sharpness-Aware Minimization for Efficiently Improving Generalization".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hptune.training.device import random_state, restore_random_state

EPSILON = 1e-12  # beside the norm of the gradient, which may be 0


def sharpness_aware(
    passes: Callable[[], Tensor], models: Sequence[nn.Module], rho: float, device: torch.device
) -> Tensor:
    """Leave models their gradients at the worst weights within `rho`; return the losses at their own.

    Args:
        passes: Over one batch, the same one each time; adds the gradients of each model to its
            parameters', and returns the losses, detached.
        models: Each has a radius of its own, in the norm of all of its weights.
        rho: The radius.
        device: Of the models.
    """
    drawn = random_state(device)
    losses = passes()
    with _at_the_worst(models, rho):
        restore_random_state(drawn, device)
        passes()
    return losses


@contextmanager
def _at_the_worst(models: Sequence[nn.Module], rho: float) -> Iterator[None]:
    """Move weights up their gradients and drop these; afterwards weights and buffers are as before."""
    moved: list[Tensor] = [buffer for model in models for buffer in model.buffers()]
    kept = [buffer.clone() for buffer in moved]
    for model in models:
        own: list[Tensor] = [p for p in model.parameters() if p.grad is not None]
        gradients = [p.grad for p in own if p.grad is not None]
        moved += own
        kept += [p.detach().clone() for p in own]
        with torch.no_grad():  # nothing here waits for the device
            factor = rho / (nn.utils.get_total_norm(gradients) + EPSILON)
            torch._foreach_add_(own, torch._foreach_mul(gradients, factor))
        for parameter in own:
            parameter.grad = None
    try:
        yield
    finally:
        with torch.no_grad():
            for value, before in zip(moved, kept, strict=True):
                value.copy_(before)
