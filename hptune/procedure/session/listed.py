"""The values that a user lists for a sweep, all checked before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from hptune.config.load import with_value
from hptune.errors import InputError, did_you_mean
from hptune.procedure.session.context import Context
from hptune.procedure.sweep_key import DROPOUT_RATES, PATHS
from hptune.results.records import Value
from hptune.stages import OPTIMIZER, STAGES, procedure, swept


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
    if stage is None and key not in PATHS:
        _check_key(context, key, values)
    if values is None:
        if key == "dropout":  # its own rates need a model that has dropout layers
            _checked(context, PATHS[key], DROPOUT_RATES[0])
        return None
    texts = [str(value) for value in values]
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


def _check_key(context: Context, key: str, values: Sequence[Value] | None) -> None:
    if "." not in key and not hasattr(context.experiment, key):
        named = [*(name for stage in procedure() for name in stage.aliases), *PATHS]
        raise InputError(
            f"sweep {key}: no such hyper-parameter; must be {', '.join(named)}, or a key path such "
            "as optimizer.args.eps; " + did_you_mean(key, named, "choose one")
        )
    if values is None:
        raise InputError(f"sweep {key}: no values; a key path needs them; give --values A,B,C")


def _checked(context: Context, path: str, value: Value) -> Any:
    """Return a value as the experiment takes it, after a first batch through all that it changes."""
    if path == PATHS["lr"]:
        return with_value(context.experiment, path, value).hyper_parameters.lr
    other = context.variant(path, value)
    if path == STAGES[OPTIMIZER].parameter and other.is_open:
        raise InputError(
            f"{path}: {value}; must be an optimizer to be compared with the others; name it"
        )
    other.check()
    return value
