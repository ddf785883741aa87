"""Data and nets that several experiments share: small enough for many trainings on one core."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from sklearn.datasets import load_digits
from torch import nn

from scripts.quality.problems import Splits, centred, images

CLASSES = 10


class ConvNet(nn.Sequential):
    """Convolutions with ReLU and pooling, and a dense layer: a VGG in small.

    Args:
        side: Of the images, in pixels; a power of 2.
        channels: Of the images.
        widths: Of the convolutions, after each of which the sides are halved.
        hidden: Units of the dense layer.
        batch_norm: Whether each convolution has one.
    """

    def __init__(
        self,
        side: int,
        channels: int = 3,
        widths: tuple[int, ...] = (16, 32),
        hidden: int = 64,
        *,
        batch_norm: bool = True,
    ) -> None:
        layers: list[nn.Module] = []
        for width in widths:
            layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=not batch_norm))
            layers += [nn.BatchNorm2d(width)] if batch_norm else []
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
            channels, side = width, side // 2
        size = channels * side**2
        dense = [nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES)]
        super().__init__(*layers, nn.Flatten(), *dense)


def photos(train: int, side: int = 32) -> Splits:
    """Return a subset of CIFAR-10, scaled (N, 3, side, side); the split is the same for all seeds."""
    return centred(images("cifar10", side, train, seed=0), 2.0)


def digits(train: int, classes: int = CLASSES) -> Splits:
    """Return scikit-learn's digits (N, 1, 8, 8) of the first classes; half of the rest is for testing."""
    x, y = load_digits(return_X_y=True)
    inputs, targets = torch.from_numpy((x - 8) / 6).float().view(-1, 1, 8, 8), torch.from_numpy(y)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    order = order[targets[order] < classes]
    middle = (train + len(order)) // 2
    parts = {"train": order[:train], "validation": order[train:middle], "test": order[middle:]}
    return {name: (inputs[k], targets[k]) for name, k in parts.items()}


def mlp(*widths: int, activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Return a flattening, and dense layers between these widths, from inputs to outputs."""
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])
