"""A plain multi-layer perceptron for inputs of any shape."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from hptune.errors import InputError


def mlp(
    *, inputs: int, outputs: int, hidden: Sequence[int] = (256, 256), dropout: float = 0.0
) -> nn.Sequential:
    """Return linear layers with ReLU between them, He-initialised.

    Args:
        inputs: Numbers in an example, whatever its shape: it is flattened.
        outputs: Classes or targets.
        hidden: Widths of the hidden layers.
        dropout: After each hidden layer.

    Raises:
        InputError: A width or rate out of range.
    """
    if not all(isinstance(width, int) and width > 0 for width in hidden):
        raise InputError(
            f"model.args.hidden: {list(hidden)}; must be positive whole numbers; give [256, 256], say"
        )
    if not 0 <= dropout < 1:
        raise InputError(f"model.dropout: {dropout:g}; must be at least 0 and below 1; lower it")
    layers: list[nn.Module] = [nn.Flatten()]
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout)]
        inputs = width
    layers.append(nn.Linear(inputs, outputs))
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)
