"""Scaling of inputs, from the training split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Mean and standard deviation of red, green and blue, from 0 to 1, that pretrained weights go by.
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Normalize:
    """x -> x * factor + shift, both broadcast against one example."""

    factor: Tensor
    shift: Tensor

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return a batch of uint8 or floats as normalised float32."""
        return torch.addcmul(self.shift, inputs.float(), self.factor)

    def to(self, device: torch.device) -> Normalize:
        """Return the same on a device."""
        return Normalize(self.factor.to(device), self.shift.to(device))


def image_normalization(
    images_NCHW: np.ndarray,
    train: np.ndarray,
    mode: str,
    scale: float,
    largest: float | None = None,
) -> Normalize:
    """Fit the normalisation of images, or of other examples with channels, to the training split.

    Args:
        images_NCHW: Pixels, uint8 (0 to 255) or floats; (N, C, ...) with any further axes.
        train: Indices of the training split.
        mode: "standardize" (per channel), "mean-image" (subtracted, not divided), "imagenet" (by
            the means and deviations of its channels, of colour images) or "none".
        scale: Largest value of a pixel after loading, where pixels are whole numbers.
        largest: That they can have before; None is 255 for uint8, and leaves floats as they are.
    """
    unit = scale / (largest or (255.0 if images_NCHW.dtype == np.uint8 else 1.0))
    if mode == "none":
        return Normalize(torch.tensor(unit), torch.zeros(()))
    if mode == "imagenet":
        mean_RGB, std_RGB = (torch.tensor(of).view(3, 1, 1) for of in IMAGENET)
        return Normalize(unit / scale / std_RGB, -mean_RGB / std_RGB)
    # float64 sums in chunks: 50,000 images as floats at once would take gigabytes.
    total, squares = np.zeros((2, *images_NCHW.shape[1:]))
    for part in np.array_split(train, max(1, len(train) // 4096)):
        pixels = images_NCHW[part].astype(np.float64)
        total += pixels.sum(0)
        squares += np.square(pixels).sum(0)
    mean_image = total / len(train)
    if mode == "mean-image":
        return Normalize(torch.tensor(unit), torch.from_numpy(-mean_image * unit).float())
    space = tuple(range(1, mean_image.ndim))
    mean = mean_image.mean(space)
    variance = (squares / len(train)).mean(space) - mean**2
    std = np.sqrt(np.maximum(variance, 0.0))
    std[std == 0] = 1.0  # a blank channel stays blank
    shape = (-1, *(1 for _ in space))
    factor, shift = (torch.from_numpy(of.reshape(shape)).float() for of in (1 / std, -mean / std))
    return Normalize(factor, shift)
