"""DenseNet for 32x32 images: three dense blocks without bottleneck or compression.

Source: Huang et al. 2017, section 4 (L = 40, k = 12).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hptune.models.mlp import dropout_rate


class DenseLayer(nn.Module):
    """Adds `growth` channels to its input."""

    def __init__(self, channels: int, growth: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, growth, 3, 1, 1, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return (B, C + growth, H, W)."""
        return torch.cat([x_BCHW, self.dropout(self.conv(F.relu(self.norm(x_BCHW))))], 1)


class DenseNet(nn.Module):
    """A dense net of 3n + 4 layers."""

    def __init__(
        self,
        depth: int,
        growth: int,
        *,
        input_shape: tuple[int, ...],
        outputs: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers = (depth - 4) // 3
        width, rate = 16, dropout_rate(dropout)
        parts: list[nn.Module] = [nn.Conv2d(input_shape[0], width, 3, 1, 1, bias=False)]
        for block in range(3):
            for _ in range(layers):
                parts.append(DenseLayer(width, growth, rate))
                width += growth
            if block < 2:
                parts += [
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                    nn.Conv2d(width, width, 1, bias=False),
                    nn.AvgPool2d(2),
                ]
        self.features = nn.Sequential(*parts, nn.BatchNorm2d(width), nn.ReLU())
        self.head = nn.Linear(width, outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return logits (B, outputs)."""
        out: Tensor = self.head(torch.flatten(F.adaptive_avg_pool2d(self.features(x_BCHW), 1), 1))
        return out
