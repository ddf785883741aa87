"""Models from elsewhere: torchvision, timm, the user's own module."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hptune.errors import InputError
from hptune.user_code import find


def torchvision_model(
    name: str, args: Mapping[str, Any], *, input_shape: tuple[int, ...], outputs: int
) -> nn.Module:
    """Build a model of torchvision, with `outputs` classes.

    The argument `weights` is a file with a state_dict; a head of another size is left as it is.

    Raises:
        InputError: No such model, or arguments it refuses.
    """
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    _known("torchvision", name, known)
    _colour(f"torchvision:{name}", input_shape)
    given = dict(args)
    weights = given.pop("weights", None)
    try:
        model = torchvision.models.get_model(name, weights=None, num_classes=outputs, **given)
    except (TypeError, ValueError) as error:
        raise InputError(f"model.args: torchvision:{name} refuses them: {error}") from None
    return load_weights(model, weights)


def timm_model(
    name: str, args: Mapping[str, Any], *, input_shape: tuple[int, ...], outputs: int
) -> nn.Module:
    """Build a model of timm, with `outputs` classes and the data's channels.

    Raises:
        InputError: timm is not installed, has no such model, or refuses the arguments.
    """
    try:
        import timm
    except ImportError:
        raise InputError(
            f"model.name: 'timm:{name}'; timm is not installed; run pip install \"hptune[timm]\""
        ) from None
    _known("timm", name, timm.list_models())
    given = dict(args)
    weights = given.pop("weights", None)
    try:
        model = timm.create_model(
            name, pretrained=False, num_classes=outputs, in_chans=input_shape[0], **given
        )
    except (TypeError, RuntimeError) as error:
        raise InputError(f"model.args: timm:{name} refuses them: {error}") from None
    return load_weights(model, weights)


def user_model(
    name: str, args: Mapping[str, Any], *, input_shape: tuple[int, ...], outputs: int
) -> nn.Module:
    """Call the user's "package.module:callable" with `model.args`.

    `input_shape` and `outputs` are passed where it takes them.

    Raises:
        InputError: It cannot be imported, refuses the arguments, or returns no module.
    """
    factory = find(name, "model.name")
    accepted = _parameters(factory)
    known = {"input_shape": input_shape, "outputs": outputs}
    inferred = {key: value for key, value in known.items() if key in accepted}
    try:
        model = factory(**(inferred | dict(args)))
    except TypeError as error:
        raise InputError(
            f"model.args: {name} refuses {sorted(inferred | dict(args))}: {error}; correct model.args"
        ) from error
    if not isinstance(model, nn.Module):
        raise InputError(
            f"model.name: {name!r} returned a {type(model).__name__}; must return a torch.nn.Module; "
            "correct the function"
        )
    return model


def load_weights(model: nn.Module, path: str | None) -> nn.Module:
    """Load a state_dict from a file into a model, less a head of another size.

    Raises:
        InputError: The file cannot be read, or has hardly anything for this model.
    """
    if path is None:
        return model
    try:
        loaded = torch.load(Path(path).expanduser(), map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"model.args.weights: {path!r}; must be a file with a state_dict "
            f"({type(error).__name__}); save one with torch.save(model.state_dict(), ...)"
        ) from None
    own = model.state_dict()
    fitting = {
        key: value
        for key, value in dict(loaded).items()
        if key in own and getattr(value, "shape", None) == own[key].shape
    }
    if len(fitting) < len(own) / 2:
        raise InputError(
            f"model.args.weights: {path!r} fits {len(fitting)} of the model's {len(own)} tensors; "
            "must be weights of this architecture; choose another file"
        )
    model.load_state_dict(fitting, strict=False)
    return model


def _parameters(factory: Any) -> set[str]:
    try:
        return set(inspect.signature(factory).parameters)
    except (TypeError, ValueError):
        return set()


def _known(library: str, name: str, known: list[str]) -> None:
    if name not in known:
        close = get_close_matches(name, known, 1)
        raise InputError(
            f"model.name: '{library}:{name}'; must be a model of {library}"
            + (f"; did you mean '{library}:{close[0]}'?" if close else "; see its list of models")
        )


def _colour(name: str, input_shape: tuple[int, ...]) -> None:
    if len(input_shape) != 3 or input_shape[0] != 3:
        raise InputError(
            f"model {name}: the inputs have shape {input_shape}; it needs colour images (3, H, W); "
            "choose another model"
        )
