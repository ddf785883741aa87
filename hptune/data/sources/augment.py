"""Augmentation of whole batches: random mirror, crop and cutout, drawn for each example."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Draws(NamedTuple):
    """What was drawn for each of N examples; a None is not applied."""

    flip: Tensor | None  # (N,) bool
    crop: Tensor | None  # (N, 2) offsets in rows and columns, pixels
    cutout: Tensor | None  # (N, 2) centre, fraction of height and width

    @property
    def drawn(self) -> tuple[Tensor, ...]:
        """What is applied."""
        return tuple(drawn for drawn in self if drawn is not None)

    def take(self, rows: Tensor) -> Draws:
        """Return the draws of some examples."""
        return Draws(*(None if drawn is None else drawn[rows] for drawn in self))

    def to(self, device: torch.device) -> Draws:
        """Return the draws on a device."""
        return Draws(*(None if drawn is None else drawn.to(device) for drawn in self))


@dataclass(frozen=True)
class Augment:
    """Random changes of images (B, C, H, W), normalised already: what is blank is the mean.

    Attributes:
        flip: Whether half of the images are mirrored.
        crop: Pixels of padding on each side, from which an image of the old size is cut.
        cutout: Side of a square that is blanked, pixels; it may reach over the edge.
    """

    flip: bool = False
    crop: int = 0
    cutout: int = 0

    def __bool__(self) -> bool:
        return self.flip or self.crop > 0 or self.cutout > 0

    def draw(self, examples: int, generator: torch.Generator) -> Draws:
        """Draw for every example of an epoch; what one kind draws does not move another's."""
        flip = torch.rand(examples, generator=generator) < 0.5
        crop = torch.rand(examples, 2, generator=generator)
        cutout = torch.rand(examples, 2, generator=generator)
        return Draws(
            flip=flip if self.flip else None,
            crop=(crop * (2 * self.crop + 1)).long() if self.crop else None,
            cutout=cutout if self.cutout else None,
        )

    def draws(self, drawn: Iterable[Tensor]) -> Draws:
        """Return draws again from what is applied of them."""
        each = iter(drawn)
        return Draws(*(next(each) if on else None for on in (self.flip, self.crop, self.cutout)))

    def apply(self, images_BCHW: Tensor, draws: Draws) -> Tensor:
        """Return the batch, changed as drawn."""
        x = images_BCHW
        if draws.crop is not None:
            x = _crop(x, draws.crop, self.crop)
        if draws.flip is not None:
            x = torch.where(draws.flip[:, None, None, None], x.flip(3), x)
        if draws.cutout is not None:
            x = _cutout(x, draws.cutout, self.cutout)
        return x


NOTHING = Augment()


def _crop(x_BCHW: Tensor, offsets_B2: Tensor, padding: int) -> Tensor:
    batch, _, height, width = x_BCHW.shape
    padded = F.pad(x_BCHW, (padding,) * 4)
    image = torch.arange(batch, device=x_BCHW.device)[:, None, None]
    rows = offsets_B2[:, 0, None] + torch.arange(height, device=x_BCHW.device)
    columns = offsets_B2[:, 1, None] + torch.arange(width, device=x_BCHW.device)
    # Indexing around the channel axis gives (B, H, W, C), which is channels-last already.
    return padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cutout(x_BCHW: Tensor, centres_B2: Tensor, side: int) -> Tensor:
    height, width = x_BCHW.shape[2:]

    def inside(centre_B: Tensor, size: int) -> Tensor:
        begin = (centre_B * size).floor() - side // 2
        place = torch.arange(size, device=x_BCHW.device)
        return (place >= begin[:, None]) & (place < begin[:, None] + side)

    rows, columns = inside(centres_B2[:, 0], height), inside(centres_B2[:, 1], width)
    return x_BCHW.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)
