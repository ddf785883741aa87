"""Image files, decoded as those of the training data were."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hptune.data.images.decode import Decoding, UnreadableImageError, look_at, pixels, quiet
from hptune.data.images.names import shown
from hptune.data.images.tree import walk
from hptune.data.sources.normalize import Normalize
from hptune.errors import InputError
from hptune.prediction.examples import UNKNOWN, Examples, class_numbers
from hptune.results.signature import Signature

Pixels = NDArray[np.uint8 | np.float32]


def of_folder(folder: Path, signature: Signature) -> Examples:
    """Return the images in a folder, at any depth; those in folders called as a class have targets.

    Raises:
        InputError: There are none.
    """
    tree = walk(folder)
    names = sorted(each.within(name) for each in tree.below() for name, *_ in each.files)
    if not names:
        raise InputError(f"DATA: {folder} holds no images; must hold some; correct the path")
    above = [_class_folder(name, signature.classes) for name in names]
    files = {name: folder / name for name in names}
    return of_files(files, signature, class_numbers(np.asarray(above, object), signature.classes))


def of_files(
    files: Mapping[str, Path], signature: Signature, targets: NDArray[np.int64] | None = None
) -> Examples:
    """Return images by their names."""
    left_out: dict[Any, str] = {}
    if targets is None:
        targets = np.full(len(files), UNKNOWN)
    source = ImageFiles(files, targets, signature, left_out)
    notes = [] if signature.decoding else [f"images are scaled to {source.size}, as trained on"]
    return Examples(
        source=source, ids=list(files), id_name="file", left_out=left_out, notes=tuple(notes)
    )


class ImageFiles:
    """Batches of images that are decoded when they are asked for, a `hptune.task.Source` in order.

    Args:
        files: By their names.
        targets: Class of each.
        signature: Says how they are decoded and scaled.
        left_out: Receives the names of those that cannot be read, with the reason.
    """

    def __init__(
        self,
        files: Mapping[str, Path],
        targets: NDArray[np.int64],
        signature: Signature,
        left_out: dict[Any, str],
    ) -> None:
        self._files, self._targets = list(files.items()), torch.from_numpy(targets)
        self._shape, self._left_out = signature.input_shape, left_out
        channels, height, width = self._shape
        self.size = f"{width}x{height}"
        self._how = Decoding(**(signature.decoding or {"channels": channels, "resize": height}))
        scale = signature.scale or {"factor": 1.0, "shift": 0.0}
        self._normalize = Normalize(*(torch.tensor(scale[key]) for key in ("factor", "shift")))
        self._device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self._files)

    def to(self, device: torch.device) -> ImageFiles:
        """Return the same with its batches delivered on a device."""
        moved = copy(self)
        moved._device, moved._normalize = device, self._normalize.to(device)
        return moved

    def batches(
        self,
        batch_size: int,
        *,
        seed: int | None = None,
        epoch: int = 0,
        skip: int = 0,
        every: int = 1,
    ) -> Iterator[Any]:
        """Yield (images, classes) in order, without those that cannot be read."""
        with quiet(), ThreadPoolExecutor(os.cpu_count()) as pool:
            for at in range(skip * batch_size, len(self), every * batch_size):
                part = self._files[at : at + batch_size]
                decoded = list(pool.map(self._decoded, part))
                there = [k for k, image in enumerate(decoded) if image is not None]
                if not there:
                    continue
                images = np.stack([image for image in decoded if image is not None])
                inputs = self._normalize(torch.from_numpy(images).to(self._device))
                inputs = inputs.contiguous(memory_format=torch.channels_last)
                yield inputs, self._targets[at : at + batch_size][there].to(self._device)

    def _decoded(self, named: tuple[str, Path]) -> Pixels | None:
        name, path = named
        try:
            image = pixels(look_at(path)[0], self._how)
        except UnreadableImageError as error:
            self._left_out[name] = str(error)
            return None
        if image.shape != self._shape:
            high, wide = image.shape[1:]
            self._left_out[name] = f"is {wide}x{high}, trained on {self.size}"
            return None
        return image


def told(left_out: Mapping[Any, str]) -> list[str]:
    """Say which images were left out, and why the first was."""
    if not left_out:
        return []
    name, reason = next(iter(sorted(left_out.items())))
    return [f"images that cannot be read are left out: {len(left_out):,} ({shown(name)}: {reason})"]


def _class_folder(name: str, classes: Sequence[str]) -> str:
    """Return the folder above an image that is called as a class is, "" where there is none."""
    parts = (shown(part) for part in PurePosixPath(name).parts[:-1])
    return next((part for part in parts if part in classes), "")
