"""Models from elsewhere: torchvision, timm, the user's own module."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hptune.errors import InputError, did_you_mean, one_line
from hptune.user_code import find


def library_model(
    full_name: str, args: Mapping[str, Any], *, input_shape: tuple[int, ...], outputs: int
) -> nn.Module:
    """Build "torchvision:NAME" or "timm:NAME" with `outputs` classes.

    The argument `weights` is a file with a state_dict; a head of another size is left as it is.

    Raises:
        InputError: The library is not installed, has no such model, or refuses the arguments.
    """
    library, _, name = full_name.partition(":")
    channels = None
    if library == "torchvision":
        from torchvision import models

        make, known, channels = models.get_model, models.list_models(module=models), 3
    else:
        make, known = _timm(full_name)
    if name.partition(".")[0] not in known:  # timm's weights stand behind a dot
        names = [f"{library}:{each}" for each in known]
        raise InputError(
            f"model.name: {full_name!r}; must be a model of {library}; "
            + did_you_mean(full_name.lower(), names, "see its list of models")
        )
    check_images(full_name, input_shape, channels)
    inferred: dict[str, Any] = {"num_classes": outputs}
    if library == "timm":
        inferred |= {"in_chans": input_shape[0], "pretrained": False}
    refuse_inferred(full_name, args, inferred)
    given = {key: value for key, value in args.items() if key != "weights"}
    model: nn.Module = _made(full_name, make, name, **inferred, **given)
    return load_weights(model, args.get("weights"))


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
    loaded = loaded if isinstance(loaded, Mapping) else {}
    for key in ("model", "state_dict"):
        if isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    own = model.state_dict()
    fitting = {
        key: value
        for key, value in loaded.items()
        if key in own and getattr(value, "shape", None) == own[key].shape
    }
    if len(fitting) < len(own) / 2:
        raise InputError(
            f"model.args.weights: {path!r} fits {len(fitting)} of the model's {len(own)} tensors; "
            "must be weights of this architecture; choose another file"
        )
    model.load_state_dict(fitting, strict=False)
    return model


def check_images(name: str, input_shape: tuple[int, ...], channels: int | None = None) -> None:
    """Refuse inputs that are no images (C, H, W), or of another number of channels.

    Raises:
        InputError: They are none.
    """
    if len(input_shape) != 3 or channels not in (None, input_shape[0]):
        images = "images (C, H, W)" if channels is None else f"colour images ({channels}, H, W)"
        raise InputError(
            f"model {name}: the inputs have shape {input_shape}; it needs {images}; choose another "
            "model, such as mlp"
        )


def _timm(full_name: str) -> tuple[Callable[..., Any], list[str]]:
    try:
        import timm
    except ImportError:
        raise InputError(
            f'model.name: {full_name!r}; timm is not installed; run pip install "hptune[timm]"'
        ) from None
    return timm.create_model, timm.list_models()


def user_model(name: str, args: Mapping[str, Any], **of_data: Any) -> nn.Module:
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
    model = _made(name, factory, **accepted(name, factory, args, of_data))
    if not isinstance(model, nn.Module):
        raise InputError(
            f"model.name: {name!r} returned a {type(model).__name__}; must return a torch.nn.Module; "
            "correct the function"
        )
    return model


def accepted(
    name: str, factory: Callable[..., Any], args: Mapping[str, Any], inferred: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what to call a factory with: the user's arguments, and those inferred that it takes.

    Raises:
        InputError: They do not fit its signature.
    """
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # a callable of C has none to read
        return dict(args)
    taken = signature.parameters
    given = {key: value for key, value in inferred.items() if key in taken} | dict(args)
    for key, value in args.items():
        usual = taken[key].default if key in taken else None
        if isinstance(value, bool) and isinstance(usual, str):
            raise InputError(
                f"model.args.{key}: {str(value).lower()}; {name} takes text, {usual!r} by default, and "
                "YAML reads on, off, yes and no as true and false; put the word in quotes"
            )
    try:
        signature.bind(**given)
    except TypeError as error:
        own = ", ".join(key for key in taken if key not in inferred)
        wrong = next((f".{key}: {args[key]!r}" for key in args if key not in taken), f": {args}")
        raise InputError(
            f"model.args{wrong}; {name} takes {own or 'no arguments'} ({error}); correct model.args"
        ) from error
    return given


def refuse_inferred(name: str, args: Mapping[str, Any], inferred: Mapping[str, Any]) -> None:
    """Refuse arguments of the user's in the place of hptune's."""
    for key in args.keys() & inferred.keys():
        raise InputError(
            f"model.args.{key}: {args[key]!r}; {name} gets {inferred[key]} from hptune; "
            f"leave {key} out"
        )


def _made(name: str, factory: Callable[..., Any], *args: Any, **given: Any) -> Any:
    """Call a factory that is not ours; whatever it raises is about its arguments."""
    try:
        return factory(*args, **given)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"model.args: {name} refuses {sorted(given)} ({type(error).__name__}: "
            f"{one_line(error)}); correct model.args"
        ) from error
