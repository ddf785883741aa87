"""Batch norms over parts of a batch: the noise of small batches at the speed of large ones.

In training each part is normalised by its own mean and variance, as a batch of its own; in evaluation
nothing changes. The running averages take the mean of what the parts have, at the layer's own
momentum, so they move as fast a step as they do without. (Hoffer takes in part after part, so that an
average covers the last few parts alone.)

Source: Hoffer 2017, "Train longer, generalize better", algorithm 1.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from hptune.errors import InputError

_KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class GhostBatchNorm(nn.Module):
    """What a batch norm becomes; its parameters, averages and names stay.

    Attributes:
        ghost_batch: Examples of a part, about.
    """

    ghost_batch: int
    momentum: float | None

    def forward(self, batch: Tensor) -> Tensor:
        """Return a batch, normalised in as many equal parts as come nearest to the examples of one."""
        parts = min(round(len(batch) / self.ghost_batch), len(batch) // 2)
        own: Any = super().forward
        if not self.training or parts < 2:
            normalized: Tensor = own(batch)
            return normalized
        momentum, outputs = self.momentum, []
        try:
            for done, part in enumerate(batch.tensor_split(parts), 1):
                if momentum is not None:  # else the layer averages over all parts by itself
                    # So that in the end each part counts momentum / parts.
                    share = momentum / parts
                    self.momentum = share / (1 - momentum + done * share) if share else 0.0
                outputs.append(own(part))
        finally:
            self.momentum = momentum
        return torch.cat(outputs)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to pickle it: its class is made anew."""
        return _unmade, (type(self).__bases__[1],), self.__dict__


def _unmade(kind: Any) -> Any:
    ghost = _ghost_of(kind)
    return ghost.__new__(ghost)


def with_ghost_batches(model: nn.Module, examples: int, name: str) -> nn.Module:
    """Let all batch norms of a model, also those of a class of their own, go by parts of a batch.

    Args:
        model: Changed in place.
        examples: Of a part.
        name: What the model is called.

    Raises:
        InputError: It has no batch norm.
    """
    found: list[Any] = [module for module in model.modules() if isinstance(module, _KINDS)]
    if not found:
        raise InputError(
            f"model.ghost_batch: {examples}; model {name} has no batch norm; leave it out"
        )
    for module in found:
        kind: Any = type(module)
        if not issubclass(kind, GhostBatchNorm):
            module.__class__ = _ghost_of(kind)
        module.ghost_batch = examples
    return model


@cache
def _ghost_of(kind: Any) -> Any:
    """Return a class that is this one but for its parts."""
    return type(f"Ghost{kind.__name__}", (GhostBatchNorm, kind), {})
