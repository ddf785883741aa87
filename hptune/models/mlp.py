"""A plain multi-layer perceptron for inputs of any shape."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import nn

from hptune.errors import InputError, did_you_mean

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
_SATURATING = ("tanh", "sigmoid")


def mlp(
    *,
    input_shape: tuple[int, ...],
    outputs: int,
    dropout: float = 0.0,
    hidden: Sequence[int] = (256, 256),
    activation: str = "relu",
) -> nn.Sequential:
    """Return linear layers with an activation between them.

    The initial weights are He's, or Glorot's where the activation saturates.

    Args:
        input_shape: Of an example, whatever it is: it is flattened.
        outputs: Classes or targets.
        dropout: After each hidden layer.
        hidden: Widths of the hidden layers.
        activation: One of `ACTIVATIONS`.

    Raises:
        InputError: A width or rate out of range, or no such activation.
    """
    if not isinstance(hidden, list | tuple) or any(type(w) is not int or w < 1 for w in hidden):
        raise InputError(
            f"model.args.hidden: {hidden!r}; must be a list of positive whole numbers; "
            "give [256, 256], say"
        )
    if activation not in ACTIVATIONS:
        raise InputError(
            f"model.args.activation: {activation!r}; must be one of {', '.join(ACTIVATIONS)}; "
            + did_you_mean(activation, ACTIVATIONS, "choose one of these")
        )
    rate = dropout_rate(dropout)
    layers: list[nn.Module] = [nn.Flatten()]
    sizes = [prod(input_shape), *hidden]
    for inputs, width in pairwise(sizes):
        layers += [
            nn.Linear(inputs, width),
            ACTIVATIONS[activation](),
            nn.Dropout(rate),
        ]
    layers.append(nn.Linear(sizes[-1], outputs))
    for layer in layers:
        if isinstance(layer, nn.Linear):
            if activation in _SATURATING:
                nn.init.xavier_normal_(layer.weight)
            else:
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
