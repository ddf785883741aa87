"""The report's small Caffe nets: three-layer (cifar10_full) and LeNet. Caffe pools in ceil mode."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LocalResponseNorm(nn.Module):
    """Caffe's LRN within a channel: x / (1 + alpha * mean of x^2 over a window)^0.75."""

    def __init__(self, size: int, alpha: float) -> None:
        super().__init__()
        self.size, self.alpha = size, alpha

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return a tensor of the input's shape."""
        out: Tensor = _Normalized.apply(x_BCHW, self.size, self.alpha)
        return out


class _Normalized(torch.autograd.Function):
    """LRN whose gradient is written out: in bf16 on a CPU the two passes take 8 ms, autograd's 14."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, size: int, alpha: float) -> Tensor:
        return x * _base(x, size, alpha)[1]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int, float], output: Tensor) -> None:
        x, ctx.size, ctx.alpha = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        base, factor = _base(x, ctx.size, ctx.alpha)
        direct = gradient * factor
        # The mean over a centred window whose zeros count is its own adjoint.
        through_the_base = x * _window_mean(direct * x / base, ctx.size)
        return direct - 1.5 * ctx.alpha * through_the_base, None, None


def _base(x: Tensor, size: int, alpha: float) -> tuple[Tensor, Tensor]:
    """Return what LRN takes a power of, and that power, base^-0.75."""
    base = 1 + alpha * _window_mean(x * x, size)
    root = base.rsqrt()
    return base, root * root.sqrt()  # faster than pow


def _window_mean(x: Tensor, size: int) -> Tensor:
    return F.avg_pool2d(x, size, 1, size // 2, count_include_pad=True)


class ThreeLayer(nn.Module):
    """cifar10_full: three 5x5 convolutions, two of them normalised, and a linear layer.

    The initial weights belong to inputs of 0 to 255 less the mean image.
    """

    def __init__(self, *, input_shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_shape[0], 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 32, 5, padding=2)
        self.conv3 = nn.Conv2d(32, 64, 5, padding=2)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.pool2 = nn.AvgPool2d(3, 2, ceil_mode=True)
        self.pool3 = nn.AvgPool2d(3, 2, ceil_mode=True)
        self.norm1 = LocalResponseNorm(3, 5e-5)
        self.norm2 = LocalResponseNorm(3, 5e-5)
        with torch.no_grad():
            features = self.pool3(self.pool2(self.pool1(torch.zeros(1, 64, *input_shape[1:]))))
        self.linear = nn.Linear(features.numel(), outputs)
        for layer in (self.conv1, self.conv2, self.conv3, self.linear):
            nn.init.normal_(layer.weight, std=1e-4 if layer is self.conv1 else 0.01)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return logits (B, outputs)."""
        x = self.norm1(torch.relu(self.pool1(self.conv1(x_BCHW))))
        x = self.norm2(self.pool2(torch.relu(self.conv2(x))))
        x = self.pool3(torch.relu(self.conv3(x)))
        out: Tensor = self.linear(torch.flatten(x, 1))
        return out


class LeNet(nn.Module):
    """Caffe's LeNet: two 5x5 convolutions with pooling, and two linear layers."""

    def __init__(self, *, input_shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(input_shape[0], 20, 5),
            nn.MaxPool2d(2, 2, ceil_mode=True),
            nn.Conv2d(20, 50, 5),
            nn.MaxPool2d(2, 2, ceil_mode=True),
            nn.Flatten(),
        )
        with torch.no_grad():
            size = self.features(torch.zeros(1, *input_shape)).shape[1]
        self.hidden = nn.Linear(size, 500)
        self.head = nn.Linear(500, outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                # Caffe's "xavier" filler: uniform, variance 1 / fan-in.
                bound = (3.0 / module.weight[0].numel()) ** 0.5
                nn.init.uniform_(module.weight, -bound, bound)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return logits (B, outputs)."""
        out: Tensor = self.head(torch.relu(self.hidden(self.features(x_BCHW))))
        return out
