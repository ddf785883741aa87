"""What pydantic found wrong, in one line: the key's path, the value, the rule, the remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from hptune.errors import did_you_mean

# Pydantic's words for Python's types, in YAML's words.
_RULES = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "callable_type": "must be a function",
    "dict_type": "must be keys with values",
    "float_parsing": "must be a valid number",
    "int_from_float": "must be a valid integer",
    "int_parsing": "must be a valid integer",
    "string_type": "must be text; put it in quotes",
    "string_too_short": "must not be empty",
    "too_short": "must have one value at least",
    "tuple_type": "must be a list; write [A, B]",
}
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_SHOWN = 60  # characters of a value


def explain(error: ValidationError, model: type[BaseModel] | None = None, *, name: str = "") -> str:
    """Return the first problem in one line, and how many more there are.

    Args:
        error: From validating `model`, or a plain value.
        model: Whose keys are suggested for a misspelt one; None for a value of Python.
        name: Of what was validated, where it is a part of something.
    """
    first, *others = error.errors(include_url=False)
    more = f" (and {len(others)} more)" if others else ""
    return " ".join((_problem(first, model, name) + more).splitlines())


def _problem(problem: Mapping[str, Any], model: type[BaseModel] | None, name: str) -> str:
    location, kind, message = problem["loc"], problem["type"], problem["msg"]
    key = ".".join(map(str, (name, *location) if name else location))
    if model is not None and kind == "extra_forbidden":
        known = list(_section(model, location[:-1]).model_fields)
        remedy = did_you_mean(str(location[-1]), known, f"the keys are {', '.join(known)}")
        return f"{key}: there is no such key; {remedy}"
    if kind == "missing":
        return f"{key}: missing; must be given; add it"
    if location[-1:] == ("[key]",) or kind == "invalid_key":
        return f"{key.removesuffix('.[key]')}: a key that is no text; put it in quotes"
    if model is not None and kind in ("model_type", "model_attributes_type"):
        keys = ", ".join(_section(model, location).model_fields)
        rule = f"must be a section; write keys with values below it, of {keys}"
    elif kind in _RULES:
        rule = _RULES[kind]
    else:
        text = message.removeprefix("Input ").removeprefix("Value error, ")
        rule = (text[0].lower() + text[1:]).replace("should", "must")
    if ";" not in rule:
        rule += "; choose one of these" if kind == "literal_error" else "; correct the value"
    value = problem["input"]
    in_yaml = model is not None and (value is None or isinstance(value, bool))
    return f"{key}: {json.dumps(value) if in_yaml else short(value)}; {rule}"


def short(value: Any) -> str:
    """Return a value as text that is not long, nor of several lines."""
    text = _ADDRESS.sub("", " ".join(repr(value).split()))
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _section(model: type[BaseModel], location: Sequence[str | int]) -> type[BaseModel]:
    """Return the section at a location, through the items of lists of sections."""
    for name in location:
        if isinstance(name, int):
            continue
        annotation = model.model_fields[name].annotation
        inner = (annotation, *getattr(annotation, "__args__", ()))
        model = next(t for t in inner if isinstance(t, type) and issubclass(t, BaseModel))
    return model
