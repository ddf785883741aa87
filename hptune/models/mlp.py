"""A plain multi-layer perceptron for inputs of any shape."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import nn

from hptune.errors import InputError


def mlp(
    *,
    input_shape: tuple[int, ...],
    outputs: int,
    dropout: float = 0.0,
    hidden: Sequence[int] = (256, 256),
) -> nn.Sequential:
    """Return linear layers with ReLU between them, and He's initial weights.

    Args:
        input_shape: Of an example, whatever it is: it is flattened.
        outputs: Classes or targets.
        dropout: After each hidden layer.
        hidden: Widths of the hidden layers.

    Raises:
        InputError: A width or rate out of range.
    """
    if not isinstance(hidden, list | tuple) or any(type(w) is not int or w < 1 for w in hidden):
        raise InputError(
            f"model.args.hidden: {hidden!r}; must be a list of positive whole numbers; "
            "give [256, 256], say"
        )
    rate = dropout_rate(dropout)
    layers: list[nn.Module] = [nn.Flatten()]
    sizes = [prod(input_shape), *hidden]
    for inputs, width in pairwise(sizes):
        layers += [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(rate)]
    layers.append(nn.Linear(sizes[-1], outputs))
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


def dropout_rate(value: object) -> float:
    """Return the fraction of activations to drop.

    Raises:
        InputError: It is no number from 0 to below 1.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1:
        return float(value)
    raise InputError(
        f"model.args.dropout: {value!r}; must be a number of at least 0 and below 1; correct it"
    )
