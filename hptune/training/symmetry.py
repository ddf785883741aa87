"""Units of one layer that cannot learn apart: weights into and out of them are equal, and stay so.

Weights that begin equal are no sign of it: a head, or the last layer of a residual branch, begins at
zero in many nets, and its units are told apart by the first gradients, or by those after the layers
behind it have begun to move. So a few steps are taken, along random directions of the outputs, which
tell every class from every other. Units whose steps are the same in all of them stay one for ever.
Dropout, and whatever else tells units apart while a net trains, does so here.

Only a net that has units of equal weights takes these steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hptune.step import Step
from hptune.task import Batch
from hptune.training.evaluation import batch_size_of
from hptune.training.initial_weights import unit_weights

STEPS = 4  # until what is behind zeros behind zeros has moved
EXAMPLES = 8  # of the batch: enough to tell units apart
LENGTH = 0.1  # of a step, the norm over all weights
ALIKE = 1e-3  # of its own norm: how far the steps of one unit are from those of another
_LOOKED_AT = 64  # weights of a unit, to find those that may be equal
_SHOWN = 3  # layers in the message at most


@dataclass
class _Layer:
    """Units that begin with equal weights.

    Attributes:
        name: Of the parameter.
        of: Its id.
        weights: Into all of the layer's units, (units, ...), a view of the parameter.
        groups: Number of the group of those that are equal up to now, -1 for none, (units,).
        before: The weights as they were.
    """

    name: str
    of: int
    weights: Tensor
    groups: Tensor
    before: Tensor

    @property
    def count(self) -> int:
        """Units that are equal to another up to now."""
        return int((self.groups >= 0).sum())


def symmetric_units(model: nn.Module, step: Step, batch: Batch) -> str:
    """Return which units of a fresh model cannot learn apart, in a line; "" where all can.

    Args:
        model: In training mode. Its weights and averages are changed.
        step: Computes its outputs; nothing is said where it gives none.
        batch: Of training examples.
    """
    layers, generator = _equal_at_first(model), torch.Generator().manual_seed(0)
    few = _first(batch, EXAMPLES) if layers else batch
    for _ in range(STEPS):
        reached = _take_step(model, step, few, generator) if layers else None
        if reached is None:
            return ""
        for layer in layers:
            layer.groups = _still_equal(layer)
        layers = [layer for layer in layers if layer.count and layer.of in reached]
    told = [f"{layer.count} of {len(layer.weights)} in layer {layer.name}" for layer in layers]
    if not told:
        return ""
    shown = ", ".join(told[:_SHOWN]) + f" and {len(told) - _SHOWN} more" * (len(told) > _SHOWN)
    return (
        f"units that begin equal and cannot learn apart: {shown}; draw the weights into and out of them "
        "at random, by another model.init or where the model sets them"
    )


def _equal_at_first(model: nn.Module) -> list[_Layer]:
    found = []
    for at, module in model.named_modules():
        trained = {
            name: id(p) for name, p in module.named_parameters(recurse=False) if p.requires_grad
        }
        for name, parts in unit_weights(module).items():
            for weights in parts if name in trained else ():
                groups = _groups(weights.flatten(1)) if len(weights) > 1 else None
                if groups is not None:
                    layer = f"{at}.{name}".removeprefix(".").removesuffix(".weight")
                    found.append(_Layer(layer, trained[name], weights, groups, weights.clone()))
    return found


def _groups(rows_UI: Tensor) -> Tensor | None:
    """Return which rows are equal, by the number of their group; None where none are."""
    part = rows_UI[:, :_LOOKED_AT].double()
    sums = part @ torch.linspace(1, 2, part.shape[1]).to(part).sqrt()
    order = sums.argsort()
    # Only neighbours of almost one sum can be equal: the others need no comparison.
    gaps = sums[order].diff()
    close = (gaps <= 1e-12 * part.abs().sum(1).max()).nonzero()[:, 0]
    same = torch.zeros(len(gaps), dtype=torch.bool, device=gaps.device)
    same[close] = (rows_UI[order[close + 1]] == rows_UI[order[close]]).all(1)
    return _numbered(order, same) if same.any() else None


def _numbered(order: Tensor, same: Tensor) -> Tensor:
    """Return numbers of the groups of neighbours that are the same, -1 for who is alone.

    Args:
        order: Of units, (units,).
        same: Whether each is the same as the next in this order, (units - 1,).
    """
    groups = torch.zeros_like(order)
    groups[order[1:]] = (~same).cumsum(0)
    return groups.masked_fill(groups.bincount()[groups] == 1, -1)


def _first(batch: Batch, count: int) -> Batch:
    """Return some examples of a batch of tensors, any other one whole."""
    size = batch_size_of(batch)
    parts = batch.values() if isinstance(batch, Mapping) else batch
    if type(batch) not in (tuple, list, dict) or not all(
        isinstance(part, Tensor) and part.ndim and len(part) == size for part in parts
    ):
        return batch
    if isinstance(batch, Mapping):
        return {name: part[:count] for name, part in batch.items()}
    return type(batch)(part[:count] for part in batch)


def _take_step(
    model: nn.Module, step: Step, batch: Batch, generator: torch.Generator
) -> set[int] | None:
    """Take a step; return the ids of what the outputs depend on, None where they are not known."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    try:
        outputs = step(model, batch)[1]
    except Exception:  # of a model that takes no batch so small
        return None
    if not isinstance(outputs, Tensor) or not outputs.requires_grad:
        return None
    # Not the loss: of classes that are not in the batch, or where outputs are huge, all are alike to it.
    along = (outputs * torch.randn(outputs.shape, generator=generator).to(outputs)).sum()
    gradients = torch.autograd.grad(along, parameters, allow_unused=True)
    pairs = zip(parameters, gradients, strict=True)
    reached = [(parameter, gradient) for parameter, gradient in pairs if gradient is not None]
    norm = torch.stack([gradient.norm() for _, gradient in reached]).norm()
    if not torch.isfinite(norm):
        return None
    with torch.no_grad():
        for parameter, gradient in reached:
            parameter.sub_(LENGTH / norm.clamp(min=1e-30) * gradient)
    return {id(parameter) for parameter, _ in reached}


def _still_equal(layer: _Layer) -> Tensor:
    """Return the groups of units that were equal and have made the same steps."""
    steps_UI = (layer.weights - layer.before).flatten(1).double()
    norms, own = steps_UI.norm(dim=1), layer.before.flatten(1).norm(dim=1)
    slack = ALIKE * norms + 1e-6 * own  # the latter is rounded away
    generator = torch.Generator().manual_seed(0)
    along = torch.randn(steps_UI.shape[1], generator=generator, dtype=torch.float64)
    order = (steps_UI @ along.to(steps_UI.device)).argsort()
    order = order[layer.groups[order].argsort(stable=True)]  # by group, and by step within it
    first, second = order[:-1], order[1:]
    together = (layer.groups[first] == layer.groups[second]) & (layer.groups[first] >= 0)
    apart = (steps_UI[first] - steps_UI[second]).norm(dim=1)
    return _numbered(order, together & (apart <= slack[first].maximum(slack[second])))
