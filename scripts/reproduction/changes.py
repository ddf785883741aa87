"""Single changes to a row, to measure what explains its distance to the report's number."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from hptune.data.sources.memory import TensorSource
from hptune.data.sources.normalize import image_normalization
from hptune.task import Batch, Source, Task

QUALITY = 75  # of the JPEG files that stand for CIFAR-10; their chroma has half the resolution
OFF_THE_GRID = 4  # pixels, from the grid of blocks that the files are encoded on


@dataclass(frozen=True)
class Change:
    """What is changed: settings, as for --set, or the task.

    Attributes:
        words: What it is.
        settings: Key paths with their values.
        of_task: Returns the changed task.
    """

    words: str
    settings: tuple[str, ...] = ()
    of_task: Callable[[Task], Task] | None = None


def with_images(task: Task, edit: Callable[[np.ndarray], np.ndarray]) -> Task:
    """Edit every image, (H, W, 3) uint8, before the mean image is taken."""
    splits = {}
    for name in ("train", "validation", "test"):
        source = getattr(task, name)
        images = source.inputs.permute(0, 2, 3, 1).contiguous().numpy()
        edited = np.stack([edit(image) for image in images])
        splits[name] = (np.ascontiguousarray(edited.transpose(0, 3, 1, 2)), source.targets)
    pixels, _ = splits["train"]
    normalize = image_normalization(pixels, np.arange(len(pixels)), "mean-image", 255)
    return task.change(
        **{
            name: TensorSource(torch.from_numpy(images), targets, normalize=normalize)
            for name, (images, targets) in splits.items()
        }
    )


def encode(image_HWC: np.ndarray, *, shift: int = OFF_THE_GRID, quality: int = QUALITY) -> bytes:
    """Return an image as a JPEG file, in a frame that puts it `shift` pixels off the file's blocks."""
    frame = ((shift, shift), (shift, shift), (0, 0))
    file = io.BytesIO()
    Image.fromarray(np.pad(image_HWC, frame, mode="reflect")).save(file, "JPEG", quality=quality)
    return file.getvalue()


def encoded_again(
    image_HWC: np.ndarray, *, shift: int = OFF_THE_GRID, quality: int = QUALITY
) -> np.ndarray:
    """Return an image as it comes out of one more JPEG file, (H, W, 3) uint8."""
    height, width, _ = image_HWC.shape
    file = encode(image_HWC, shift=shift, quality=quality)
    return np.asarray(Image.open(io.BytesIO(file)))[shift : shift + height, shift : shift + width]


def quarter_chroma(image_HWC: np.ndarray) -> np.ndarray:
    """Return an image with colour at a quarter of its resolution, (H, W, 3) uint8.

    The files have it at half; halving it once more shows how much that matters.
    """
    height, width, _ = image_HWC.shape
    luma, *chroma = Image.fromarray(image_HWC).convert("YCbCr").split()
    coarse = [
        plane.resize((width // 4, height // 4), Image.Resampling.BOX).resize(
            (width, height), Image.Resampling.BILINEAR
        )
        for plane in chroma
    ]
    return np.asarray(Image.merge("YCbCr", (luma, *coarse)).convert("RGB"))


class FixedOrder:
    """A source whose epochs all have the order of the first, as a data base that is read through."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def to(self, device: torch.device) -> FixedOrder:
        """Return the same on a device."""
        return FixedOrder(self._source.to(device))

    def batches(
        self, batch_size: int, *, seed: int | None = None, epoch: int = 0, **which: int
    ) -> Iterator[Batch]:
        """Yield the batches of the first epoch."""
        return self._source.batches(batch_size, seed=seed, epoch=0, **which)


def torch_init(task: Task) -> Task:
    """Initialise as torch does, the first layer for pixels of 0 to 255."""

    def make_model() -> nn.Module:
        model = task.make_model()
        for name, layer in model.named_modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.reset_parameters()
                if name == "conv1":
                    scaled: Tensor = layer.weight.data
                    scaled.div_(64)  # about the deviation of these pixels
        return model

    return task.change(make_model=make_model)


CHANGES = {
    "jpeg-again": Change(
        "every image encoded once more, 4 pixels off its grid of blocks",
        of_task=lambda task: with_images(task, encoded_again),
    ),
    "jpeg-again-50": Change(
        "every image encoded once more at quality 50, with steps twice as coarse",
        of_task=lambda task: with_images(task, partial(encoded_again, quality=50)),
    ),
    "jpeg-again-25": Change(
        "every image encoded once more at quality 25, with steps four times as coarse",
        of_task=lambda task: with_images(task, partial(encoded_again, quality=25)),
    ),
    "quarter-chroma": Change(
        "colour at a quarter of the images' resolution",
        of_task=lambda task: with_images(task, quarter_chroma),
    ),
    "torch-init": Change("torch's initial weights", of_task=torch_init),
    "fixed-order": Change(
        "the same order of images in every epoch",
        of_task=lambda task: task.change(train=FixedOrder(task.train)),
    ),
    "mirror": Change("images mirrored at random", ("data.flip=true",)),
    "lr-0.005": Change("at LR 0.005", ("hyper_parameters.lr=0.005",)),
    "constant-momentum": Change("momentum held at its maximum", ("policy.momentum=constant",)),
    "classical-momentum": Change("classical momentum", ("optimizer.args.nesterov=false",)),
    "clipped": Change("gradients clipped to a norm of 10", ("training.clip_norm=10",)),
    "same-rules": Change("no rules for single parameters", ("optimizer.rules=[]",)),
    "fp32": Change("computed in fp32", ("training.precision=fp32",)),
}
