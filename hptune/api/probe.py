"""One small batch through a task before anything else, so that what does not fit is told at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from hptune.data.sources.columns import leaves, with_leaves
from hptune.errors import InputError
from hptune.step import Read, fitted

Step = Callable[[nn.Module, Any], Read]


@dataclass(frozen=True)
class Probe:
    """What one batch showed.

    Attributes:
        kind: "classification" for whole numbers as targets, "regression" for others; None where
            outputs or targets are not known.
        outputs: Classes, labels or numbers; 0 where not known.
    """

    kind: str | None
    outputs: int


def fresh_models(make_model: Callable[..., nn.Module]) -> tuple[nn.Module, nn.Module]:
    """Call a model factory twice: one model to describe, one to try.

    Raises:
        InputError: It is no factory: a model, something else, or one that gives the same model twice.
    """
    if isinstance(make_model, nn.Module):
        raise InputError(
            f"make_model: a {type(make_model).__name__} itself; must be a function that makes a fresh "
            f"one for each trial; give lambda: {type(make_model).__name__}(...)"
        )
    if not callable(make_model):
        raise InputError(
            f"make_model: a {type(make_model).__name__}; must be a function that returns a model; "
            "give lambda: Net(...)"
        )
    try:
        net, other = make_model(), make_model()
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"make_model: fails ({_one_line(error)}); must return a model when called without "
            "arguments; give lambda: Net(...)"
        ) from error
    if not isinstance(net, nn.Module):
        raise InputError(
            f"make_model: returns a {type(net).__name__}; must return a torch.nn.Module; correct it"
        )
    shared = {id(p) for p in net.parameters()} & {id(p) for p in other.parameters()}
    if net is other or shared:
        raise InputError(
            "make_model: gives the same parameters each time; must make fresh ones, or trials would "
            "train one model after the other; build the model inside the function"
        )
    return net, other


def has_lazy_parameters(net: nn.Module) -> bool:
    """Say whether a model learns the shapes of its parameters from its first batch."""
    return any(is_lazy(parameter) for parameter in net.parameters())


def initialize_lazy(
    make_model: Callable[..., nn.Module], step: Step, batch: Any, **args: Any
) -> nn.Module:
    """Return a fresh model whose lazy parameters have their shapes, from a first batch."""
    net = make_model(**args)
    with torch.no_grad():
        _read(net, step, batch)
    return net.train()


def probe(net: nn.Module, step: Step, batch: Any) -> Probe:
    """Compute the loss of a batch and say what the outputs are; trains nothing.

    Leaves the model in evaluation mode.

    Raises:
        InputError: Model, data and loss do not fit.
    """
    _, outputs, targets = _read(net, step, batch)
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        return Probe(None, 0)
    whole = not targets.is_floating_point()
    outputs, targets = fitted(outputs, targets)
    if not outputs.is_floating_point():
        return Probe(None, 0)
    kind = "classification" if whole else "regression"
    if kind == "classification" and outputs.ndim != targets.ndim + 1:
        return Probe("classification" if outputs.shape == targets.shape else None, _width(outputs))
    return Probe(kind, _width(outputs))


def supports_channels_last(net: nn.Module, step: Step, batch: Any) -> bool:
    """Say whether a model with convolutions still runs when these are in channels-last layout.

    Leaves them so.
    """
    if not any(isinstance(module, nn.Conv2d) for module in net.modules()):
        return True
    net = nn.utils.convert_conv2d_weight_memory_format(net, torch.channels_last)
    try:
        step(net, _beside(net, batch))
    except Exception:  # a view of what is no longer contiguous
        return False
    return True


def _read(net: nn.Module, step: Step, batch: Any) -> Read:
    try:
        # In evaluation mode: normalisation layers may refuse so small a batch.
        return step(net.eval(), _beside(net, batch))
    except InputError:
        raise
    except Exception as error:
        if isinstance(error, IndexError) and "out of bounds" in str(error):  # of cross_entropy
            raise InputError(
                f"train: {error} Classes must be from 0 to the model's outputs less 1; number them "
                "from 0, or give the model an output for each"
            ) from error
        raise InputError(
            f"make_model: the model fails on a batch of {_shapes(batch)} ({_one_line(error)}); model, "
            "data and loss must fit each other; check the data's shape, loss= and step="
        ) from error


def _beside(net: nn.Module, batch: Any) -> Any:
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    return with_leaves(batch, lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf)


def _width(outputs: Tensor) -> int:
    return int(outputs.shape[1]) if outputs.ndim > 1 else 1


def _shapes(batch: Any) -> str:
    shapes = [str(tuple(leaf.shape)) for leaf in leaves(batch) if isinstance(leaf, Tensor)]
    return "shapes " + ", ".join(shapes) if shapes else "no tensors"


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
