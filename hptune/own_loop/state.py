"""The state of what a loop of the user's own saves: objects with `state_dict`, tensors, plain values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import Tensor

from hptune.errors import InputError

_PLAIN = (bool, int, float, str, bytes, type(None))


def state_of(name: str, part: Any) -> dict[str, Any]:
    """Return what is kept of a part.

    Raises:
        InputError: It is nothing that can be read again without executing code.
    """
    has_state = hasattr(part, "state_dict")
    value = part.state_dict() if has_state else part
    _check(name, value)
    return {"state": value} if has_state else {"value": value}


def load_parts(kept: Mapping[str, Any], parts: Mapping[str, Any]) -> dict[str, Any]:
    """Give parts their state back, and return the kept values of the others.

    Raises:
        InputError: A part was not saved, or its state does not fit.
    """
    check_names(parts, kept)
    for name, part in parts.items():
        if "state" in kept[name]:
            part.load_state_dict(kept[name]["state"])
    return {name: entry["value"] for name, entry in kept.items() if "value" in entry}


def check_names(wanted: Iterable[str], saved: Collection[str]) -> None:
    """Refuse to load what is not saved.

    Raises:
        InputError: A name is not among those that are.
    """
    for name in wanted:
        if name not in saved:
            raise InputError(
                f"trial.load: {name} was not saved; must be of {', '.join(saved)}; save it too"
            )


def _check(name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        for inner in value.values():
            _check(name, inner)
    elif isinstance(value, list | tuple | set):
        for inner in value:
            _check(name, inner)
    elif not isinstance(value, (Tensor, *_PLAIN)):
        raise InputError(
            f"trial.save: {name} holds a {type(value).__name__}; must have state_dict, or be tensors "
            "and plain values; save its parts"
        )
