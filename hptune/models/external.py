"""Models from elsewhere: torchvision, timm, the user's own module."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from hptune.errors import InputError, did_you_mean, one_line
from hptune.user_code import find


def library_model(
    full_name: str, args: Mapping[str, Any], *, input_shape: tuple[int, ...], outputs: int
) -> nn.Module:
    """Build "torchvision:NAME" or "timm:NAME" with `outputs` classes.

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
    model: nn.Module = _made(full_name, make, name, **inferred, **args)
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
