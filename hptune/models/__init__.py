"""The models: the report's nets, an MLP, and what torchvision, timm or the user bring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hptune.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

    from hptune.models.caffe import LeNet, ThreeLayer
    from hptune.models.densenet import DenseNet
    from hptune.models.resnet import ResNet

    ImageNet = type[ThreeLayer] | type[LeNet] | type[ResNet] | type[DenseNet]

__all__ = ["build", "names"]

_EXAMPLES = (
    "mlp",
    "three-layer",
    "lenet",
    "resnet-20",
    "resnet-32",
    "resnet-44",
    "resnet-56",
    "resnet-110",
    "wide-resnet-32-4",
    "densenet-40-12",
    "torchvision:NAME",
    "timm:NAME",
    "package.module:callable",
)


def names() -> list[str]:
    """Return the names that `build` knows, patterns among them."""
    return list(_EXAMPLES)


def build(
    name: str, args: Mapping[str, Any], *, input_shape: tuple[int, ...], outputs: int
) -> nn.Module:
    """Build a fresh model by name.

    Args:
        name: One of `names`; depth and width of the residual and dense nets are part of it.
        args: The model's own arguments.
        input_shape: Of one example, (C, H, W) for images.
        outputs: Classes, or columns of a regression's target.

    Raises:
        InputError: Unknown name or argument, or an input that the net does not take.
    """
    from hptune.models import external

    if name.startswith("torchvision:"):
        name = name.removeprefix("torchvision:")
        return external.torchvision_model(name, args, input_shape=input_shape, outputs=outputs)
    if name.startswith("timm:"):
        name = name.removeprefix("timm:")
        return external.timm_model(name, args, input_shape=input_shape, outputs=outputs)
    if ":" in name:
        return external.user_model(name, args, input_shape=input_shape, outputs=outputs)
    if name == "mlp":
        from math import prod

        from hptune.models.mlp import mlp

        return _call(name, mlp, args, inputs=prod(input_shape), outputs=outputs)
    return _image_net(name, args, input_shape, outputs)


def _image_net(
    name: str, args: Mapping[str, Any], input_shape: tuple[int, ...], outputs: int
) -> nn.Module:
    factory, sizes = _find(name)
    if len(input_shape) != 3:
        raise InputError(
            f"model {name}: the inputs have shape {input_shape}; it needs images (C, H, W); choose mlp"
        )
    channels, height, width = input_shape
    if min(height, width) < factory.smallest:
        raise InputError(
            f"model {name}: the images are {width}x{height}; it needs "
            f"{factory.smallest}x{factory.smallest} at least; choose another model or set data.resize"
        )
    if name in ("three-layer", "lenet"):
        sizes |= {"height": height, "width": width}
    return _call(name, factory, args, **sizes, channels=channels, outputs=outputs)


def _find(name: str) -> tuple[ImageNet, dict[str, int]]:
    """Return the class of an image net, and the sizes that are part of its name."""
    from hptune.models.caffe import LeNet, ThreeLayer
    from hptune.models.densenet import DenseNet
    from hptune.models.resnet import ResNet

    if name == "three-layer":
        return ThreeLayer, {}
    if name == "lenet":
        return LeNet, {}
    if match := re.fullmatch(r"resnet-(\d+)", name):
        return ResNet, {"depth": _depth(name, int(match[1]), 6, 2), "width": 1}
    if match := re.fullmatch(r"wide-resnet-(\d+)-([1-9]\d*)", name):
        return ResNet, {"depth": _depth(name, int(match[1]), 6, 2), "width": int(match[2])}
    if match := re.fullmatch(r"densenet-(\d+)-([1-9]\d*)", name):
        return DenseNet, {"depth": _depth(name, int(match[1]), 3, 4), "growth": int(match[2])}
    raise InputError(
        f"model.name: {name!r}; must be one of {', '.join(_EXAMPLES)}; "
        + did_you_mean(name.lower(), _EXAMPLES, "choose one of these")
    )


def _depth(name: str, depth: int, step: int, offset: int) -> int:
    if depth < step + offset or (depth - offset) % step:
        nearest = max(1, round((depth - offset) / step)) * step + offset
        raise InputError(
            f"model.name: {name!r}; its depth must be {step}n + {offset}; {nearest} is the nearest"
        )
    return depth


def _call(
    name: str, factory: Callable[..., nn.Module], args: Mapping[str, Any], **inferred: int
) -> nn.Module:
    accepted = [key for key in inspect.signature(factory).parameters if key not in inferred]
    for key in args:
        if key not in accepted:
            rule = f"takes {', '.join(accepted)}" if accepted else "takes no arguments"
            raise InputError(f"model.args.{key}: {args[key]!r}; {name} {rule}; correct model.args")
    return factory(**inferred, **args)
