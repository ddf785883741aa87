"""What the outputs of a model are, from one small batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hptune.step import fitted


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


def probe(outputs: Any, targets: Any) -> Probe:
    """Say what the outputs of a batch are."""
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        return Probe(None, 0)
    whole = not targets.is_floating_point()
    outputs, targets = fitted(outputs, targets)
    if not outputs.is_floating_point():
        return Probe(None, 0)
    width = int(outputs.shape[1]) if outputs.ndim > 1 else 1
    if whole and outputs.ndim != targets.ndim + 1 and outputs.shape != targets.shape:
        return Probe(None, width)
    return Probe("classification" if whole else "regression", width)
