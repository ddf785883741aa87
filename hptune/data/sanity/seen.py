"""What is seen of a split before any trial: some of its examples, spread evenly over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hptune.data.sources.columns import leaves, take
from hptune.data.sources.memory import TensorSource
from hptune.data.sources.stream import StreamSource
from hptune.step import inputs_of, target_of
from hptune.task import Source

_READ, _READ_BYTES = 2_000, 2**21  # that the model would get, of a split in memory
_COMPARED, _COMPARED_BYTES = 100_000, 2**28  # with each other
_DECODED = 64  # of a stream, or of a source of the user's own
_AT_ONCE = 1024  # rows


@dataclass(frozen=True)
class Seen:
    """What was seen of a split.

    Attributes:
        name: "training", "validation" or "test".
        size: Its examples.
        inputs: What the model gets of some examples, tensors (S, ...).
        keys: Of K examples, S or more, (K,): the same number where the inputs are the same.
        targets: Of these K examples, None where there are none.
        all_targets: Of all examples, None where they cannot be had without reading each.
    """

    name: str
    size: int
    inputs: list[Tensor]
    keys: NDArray[np.int64]
    targets: NDArray[Any] | None
    all_targets: NDArray[Any] | None

    def count(self, examples: int, of: int) -> str:
        """Return a number of examples with how many were looked at."""
        looked = "" if of == self.size else f" (looked at, of {self.size:,})"
        return f"{examples:,} of {of:,} {self.name} examples{looked}"


def see(name: str, source: Source) -> Seen:
    """Look at a split; no random number of the caller's is drawn."""
    size = len(source)
    known = source.targets if isinstance(source, TensorSource | StreamSource) else None
    all_targets = _array(known)
    if isinstance(source, TensorSource):
        row = sum(leaf[:1].numel() * leaf.element_size() for leaf in leaves(source.columns))
        batch = source.sample(_spread(size, min(_READ, _READ_BYTES // max(1, row))))
        compared = _spread(size, min(_COMPARED, _COMPARED_BYTES // max(1, row)))
        parts = [_inputs(take(source.columns, part)) for part in torch.split(compared, _AT_ONCE)]
        keys = [key for part in parts for key in _keys(part)]
    else:
        compared = _spread(size, _DECODED)
        if isinstance(source, StreamSource):
            batch = source.sample(compared)
        else:
            batch, all_targets = next(iter(source.batches(len(compared)))), None
        keys = _keys(_inputs(batch))
    targets = _array(target_of(batch)) if all_targets is None else all_targets[compared.numpy()]
    inputs = [leaf.detach().cpu() for leaf in _inputs(batch)]
    name = "training" if name == "train" else name
    return Seen(name, size, inputs, np.array(keys, dtype=np.int64), targets, all_targets)


def _spread(size: int, most: int) -> Tensor:
    """Return indices spread evenly over a split."""
    return torch.from_numpy(np.linspace(0, size - 1, max(1, min(size, most))).astype(np.int64))


def _inputs(batch: Any) -> list[Tensor]:
    """Return the tensors of a batch besides its targets."""
    inputs = batch if isinstance(batch, Tensor) else inputs_of(batch)
    return [leaf for leaf in leaves(inputs) if isinstance(leaf, Tensor) and leaf.ndim]


def _keys(inputs: list[Tensor]) -> list[int]:
    """Return a number an example that is the same where all its inputs are."""
    if not inputs:
        return []
    # Minus zero is zero.
    rows = [leaf.detach() + 0.0 if leaf.is_floating_point() else leaf for leaf in inputs]
    flat = [leaf.reshape(len(leaf), -1).contiguous().cpu().view(torch.uint8) for leaf in rows]
    return [hash(row.tobytes()) for row in torch.cat(flat, dim=1).numpy()]


def _array(targets: Any) -> NDArray[Any] | None:
    if isinstance(targets, Tensor):
        targets = targets.detach().cpu()
        array: NDArray[Any] = (targets.float() if targets.is_floating_point() else targets).numpy()
        return array
    return targets if isinstance(targets, np.ndarray) else None
