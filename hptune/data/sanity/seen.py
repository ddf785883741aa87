"""What is seen of a split before any trial: some of its examples, spread evenly over it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hptune.data.sources.columns import leaves, take
from hptune.data.sources.memory import TensorSource
from hptune.data.sources.stream import StreamSource
from hptune.errors import InputError, one_line
from hptune.step import inputs_of, target_of
from hptune.task import Source

_READ, _READ_BYTES = 2_000, 2**23  # that the model would get, of a split in memory
_COMPARED, _COMPARED_BYTES = 100_000, 2**28  # with each other
_DECODED, _DECODED_BYTES = 64, 2**27  # of a stream, or of a source of the user's own
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

    def without(self, label: int) -> Seen:
        """Return the same where a label is no class: -1 stands in its place."""

        def changed(targets: NDArray[Any] | None) -> NDArray[Any] | None:
            if targets is None or targets.dtype.kind not in "iu":
                return targets
            return np.where(targets == label, -1, targets.astype(np.int64))

        return replace(self, targets=changed(self.targets), all_targets=changed(self.all_targets))


def see(name: str, source: Source) -> Seen:
    """Look at a split; no random number of the caller's is drawn.

    Raises:
        InputError: Examples cannot be read, or do not make a batch.
    """
    size = len(source)
    held = isinstance(source, TensorSource)
    most, most_bytes = (_READ, _READ_BYTES) if held else (_DECODED, _DECODED_BYTES)
    with _explained(name):
        row = sum(leaf.nbytes for leaf in _inputs(_sample(source, torch.tensor([0])), 1))
        read = _spread(size, min(most, most_bytes // max(1, row)))
        batch = _sample(source, read)
    inputs, targets = _inputs(batch, len(read)), _array(target_of(batch))
    all_targets = None
    if isinstance(source, TensorSource | StreamSource):
        all_targets = _array(source.targets)
    keys = [] if held else _keys(inputs)
    if (
        all_targets is not None
        and not held
        and not np.array_equal(all_targets[read], np.asarray(targets))
    ):
        all_targets = None  # a transform makes others of what the data set holds
    if isinstance(source, TensorSource):
        row = sum(leaf[:1].nbytes for leaf in leaves(source.columns))
        compared = _spread(size, min(_COMPARED, _COMPARED_BYTES // max(1, row)))
        for part in torch.split(compared, _AT_ONCE):
            keys += _keys(_inputs(take(source.columns, part), len(part)))
        targets = None if all_targets is None else all_targets[compared.numpy()]
    name = "training" if name == "train" else name
    return Seen(name, size, inputs, np.array(keys, dtype=np.int64), targets, all_targets)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # of the user's own data set
        raise InputError(
            f"{name}: examples do not make a batch ({type(error).__name__}: {one_line(error)}); "
            "must be tensors of one shape or numbers, in tuples or dicts; correct the data set, or "
            "give a DataLoader with a collate_fn"
        ) from error


def _sample(source: Source, indices: Tensor) -> Any:
    if isinstance(source, TensorSource | StreamSource):
        return source.sample(indices)
    return next(iter(source.batches(len(indices))))  # of the user's own, which has no indices


def _spread(size: int, most: int) -> Tensor:
    """Return indices spread evenly over a split."""
    return torch.from_numpy(np.linspace(0, size - 1, max(1, min(size, most))).astype(np.int64))


def _inputs(batch: Any, examples: int) -> list[Tensor]:
    """Return the tensors of a batch that have a row an example, besides its targets."""
    inputs = batch if isinstance(batch, Tensor) else inputs_of(batch)
    found = [leaf for leaf in leaves(inputs) if isinstance(leaf, Tensor) and leaf.numel()]
    rows = [leaf.detach().cpu() for leaf in found if leaf.ndim and len(leaf) == examples]
    return [torch.view_as_real(leaf) if leaf.is_complex() else leaf for leaf in rows]


def _keys(inputs: list[Tensor]) -> list[int]:
    """Return a number an example that is the same where all its inputs are."""
    if not inputs:
        return []
    # Minus zero is zero.
    rows = [leaf + 0.0 if leaf.is_floating_point() else leaf for leaf in inputs]
    flat = [leaf.reshape(len(leaf), -1).contiguous().view(torch.uint8) for leaf in rows]
    return [hash(row.tobytes()) for row in torch.cat(flat, dim=1).numpy()]


def _array(targets: Any) -> NDArray[Any] | None:
    if isinstance(targets, Tensor):
        targets = targets.detach().cpu()
        array: NDArray[Any] = (targets.float() if targets.is_floating_point() else targets).numpy()
        return array
    return targets if isinstance(targets, np.ndarray) else None
