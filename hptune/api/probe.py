"""What the outputs of a model are, from one small batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hptune.losses import fit_as_numbers, fitted


@dataclass(frozen=True)
class Probe:
    """What one batch showed.

    Attributes:
        kind: "classification" for whole numbers as targets, "regression" for others; None where
            outputs or targets are not known.
        outputs: Classes, labels or numbers; 0 where not known.
    """

    kind: str | None
    outputs: int


def probe(outputs: Any, targets: Any, *, numbers: bool = False) -> Probe:
    """Say what the outputs of a batch are.

    Args:
        outputs: Of a model.
        targets: Of the same batch.
        numbers: Whether the loss compares them number by number, whatever their type.
    """
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        return Probe(None, 0)
    if numbers or targets.is_floating_point():
        width = int(outputs.shape[1]) if outputs.ndim > 1 else 1
        known = outputs.is_floating_point() and fit_as_numbers(outputs, targets)
        return Probe("regression" if known else None, width)
    outputs, targets = fitted(outputs, targets)
    width = int(outputs.shape[1]) if outputs.ndim > 1 else 1
    if outputs.ndim != targets.ndim + 1 and outputs.shape != targets.shape:
        return Probe(None, width)
    return Probe("classification" if outputs.is_floating_point() else None, width)
