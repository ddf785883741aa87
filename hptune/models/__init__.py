"""The models: the report's nets, an MLP, and what torchvision, timm or the user bring."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import nn

from hptune.errors import InputError, did_you_mean
from hptune.models.caffe import LeNet, ThreeLayer
from hptune.models.densenet import DenseNet
from hptune.models.external import (
    accepted,
    check_images,
    library_model,
    refuse_inferred,
    user_model,
)
from hptune.models.mlp import mlp
from hptune.models.resnet import ResNet
from hptune.models.weights import Tell, load_file

__all__ = ["NAMES", "build", "say_nothing"]

# As people read them; each stands for its kind.
NAMES = (
    *("mlp", "three-layer", "lenet"),
    *("resnet-20", "resnet-32", "resnet-44", "resnet-56", "resnet-110"),
    *("wide-resnet-32-4", "densenet-40-12"),
    *("torchvision:NAME", "timm:NAME", "package.module:callable"),
)


class _Net(NamedTuple):
    """A bundled net.

    Attributes:
        make: Returns it.
        smallest: Pixels a side of the images it takes; 0 takes inputs of any shape.
        depth: (step, offset) of the depths it can have.
    """

    make: Callable[..., nn.Module]
    smallest: int
    depth: tuple[int, int] = (1, 0)


# By a pattern of the name; the groups in it are arguments of the factory.
_NETS = {
    r"mlp": _Net(mlp, 0),
    r"three-layer": _Net(ThreeLayer, 8),  # a window of 3 is pooled three times
    r"lenet": _Net(LeNet, 13),  # leaves the second convolution one pixel
    r"resnet-(?P<depth>\d+)": _Net(ResNet, 1, (6, 2)),
    r"wide-resnet-(?P<depth>\d+)-(?P<width>[1-9]\d*)": _Net(ResNet, 1, (6, 2)),
    r"densenet-(?P<depth>\d+)-(?P<growth>[1-9]\d*)": _Net(DenseNet, 4, (3, 4)),
}


def say_nothing(sentence: str) -> None:
    """Pass over what is told of a model."""


def build(
    name: str,
    args: Mapping[str, Any],
    *,
    input_shape: tuple[int, ...],
    outputs: int,
    tell: Tell = say_nothing,
) -> nn.Module:
    """Build a fresh model by name.

    Args:
        name: As in `NAMES`; depth and width of the residual and dense nets are part of it.
        args: The model's own arguments; `weights` is a file with a state_dict, but for the user's
            own module, which has its own use for it.
        input_shape: Of one example, (C, H, W) for images.
        outputs: Classes, or columns of a regression's target.
        tell: Hears what the user should know of the model.

    Raises:
        InputError: Unknown name or argument, or an input that the net does not take.
    """
    of_data: dict[str, Any] = {"input_shape": input_shape, "outputs": outputs}
    if name.startswith(("torchvision:", "timm:")):
        return library_model(name, args, **of_data, tell=tell)
    if ":" in name:
        return user_model(name, args, **of_data)
    for pattern, net in _NETS.items():
        if match := re.fullmatch(pattern, name):
            sizes = {key: int(size) for key, size in match.groupdict().items()}
            _check(name, net, sizes.get("depth"), input_shape)
            refuse_inferred(name, args, of_data | sizes)
            given = {key: value for key, value in args.items() if key != "weights"}
            model = net.make(**accepted(name, net.make, given, of_data | sizes))
            if (weights := args.get("weights")) is not None:
                load_file(model, str(weights), tell, {})
            return model
    raise InputError(
        f"model.name: {name!r}; must be one of {', '.join(NAMES)}; "
        + did_you_mean(name.lower(), NAMES, "choose one of these")
    )


def _check(name: str, net: _Net, depth: int | None, input_shape: tuple[int, ...]) -> None:
    step, offset = net.depth
    if depth is not None and (depth < step + offset or (depth - offset) % step):
        nearest = max(1, round((depth - offset) / step)) * step + offset
        raise InputError(
            f"model.name: {name!r}; its depth must be {step}n + {offset}; {nearest} is the nearest"
        )
    if not net.smallest:
        return
    check_images(name, input_shape)
    _, height, width = input_shape
    if min(height, width) < net.smallest:
        raise InputError(
            f"model {name}: the images are {width}x{height}; it needs "
            f"{net.smallest}x{net.smallest} at least; choose another model or set data.resize"
        )
