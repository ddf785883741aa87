"""What identifies a task that was put together in Python: its trials are reused only by its like."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from types import CodeType
from typing import Any

import torch
from torch import nn

_ADDRESS = re.compile(r"0x[0-9a-f]+")


def fingerprint(model: nn.Module, code: Sequence[Any], data: Sequence[str]) -> str:
    """Return twelve hexadecimal digits of a task's content.

    Args:
        model: Fresh, made under a fixed seed: its structure and its weights count.
        code: Functions that compute loss and metrics.
        data: Digests of the splits.
    """
    digest = hashlib.sha256(_ADDRESS.sub("", repr(model)).encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):
            digest.update(value.detach().cpu().double().numpy().tobytes())
    for item in code:
        digest.update(described(item).encode())
    digest.update(repr(list(data)).encode())
    return digest.hexdigest()[:12]


def described(item: Any) -> str:
    """Return a function or object as text that is the same in the next process."""
    if isinstance(item, functools.partial):
        return f"{described(item.func)} {described(item.args)} {described(item.keywords)}"
    if isinstance(item, list | tuple):
        return " ".join(described(inner) for inner in item)
    if isinstance(item, dict):
        return " ".join(f"{key}={described(inner)}" for key, inner in item.items())
    if is_dataclass(item) and not isinstance(item, type):
        parts = [described(getattr(item, field.name)) for field in fields(item)]
        return f"{type(item).__qualname__} {' '.join(parts)}"
    if (code := getattr(item, "__code__", None)) is not None:
        return f"{item.__qualname__} {_code(code)}"
    return _ADDRESS.sub("", repr(item))


def _code(code: CodeType) -> str:
    constants = [_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {' '.join(constants)}"
