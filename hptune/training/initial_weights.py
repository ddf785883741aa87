"""Initial weights by a rule, in the place of those that a model draws for itself.

What each layer gets:

- Linear and bilinear layers, convolutions (also transposed, and each group of one), recurrent layers
  (each gate) and attention (queries, keys and values): weights by the rule, biases 0.
- Embeddings: zero, constant and normal as the others, but for the row of padding. The other rules go
  by the number of inputs that a unit sums over; a look-up sums over none, so it stays as it is made.
- Normalisation layers, and parameters of the user's own, stay as the model makes them.

Sources: Glorot and Bengio 2010 (xavier, their uniform form), He 2015 (he, by the inputs), Saxe 2014
(orthogonal).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from hptune.errors import InputError

_USUAL = {"constant": 0.1, "normal": 0.01}  # of the others 1
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
_SHOWN = 3  # names in a message at most


def _he(weight: Tensor, gain: float) -> None:
    nn.init.kaiming_normal_(weight, nonlinearity="relu").mul_(gain)


RULES: Mapping[str, Callable[[Tensor, float], object]] = {
    "zero": lambda weight, gain: nn.init.zeros_(weight),
    "constant": nn.init.constant_,
    "normal": lambda weight, gain: nn.init.normal_(weight, std=gain),
    "xavier": nn.init.xavier_uniform_,
    "he": _he,
    "orthogonal": nn.init.orthogonal_,
}
_BY_INPUTS = ("xavier", "he", "orthogonal")


def unit_weights(module: nn.Module) -> dict[str, list[Tensor]]:
    """Return the weights into a layer's units, by the name of the parameter that they are views of.

    Each is (units, inputs, ...): of a convolution one a group, of a recurrent layer one a gate, of
    attention one each of queries, keys and values. None for other modules than those of torch.
    """
    own = {
        name: p.detach()
        for name, p in module.named_parameters(recurse=False)
        # Of weight norm, length and direction are no matrices of their own.
        if "weight" in name and p.ndim > 1 and not name.endswith(("_g", "_v"))
    }
    if isinstance(module, nn.Linear | nn.Bilinear):
        return {name: [weight] for name, weight in own.items()}
    if isinstance(module, _CONVOLUTIONS):
        return {name: list(weight.chunk(module.groups)) for name, weight in own.items()}
    if isinstance(module, _TRANSPOSED):
        return {
            name: [group.transpose(0, 1) for group in weight.chunk(module.groups)]
            for name, weight in own.items()
        }
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        size = module.hidden_size
        return {
            name: [weight] if name.startswith("weight_hr") else list(torch.split(weight, size))
            for name, weight in own.items()
        }
    if isinstance(module, nn.MultiheadAttention):
        return {
            name: list(weight.chunk(3)) if name == "in_proj_weight" else [weight]
            for name, weight in own.items()
        }
    return {}


@torch.no_grad()
def initialize(model: nn.Module, rule: str, gain: float | None = None) -> str:
    """Set the initial weights of a fresh model by a rule, drawn from torch's generator of the CPU.

    What is frozen already stays. A weight that an embedding shares with another layer is the
    embedding's.

    Args:
        model: Changed in place.
        rule: One of `RULES`.
        gain: Of "constant" the value, of "normal" the standard deviation, of the others a factor;
            None takes 0.1, 0.01 and 1.

    Returns:
        Which matrices stay as the model makes them, "" where none does.

    Raises:
        InputError: No layer is one that has a rule, or one has no shape yet.
    """
    size, fill = _USUAL.get(rule, 1.0) if gain is None else gain, RULES[rule]
    matrices = {name: p for name, p in model.named_parameters() if p.ndim > 1 or is_lazy(p)}
    if lazy := [name for name, p in matrices.items() if is_lazy(p)]:
        raise InputError(
            f"model.init: {rule}; {lazy[0]} has no shape before the first batch; give its layer the "
            "number of its inputs"
        )
    looked_up = {id(m.weight) for m in model.modules() if isinstance(m, _EMBEDDINGS)}
    done = set[int]()
    for module in model.modules():
        own = dict(module.named_parameters(recurse=False))
        if isinstance(module, _EMBEDDINGS):
            if rule not in _BY_INPUTS and module.weight.requires_grad:
                _set(module.weight, size, fill)
                done.add(id(module.weight))
                if module.padding_idx is not None:
                    module.weight[module.padding_idx] = 0
            continue
        for name, parts in unit_weights(module).items():
            if id(own[name]) in looked_up | done or not own[name].requires_grad:
                continue
            done.add(id(own[name]))
            for part in parts:
                _set(part, size, fill)
            for other, bias in own.items():
                if "bias" in other and bias.ndim == 1 and bias.requires_grad:
                    bias.zero_()
    if not done:
        raise InputError(
            f"model.init: {rule}; the model has no linear, convolutional, recurrent or attention layer "
            "of torch that trains; leave it out, and set its weights where it is made"
        )
    left = [name for name, p in matrices.items() if id(p) not in done]
    if not left:
        return ""
    shown = ", ".join(left[:_SHOWN]) + ", ..." * (len(left) > _SHOWN)
    return (
        f"model.init {rule}: {len(left)} of {len(matrices)} weight matrices stay as the model makes "
        f"them: {shown}"
    )


def _set(weight: Tensor, gain: float, fill: Callable[[Tensor, float], object]) -> None:
    """Fill a view of a weight, the same on every device and in every memory layout."""
    fresh = torch.empty(weight.shape)
    fill(fresh, gain)
    weight.copy_(fresh)
