"""Mixup and CutMix: training examples and their targets mixed in pairs, on the device.

An example is mixed with its neighbour in the order of the epoch: the first of a batch with the
second, the third with the fourth, and so on; the last one of an odd number stays as it is. How it is
mixed follows from seed, epoch and place in that order, so trials stay paired and a resumed epoch
repeats exactly.
Targets become the same mixture: numbers of numbers, and shares of the classes (B, C) of classes.

Sources: Zhang 2018, "mixup: Beyond Empirical Risk Minimization"; Yun 2019, "CutMix".
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hptune.data.sources.columns import leaves, with_leaves
from hptune.step import inputs_of, target_of, with_inputs, with_targets
from hptune.task import Batch, Source


@dataclass(frozen=True)
class Mix:
    """How examples are mixed.

    Attributes:
        mixup: Of Beta(a, a), which the own share of a weighted mean is drawn from; 0 for none.
        cutmix: Likewise of the own share of an image, the rest of which is a rectangle of another's.
            With both, each example gets the one or the other, as likely.
        classes: That targets become shares of; None where they are numbers.
    """

    mixup: float = 0.0
    cutmix: float = 0.0
    classes: int | None = None


class Mixed:
    """A split whose training batches are mixed, a `hptune.task.Source`; other readings are as they are.

    Args:
        source: The split.
        mix: How.
    """

    def __init__(self, source: Source, mix: Mix) -> None:
        self.source, self.mix, self._device = source, mix, torch.device("cpu")

    def __len__(self) -> int:
        return len(self.source)

    def to(self, device: torch.device) -> Mixed:
        """Return the source with its batches delivered on a device."""
        moved = copy(self)
        moved.source, moved._device = self.source.to(device), device
        return moved

    def batches(
        self,
        batch_size: int,
        *,
        seed: int | None = None,
        epoch: int = 0,
        skip: int = 0,
        every: int = 1,
    ) -> Iterator[Batch]:
        """Yield batches; see `hptune.task.Source.batches`."""
        found = self.source.batches(batch_size, seed=seed, epoch=epoch, skip=skip, every=every)
        if seed is None:
            yield from found
            return
        draws_N5 = _draws(self.mix, len(self), seed, epoch).to(self._device)
        for number, batch in enumerate(found):
            first = (skip + number * every) * batch_size
            yield mixed(batch, draws_N5[first : first + batch_size], self.mix)


def _draws(mix: Mix, examples: int, seed: int, epoch: int) -> Tensor:
    """Draw for each place of an epoch, (N, 5), from 0 to 1.

    Own share by mixup, own share by cutmix, row and column of a rectangle's centre, and which of the
    two; what one kind draws does not move another's.
    """
    shares = [
        np.random.default_rng([seed, epoch, 1 + k]).beta(alpha, alpha, examples)
        if alpha
        else np.ones(examples)
        for k, alpha in enumerate((mix.mixup, mix.cutmix))
    ]
    rest = np.random.default_rng([seed, epoch, 3]).random((examples, 3))
    return torch.from_numpy(np.column_stack([*shares, rest]).astype(np.float32))


def mixed(batch: Batch, draws_B5: Tensor, mix: Mix) -> Batch:
    """Return a batch, each example mixed with its neighbour as drawn."""
    targets: Tensor = target_of(batch)
    count = len(targets)
    partner = torch.arange(count, device=targets.device) ^ 1
    partner[count - count % 2 :] = count - 1
    own_B, inputs = draws_B5[:, 0], inputs_of(batch)
    share_B, inside_BHW = own_B, None
    if mix.cutmix:
        height, width = next(leaves(inputs)).shape[2:]
        cut_B = draws_B5[:, 4] < (0.5 if mix.mixup else 1.0)
        inside_BHW = _rectangles(draws_B5[:, 1], draws_B5[:, 2:4], height, width)
        inside_BHW &= cut_B[:, None, None]
        own_B = torch.where(cut_B, 1.0, own_B)
        share_B = torch.where(cut_B, 1 - inside_BHW.float().mean((1, 2)), own_B)

    def with_partner(x: Tensor) -> Tensor:
        other = x[partner]
        result = other.lerp(x, _along(own_B, x)) if mix.mixup else x
        return result if inside_BHW is None else torch.where(inside_BHW[:, None], other, result)

    inputs = with_leaves(inputs, with_partner)
    if mix.classes is not None:
        targets = functional.one_hot(targets.flatten(), mix.classes).float()
    targets = targets[partner].lerp(targets, _along(share_B, targets))
    return with_targets(with_inputs(batch, inputs), targets)


def _rectangles(own_B: Tensor, centre_B2: Tensor, height: int, width: int) -> Tensor:
    """Return which pixels (B, H, W) lie in rectangles of the rest's area; they may reach over the edge."""
    side_B = (1 - own_B).sqrt()

    def inside(centre_B: Tensor, size: int) -> Tensor:
        length = (side_B * size).round()
        begin = ((centre_B * size).floor() - (length / 2).floor())[:, None]
        place = torch.arange(size, device=own_B.device)
        return (place >= begin) & (place < begin + length[:, None])

    rows, columns = inside(centre_B2[:, 0], height), inside(centre_B2[:, 1], width)
    return rows[:, :, None] & columns[:, None, :]


def _along(share_B: Tensor, like: Tensor) -> Tensor:
    """Return shares that broadcast against examples."""
    return share_B.view(-1, *[1] * (like.ndim - 1)).to(like.dtype)


def refusal(batch: Any, mix: Mix) -> str:
    """Say why examples such as these cannot be mixed, "" where they can."""
    inputs, targets = list(leaves(inputs_of(batch))), target_of(batch)
    if not all(isinstance(x, Tensor) and x.is_floating_point() for x in inputs):
        kinds = ", ".join(str(getattr(x, "dtype", type(x).__name__)) for x in inputs)
        return f"inputs of {kinds}; needs inputs that can be averaged, in floating point"
    if mix.cutmix and not all(x.ndim == 4 for x in inputs):
        shapes = ", ".join(str(tuple(x.shape[1:])) for x in inputs)
        return f"inputs of shape {shapes}; needs images (C, H, W)"
    if not isinstance(targets, Tensor) or not targets.ndim:
        return "examples without targets; needs them"
    if targets.is_floating_point():
        return ""
    if mix.classes is None or targets.numel() != len(targets):
        shape = tuple(targets.shape[1:])
        return (
            f"targets of {targets.dtype} and shape {shape}; needs one class or numbers an example"
        )
    return ""
