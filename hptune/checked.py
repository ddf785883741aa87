"""Functions whose arguments are checked by their annotations, so that nothing raw comes out of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from hptune.errors import InputError, did_you_mean
from hptune.explain import explain, short
from hptune.section import Count, NotNegative, Positive, Seed, Whole

F = TypeVar("F", bound=Callable[..., Any])
_DIGITS = {2: 3, 4: 7}  # that a float of so many bytes holds
_BY_PLACE = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)


def checked(function: F) -> F:
    """Check what a function is called with by its annotations; a fault is an `InputError` in one line.

    A keyword that it has not is one too, with the nearest that it has. Keywords of an
    `Unpack[TypedDict]` are checked one by one. The signature stays as it is.
    """
    parameters = inspect.signature(function).parameters
    by_place = [p.name for p in parameters.values() if p.kind in _BY_PLACE]
    starred = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [p.name for p in parameters.values() if p.default is p.empty and p.kind not in starred]

    @functools.cache  # at the first call: what the annotations name is imported by then
    def kinds() -> dict[str, Any]:
        hints = get_type_hints(function, include_extras=True)
        hints.pop("return", None)
        for parameter in parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD and parameter.name in hints:
                (options,) = get_args(hints.pop(parameter.name))
                hints |= get_type_hints(options, include_extras=True)
        return hints

    @functools.wraps(function)
    def call(*args: Any, **given: Any) -> Any:
        known = kinds()
        if len(args) > len(by_place):
            raise InputError(
                f"{short(args[len(by_place)])}: given without a name; must be named; write one of "
                f"{', '.join(n for n in known if n not in by_place)} before it"
            )
        named = dict(zip(by_place, args, strict=False))
        if twice := named.keys() & given.keys():
            raise InputError(f"{twice.pop()}: given twice; must be given once; leave one out")
        named |= given
        for name in named:
            if name not in known and name != "self":
                hint = did_you_mean(name, known, f"the keywords are {', '.join(known)}")
                raise InputError(f"{name}: there is no such keyword; {hint}")
        if missing := [name for name in needed if name not in named]:
            raise InputError(f"{missing[0]}: missing; must be given; add it")
        return function(**{k: _taken(k, known.get(k, Any), value) for k, value in named.items()})

    return call  # type: ignore[return-value]


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))


def _taken(name: str, kind: Any, value: Any) -> Any:
    if kind is Any:
        return value
    try:
        return _adapter(kind).validate_python(value)
    except ValidationError as error:
        raise InputError(explain(error, name=name)) from None


def plain(value: Any) -> Any:
    """Return a number of NumPy or torch as Python's own: a float32 of 0.1 is 0.1."""
    if not hasattr(value, "tolist"):
        return value
    found = value.tolist()
    digits = _DIGITS.get(getattr(getattr(value, "dtype", None), "itemsize", 8))
    return float(f"{found:.{digits}g}") if digits and isinstance(found, float) else found


def _number(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError("must be a number; leave the quotes out")
    value = plain(value)
    if isinstance(value, list | tuple):
        raise ValueError("must be one number; to compare several, see hptune.sweep")
    return value


_Number = BeforeValidator(_number)
PositiveNumber = Annotated[Positive, _Number]
NotNegativeNumber = Annotated[NotNegative, _Number]
CountNumber = Annotated[Count, _Number]
WholeNumber = Annotated[Whole, _Number]
SeedNumber = Annotated[Seed, _Number]
