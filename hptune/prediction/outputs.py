"""What the outputs of a model mean: probabilities of classes or labels, or quantities; and their means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hptune.results.signature import Signature
from hptune.step import outputs_in

_ROUNDING = 1e-3


def probabilities(outputs: Tensor, signature: Signature) -> Tensor | None:
    """Return the probabilities of classes (N, ..., C) or of labels (N, L), None for quantities.

    Outputs of a classifier that are probabilities already stay what they are.
    """
    outputs = outputs.float()
    if signature.kind == "multilabel":
        labels = outputs.reshape(len(outputs), -1)
        return labels.sigmoid() if signature.logits else labels
    if signature.kind != "classification":
        return None
    outputs = outputs.movedim(_axis(outputs, signature.outputs), -1)
    return outputs if _are_shares(outputs) else outputs.softmax(-1)


def averaged(members: Sequence[Tensor], signature: Signature) -> Tensor:
    """Return outputs whose probabilities are the mean of those of several models' outputs.

    They mean what one model's outputs do, logits for a classifier, so that its loss and metrics
    can be computed. Quantities are averaged as they are.
    """
    stacked = torch.stack([member.float() for member in members])
    count = math.log(len(members))
    if signature.kind == "classification":
        axis = 1 + _axis(stacked[0], signature.outputs)
        mixed = stacked.log_softmax(axis).logsumexp(0) - count
        return torch.where(_are_shares(stacked.movedim(axis, -1)), stacked.mean(0), mixed)
    if signature.kind == "multilabel" and signature.logits:
        on, off = (nn.functional.logsigmoid(sign * stacked).logsumexp(0) for sign in (1, -1))
        return on - off
    return stacked.mean(0)


class Ensemble(nn.Module):
    """Several models as one, by the mean of their probabilities, or of their quantities."""

    def __init__(self, members: Sequence[nn.Module], signature: Signature) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self._signature = signature

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """Return outputs that mean what a member's do."""
        found = [outputs_in(member(*inputs, **named)) for member in self.members]
        return averaged(found, self._signature)


def _axis(outputs: Tensor, classes: int) -> int:
    """Return which dimension is the classes: the second, else the last."""
    return 1 if outputs.ndim < 3 or outputs.shape[1] == classes else outputs.ndim - 1


def _are_shares(outputs: Tensor) -> Tensor:
    sums = outputs.sum(-1)
    return (outputs >= 0).all() & ((sums - 1).abs().max() < _ROUNDING)
