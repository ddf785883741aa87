"""New data as they are predicted: batches, what each example is called, and targets where there are any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hptune.results.signature import Signature
from hptune.step import inputs_of, target_of
from hptune.task import Source

UNKNOWN = -(2**31)  # stands for the class of an example that has none; NaN for a quantity
ROW = "row"


@dataclass(frozen=True, kw_only=True)
class Examples:
    """New data.

    Attributes:
        source: Gives their batches.
        bare: Whether a batch is inputs alone, else (inputs, targets) or a dict of both.
        ids: What each example is called; None goes by its place, from 0.
        id_name: What the ids are, the name of their column.
        left_out: Ids of those that cannot be read, with the reason; complete when all were read.
        notes: What the user should know, a sentence each.
    """

    source: Source
    bare: bool = False
    ids: Sequence[Any] | None = None
    id_name: str = ROW
    left_out: dict[Any, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def divided(self, batch: Any) -> tuple[Any, Any]:
        """Return the inputs of a batch, and its targets or None."""
        if isinstance(batch, tuple | list) and len(batch) == 1:
            return batch[0], None
        bare = self.bare or isinstance(batch, Tensor)
        return (batch, None) if bare else (inputs_of(batch), target_of(batch))

    def names(self, count: int) -> list[Any]:
        """Return what the examples are called that were read, of which there are so many."""
        if self.ids is None:
            return list(range(count))
        return [name for name in self.ids if name not in self.left_out]


def class_numbers(labels: NDArray[Any], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return the class of each label, (N,), however it is written: 1, 1.0 and "1" are the same.

    UNKNOWN stands for a missing label, and for one that is no class.
    """
    alike = len({_spelled(name) for name in classes}) < len(classes)  # such as 7 and 007
    spelled = str if alike else _spelled
    places = {spelled(name): k for k, name in enumerate(classes)}
    values, at = np.unique(np.asarray([spelled(v) for v in labels.tolist()]), return_inverse=True)
    found = [places.get(str(value), UNKNOWN) for value in values]
    return np.asarray(found, dtype=np.int64)[at.reshape(-1)]


def no_targets(count: int, signature: Signature) -> NDArray[Any]:
    """Return what stands for the targets of data that have none."""
    if signature.kind == "classification":
        return np.full(count, UNKNOWN)
    return np.full((count, signature.outputs), np.nan, dtype=np.float32)


def quantities(values_NT: NDArray[Any], signature: Signature) -> NDArray[np.float32]:
    """Return a regression's targets in the units of training."""
    values = values_NT.astype(np.float64)
    if scale := signature.target_scale:
        values = (values - np.asarray(scale["mean"])) / np.asarray(scale["std"])
    return values.astype(np.float32)


def _spelled(label: Any) -> str:
    """Return a label as text, a whole number without a point."""
    text = str(label).strip()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else text
