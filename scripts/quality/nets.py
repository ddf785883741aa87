"""The nets of the bench that hptune does not bundle: a character GPT, a GRU, small ones with batch norms."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Causal self-attention and a perceptron, each after a LayerNorm and added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Return (B, T, C)."""
        B, T, C = x_BTC.shape
        parts = self.qkv(self.norm1(x_BTC)).reshape(B, T, 3, self.heads, C // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # each (B, heads, T, C / heads)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x_BTC = x_BTC + self.projection(attended.transpose(1, 2).reshape(B, T, C))
        return x_BTC + self.mlp(self.norm2(x_BTC))


class GPT(nn.Module):
    """A character model that computes its own loss, the mean over all positions."""

    def __init__(self, vocabulary: int, block: int, *, width: int = 64, layers: int = 2) -> None:
        super().__init__()
        self.token, self.position = nn.Embedding(vocabulary, width), nn.Embedding(block, width)
        self.blocks = nn.Sequential(*(Block(width, heads=4) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, input_ids: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the loss of predicting each position's next character, (B, T) both."""
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        logits = self.head(self.norm(self.blocks(self.token(input_ids) + self.position(places))))
        return {"loss": F.cross_entropy(logits.flatten(0, 1), labels.flatten())}


class RowReader(nn.Module):
    """A GRU that reads an image row by row and says its class after the last one."""

    def __init__(self, columns: int, classes: int, width: int = 64) -> None:
        super().__init__()
        self.gru = nn.GRU(columns, width, batch_first=True)
        self.head = nn.Linear(width, classes)

    def forward(self, rows_BTF: Tensor) -> Tensor:
        """Return logits (B, classes)."""
        states_BTC, _ = self.gru(rows_BTF)
        logits: Tensor = self.head(states_BTC[:, -1])
        return logits


class Augmented(nn.Module):
    """A net that sees its training images mirrored and shifted at random, as photos usually are."""

    def __init__(self, make_net: Callable[[], nn.Module], shift: int = 2) -> None:
        super().__init__()
        self.net, self.shift = make_net(), shift

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return logits (B, classes)."""
        if self.training:
            B, _, H, W = x_BCHW.shape
            place, pad = x_BCHW.device, self.shift
            down, right = torch.randint(0, 2 * pad + 1, (2, B, 1), device=place)
            columns = torch.arange(W, device=place)
            columns = torch.where(torch.rand(B, 1, device=place) < 0.5, columns, columns.flip(0))
            rows = torch.arange(H, device=place)[None, :, None] + down[:, :, None]
            every = torch.arange(B, device=place)[:, None, None]
            padded = F.pad(x_BCHW, (pad, pad, pad, pad))
            x_BCHW = padded[every, :, rows, (columns + right)[:, None, :]].permute(0, 3, 1, 2)
        logits: Tensor = self.net(x_BCHW)
        return logits


def normalized_mlp(inputs: int, outputs: int, width: int = 64) -> nn.Sequential:
    """Return a perceptron of two hidden layers, each with a batch norm and dropout."""
    layers: list[nn.Module] = []
    for size in (inputs, width):
        layers += [nn.Linear(size, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.1)]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def normalized_convolutions(classes: int, width: int = 8) -> nn.Sequential:
    """Return three convolutions of stride 2 with batch norms, for images of one channel."""
    layers: list[nn.Module] = []
    for before, after in ((1, width), (width, 2 * width), (2 * width, 4 * width)):
        layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, classes)]
    return nn.Sequential(*layers, *head)
