"""Residual nets for 32x32 images, and their wide form.

Source: He et al. 2015, section 4.2; the wide ResNet is the 32-layer net with its channels multiplied.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters (He's option A)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.stride, self.new_channels = stride, channels - channels_in

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return (B, channels, H / stride, W / stride)."""
        out = F.relu(self.norm1(self.conv1(x_BCHW)))
        out = self.norm2(self.conv2(out))
        shortcut = x_BCHW[:, :, :: self.stride, :: self.stride]
        if self.new_channels:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, self.new_channels))
        return F.relu(out + shortcut)


class ResNet(nn.Module):
    """A residual net of 6n + 2 layers with 16, 32 and 64 channels times `width`."""

    def __init__(
        self, depth: int, width: int = 1, *, input_shape: tuple[int, ...], outputs: int
    ) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        widths = [16 * width, 32 * width, 64 * width]
        self.stem = nn.Conv2d(input_shape[0], widths[0], 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        layers: list[nn.Module] = []
        previous = widths[0]
        for stage, size in enumerate(widths):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(BasicBlock(previous, size, stride))
                previous = size
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Linear(previous, outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return logits (B, outputs)."""
        x = F.relu(self.norm(self.stem(x_BCHW)))
        x = self.blocks(x)
        out: Tensor = self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))
        return out
