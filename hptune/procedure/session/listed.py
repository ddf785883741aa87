"""The values that a user lists for a sweep, all checked before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from inspect import signature
from typing import Any

from hptune.config.load import with_value
from hptune.config.yaml_text import Word
from hptune.errors import InputError, did_you_mean
from hptune.procedure.session.context import Context
from hptune.procedure.sweep_key import DROPOUT_RATES, PATHS, label
from hptune.results.records import Value
from hptune.stages import BALANCE, OPTIMIZER, STAGES, procedure, swept
from hptune.user_code import find


def listed_values(context: Context, key: str, values: Sequence[Value] | None) -> list[Any] | None:
    """Return the values of a sweep as the config's own key takes them; None where none are listed.

    Args:
        key: What is swept, as the user names it.
        values: As the user lists them.

    Raises:
        InputError: There is no such key, or a value that it does not take; or the model, the
            optimizer or a first batch fail with it.
    """
    stage = swept(key)
    if key == BALANCE:  # an LR, which is held against the one that is found by then
        return None if values is None else list(values)
    if stage is None and key not in PATHS:
        _check_key(context, key, values)
    if values is None:
        if key == "dropout":  # its own rates need a model that has dropout layers
            _checked(context, PATHS[key], DROPOUT_RATES[0])
        return None
    if isinstance(values, str):
        raise InputError(f"--values: {values!r}; must be a list of values; put it in brackets")
    values = _meant(context, PATHS.get(key, key), [_plain(value) for value in values])
    texts = [label(value) for value in values]
    if not texts or len(set(texts)) < len(texts):
        listed = ", ".join(texts) or "none"
        raise InputError(f"--values: {listed}; must be some values, each once; correct the list")
    try:
        if stage is None:
            return [_checked(context, PATHS.get(key, key), value) for value in values]
        section = stage.name.replace("-", "_")
        path = f"procedure.{section}.values"
        changed = with_value(context.experiment, path, list(values))
        wanted = getattr(changed.procedure, section).values
    except InputError as error:
        raise InputError(f"--values: {error}") from None
    check = getattr(import_module(stage.module), "check", None)
    if check is not None:
        check(context, wanted)
    return list(wanted)


def _plain(value: Any) -> Any:
    """Return a number or an array of NumPy or torch, or a tuple, as plain values."""
    if isinstance(value, tuple):
        return list(value)
    return value.tolist() if hasattr(value, "tolist") else value


def _meant(context: Context, path: str, values: Sequence[Value]) -> list[Value]:
    """Return values with on, off, yes and no as text where the key takes text, else as true and false.

    It does where another value is text, or what the key has now or by default.
    """
    texts = [value for value in values if type(value) is str]
    as_text = bool(texts) or isinstance(_present(context, path), str)
    return [
        (str(value) if as_text else value.truth) if isinstance(value, Word) else value
        for value in values
    ]


def _present(context: Context, path: str) -> Any:
    """Return the value at a key path; of an argument that is not given, the default of its function."""
    found: Any = context.experiment.model_dump()
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    section, _, argument = path.partition(".args.")
    function = getattr(getattr(context.experiment, section, None), "name", "")
    if found is None and argument and ":" in function:
        with suppress(
            InputError, KeyError, TypeError, ValueError
        ):  # of a library, or without a signature
            return signature(find(function, f"{section}.name")).parameters[argument].default
    return found


def _check_key(context: Context, key: str, values: Sequence[Value] | None) -> None:
    if "." not in key and not hasattr(context.experiment, key):
        named = [*(name for stage in procedure() for name in stage.aliases), *PATHS, BALANCE]
        raise InputError(
            f"sweep {key}: no such hyper-parameter; must be {', '.join(named)}, or a key path such "
            "as optimizer.args.eps; " + did_you_mean(key, named, "choose one")
        )
    if values is None:
        raise InputError(f"sweep {key}: no values; a key path needs them; give --values A,B,C")


def _checked(context: Context, path: str, value: Value) -> Any:
    """Return a value as the experiment takes it, after a first batch through all that it changes."""
    if path == PATHS["lr"]:
        if value is None:
            raise InputError("lr: null; must be a number; leave it out")
        return with_value(context.experiment, path, value).hyper_parameters.lr
    other = context.variant(path, value)
    if path == STAGES[OPTIMIZER].parameter and other.is_open:
        raise InputError(
            f"{path}: {value}; must be an optimizer to be compared with the others; name it"
        )
    other.check()
    return value
