"""The optimizer as a user has it at hand: a name, a section, a class, or a class with arguments."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch.optim import Optimizer

from hptune.errors import InputError
from hptune.explain import short

_REMEDY = 'give its name, "adamw", its class, torch.optim.AdamW, or that in functools.partial'


def optimizer_name(cls: type[Optimizer]) -> str:
    """Return the name by which an experiment finds an optimizer class.

    Raises:
        InputError: It is defined where nothing can import it from.
    """
    if cls.__module__.startswith("torch.optim"):
        return cls.__name__.lower()
    if "<locals>" in cls.__qualname__:
        raise InputError(
            f"optimizer: {cls.__qualname__}; must be a class that can be imported, each trial makes "
            "its own; move it out of the function"
        )
    return f"{cls.__module__}:{cls.__qualname__}"


def as_section(given: Any) -> str | Mapping[str, Any] | None:
    """Return what was given for the optimizer as a name or a section of the experiment.

    Raises:
        InputError: It is none that a trial could make anew.
    """
    if given is None or isinstance(given, str | Mapping):
        return given
    cls, args = (given.func, given.keywords) if isinstance(given, partial) else (given, {})
    if isinstance(cls, type) and issubclass(cls, Optimizer):
        name = optimizer_name(cls)
        return {"name": name, "args": dict(args)} if args else name
    if isinstance(given, Optimizer):
        raise InputError(
            f"optimizer: a {type(given).__name__} that is made already; each trial makes its own; "
            f"give its class, {type(given).__name__}"
        )
    raise InputError(f"optimizer: {short(given)}; must be one that each trial can make; {_REMEDY}")
