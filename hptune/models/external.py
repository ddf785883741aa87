"""Models from elsewhere: torchvision, timm, the user's own module."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from hptune.errors import InputError, did_you_mean, one_line
from hptune.models.weights import (
    Inputs,
    Tell,
    fetch,
    inputs_of,
    load_file,
    take_in,
    torchvision_weights,
)
from hptune.user_code import find


def library_model(
    full_name: str,
    args: Mapping[str, Any],
    *,
    input_shape: tuple[int, ...],
    outputs: int,
    tell: Tell,
) -> nn.Module:
    """Build "torchvision:NAME" or "timm:NAME" with `outputs` classes.

    The argument `weights` is a file with a state_dict, or a name that the library has for weights;
    a head of another size is left as it is.

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
        inferred["in_chans"] = input_shape[0]
    refuse_inferred(full_name, args, inferred)
    given = {key: value for key, value in args.items() if key != "weights"}
    weights = args.get("weights")
    if weights is not None and not isinstance(weights, str):
        raise InputError(
            f"model.args.weights: {weights!r}; must be a file or a name of weights, such as DEFAULT; "
            "correct it"
        )
    build = partial(_made, full_name, make)
    if library == "timm":
        return _timm_model(build, name, inferred | given, weights, input_shape, tell)
    model: nn.Module = build(name, **inferred, **given)
    if weights is None:
        return model
    named = torchvision_weights(name)
    found = named.get(weights.rpartition(".")[2].upper())
    if found is None or Path(weights).exists():
        load_file(model, weights, tell, named)
        same = (each for each in named.values() if Path(each.url).name == Path(weights).name)
        found = next(same, None)
    else:
        take_in(model, fetch(found, weights), f"{found}", tell)
    if found is not None:
        _tell_of_inputs(inputs_of(found), input_shape, tell)
    return model


def _timm_model(
    build: Callable[..., Any],
    name: str,
    args: dict[str, Any],
    weights: str | None,
    input_shape: tuple[int, ...],
    tell: Tell,
) -> nn.Module:
    """Build a model of timm, which puts a new head on its weights itself."""
    import timm

    name, _, tag = name.partition(".")
    tags = [each.partition(".")[2] for each in timm.list_models(f"{name}.*", pretrained=True)]
    file: str | None = weights
    if weights is not None and (weights == "DEFAULT" or weights in tags):
        file, args["pretrained"] = None, True
        tag = weights if weights != "DEFAULT" else tag
    full = f"{name}.{tag}" if tag else name
    model: nn.Module = build(full, **{"pretrained": False} | args)
    if file is not None:
        load_file(model, file, tell, dict.fromkeys(["DEFAULT", *tags]))
    if args.get("pretrained"):
        shown: Any = getattr(model, "pretrained_cfg", {})
        if {"input_size", "mean", "std"} <= shown.keys():
            size = shown["input_size"][-2:]
            _tell_of_inputs(Inputs(size, shown["mean"], shown["std"]), input_shape, tell)
    return model


def _tell_of_inputs(trained: Inputs | None, input_shape: tuple[int, ...], tell: Tell) -> None:
    """Say what images the weights are for, and what makes the data's like them."""
    if trained is not None:
        tell(
            f"the weights were trained on images of {trained}; these are "
            f"{input_shape[2]}x{input_shape[1]}, normalized as data.normalize says: imagenet takes "
            "ImageNet's mean and std, data.resize another size"
        )


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
