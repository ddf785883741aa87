"""Models from elsewhere: torchvision, timm, the user's own module."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hptune.errors import InputError, did_you_mean
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

    full_name = f"torchvision:{name}"
    models = torchvision.models.list_models(module=torchvision.models)
    if name not in models:
        raise _unknown("torchvision", name, models)
    if len(input_shape) != 3 or input_shape[0] != 3:
        raise InputError(
            f"model {full_name}: the inputs have shape {input_shape}; it needs colour images "
            "(3, H, W); choose another model"
        )
    given, inferred = _apart(full_name, args, {"num_classes": outputs})
    weights = given.pop("weights", None)
    make = torchvision.models.get_model
    model = _made(full_name, make, name, weights=None, **inferred, **given)
    return load_weights(model, weights)


def timm_model(
    name: str, args: Mapping[str, Any], *, input_shape: tuple[int, ...], outputs: int
) -> nn.Module:
    """Build a model of timm, with `outputs` classes and the data's channels.

    The argument `weights` is as for torchvision.

    Raises:
        InputError: timm is not installed, has no such model, or refuses the arguments.
    """
    try:
        import timm
    except ImportError:
        raise InputError(
            f"model.name: 'timm:{name}'; timm is not installed; run pip install \"hptune[timm]\""
        ) from None
    full_name = f"timm:{name}"
    if not timm.is_model(name):
        raise _unknown("timm", name, timm.list_models())
    if len(input_shape) != 3:
        raise InputError(
            f"model {full_name}: the inputs have shape {input_shape}; it needs images (C, H, W); "
            "choose mlp"
        )
    given, inferred = _apart(
        full_name, args, {"num_classes": outputs, "in_chans": input_shape[0], "pretrained": False}
    )
    weights = given.pop("weights", None)
    model = _made(full_name, timm.create_model, name, **inferred, **given)
    return load_weights(model, weights)


def user_model(
    name: str, args: Mapping[str, Any], *, input_shape: tuple[int, ...], outputs: int
) -> nn.Module:
    """Call the user's "package.module:callable" with `model.args`.

    `input_shape` and `outputs` are passed where it takes them by name.

    Raises:
        InputError: It cannot be imported, refuses the arguments, fails, or returns no module.
    """
    factory = find(name, "model.name")
    if not callable(factory):
        raise InputError(
            f"model.name: {name!r}; must be a class or function that returns a torch.nn.Module, "
            f"it is of type {type(factory).__name__}; correct the name"
        )
    inferred = {"input_shape": input_shape, "outputs": outputs}
    given = _accepted(name, factory, inferred, args)
    model = _made(name, factory, **given)
    if not isinstance(model, nn.Module):
        raise InputError(
            f"model.name: {name!r} returned a {type(model).__name__}; must return a torch.nn.Module; "
            "correct the function"
        )
    return model


def load_weights(model: nn.Module, path: str | None) -> nn.Module:
    """Load a state_dict from a file into a model, less a head of another size.

    A checkpoint that has the state_dict under "model" (as hptune's own) or "state_dict" fits too.

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
        ) from error
    for key in ("model", "state_dict"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    own = model.state_dict()
    fitting = {
        key: value
        for key, value in (loaded.items() if isinstance(loaded, Mapping) else ())
        if key in own and getattr(value, "shape", None) == own[key].shape
    }
    if len(fitting) < len(own) / 2:
        raise InputError(
            f"model.args.weights: {path!r} fits {len(fitting)} of the model's {len(own)} tensors; "
            "must be weights of this architecture; choose another file"
        )
    model.load_state_dict(fitting, strict=False)
    return model


def _apart(
    name: str, args: Mapping[str, Any], inferred: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return copies of the user's arguments and of ours, none of which is the user's to give."""
    for key in inferred:
        if key in args:
            raise InputError(
                f"model.args.{key}: {args[key]!r}; {name} gets {inferred[key]} from hptune; "
                f"leave {key} out"
            )
    return dict(args), dict(inferred)


def _accepted(
    name: str, factory: Callable[..., Any], inferred: Mapping[str, Any], args: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments to call the user's factory with.

    Raises:
        InputError: They do not fit its signature.
    """
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # a callable of C has none to read
        return dict(args)
    parameters = signature.parameters
    given = {key: value for key, value in inferred.items() if key in parameters} | dict(args)
    try:
        signature.bind(**given)
    except TypeError as error:
        raise InputError(
            f"model.args: {name} takes {', '.join(parameters) or 'no arguments'} ({error}); "
            "correct model.args"
        ) from error
    return given


def _made(name: str, factory: Callable[..., Any], *args: Any, **given: Any) -> Any:
    """Call a factory that is not ours; whatever it raises is about its arguments."""
    try:
        return factory(*args, **given)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"model.args: {name} refuses {sorted(given)} ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}); correct model.args"
        ) from error


def _unknown(library: str, name: str, known: Collection[str]) -> InputError:
    return InputError(
        f"model.name: '{library}:{name}'; must be a model of {library}; "
        + did_you_mean(
            f"{library}:{name.lower()}", [f"{library}:{k}" for k in known], "see its list of models"
        )
    )
