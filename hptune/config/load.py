"""Experiments from YAML, with overrides, and back."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hptune.config import yaml_text
from hptune.config.schema import Experiment
from hptune.config.yaml_text import parse as parse_value
from hptune.errors import InputError
from hptune.explain import explain
from hptune.user_code import name_of_command

__all__ = ["BUNDLED", "dump", "load_experiment", "parse_setting", "parse_value", "with_value"]

LOOP = "own-loop"
BUNDLED = "the bundled digits experiment"


def load_experiment(path: Path | None, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment.

    Relative paths of the data are taken from the config's folder where they are there, else
    from the working folder; overrides from the working folder alone. They come out absolute,
    so that the resolved experiment means the same wherever it is read.

    Args:
        path: A YAML file, None for the bundled digits.
        overrides: "key.path=value" each, the value in YAML.

    Raises:
        InputError: The file cannot be read, or says something that hptune does not understand.
    """
    where = BUNDLED if path is None else str(path)
    settings = [parse_setting(override) for override in overrides]
    own_loop = path is None and any(key in ("command", "function") for key, _ in settings)
    # A training loop of the user's own has nothing of the bundled experiment.
    written = {"name": LOOP} if own_loop else parse_value(_read(path), where)
    if written is None:
        written = {}
    if not isinstance(written, dict):
        raise InputError(
            f"{where}: a {type(written).__name__}; must be keys with values; see configs/"
        )
    if path is not None:
        _take_paths_from(path.resolve().parent, written)
    values = deepcopy(written)
    for key, value in settings:
        _put(values, key, value, "--set: ")
    if path is None and values["name"] == written["name"]:
        values["name"] = _name_of_loop(values) or _name_of(values.get("data")) or written["name"]
    _take_paths_from(Path.cwd(), values)
    try:
        experiment = _validated(values)
    except InputError as error:
        with suppress(InputError):
            if overrides:
                _validated(written)
                where = "--set"  # the file by itself is sound
        raise InputError(f"{where}: {error}") from None
    _check_order(experiment, where)
    return experiment


def parse_setting(text: str) -> tuple[str, Any]:
    """Return key path and value of an option KEY.PATH=VALUE, the value in YAML.

    Raises:
        InputError: It is not of this form.
    """
    key, sign, value = text.partition("=")
    key = key.strip()
    if not sign or not all(key.split(".")):
        raise InputError(f"--set: {text!r}; must be KEY.PATH=VALUE; write --set seed=1, say")
    return key, parse_value(value, f"--set {key}")


def name_from(data: str) -> str:
    """Return what an experiment on data of a name is called; a folder will have this name."""
    return re.sub(r"[^\w.-]+", "-", data).strip("-.") or "experiment"


def _name_of_loop(values: dict[str, Any]) -> str | None:
    """Return what an experiment on a training loop of the user's own is called: as its script."""
    command, function = values.get("command"), values.get("function")
    with suppress(TypeError, ValueError):  # which the schema refuses
        words = shlex.split(command) if isinstance(command, str) else [*map(str, command or ())]
        if words:
            return name_from(name_of_command(words))
    return name_from(str(function).rpartition(":")[2]) if function else None


def _name_of(data: Any) -> str | None:
    """Return the name of data that are others than the bundled ones, else None."""
    if not isinstance(data, dict) or data.get("name", "digits") == "digits":
        return None
    path = data.get("path")  # "." and ".." have names, too
    return name_from(Path(str(path)).resolve().stem if path else Path(str(data["name"])).name)


def dump(experiment: Experiment) -> str:
    """Return an experiment as YAML that loads to the same."""
    return yaml_text.write(experiment.model_dump())


def with_value(experiment: Experiment, key: str, value: Any) -> Experiment:
    """Return an experiment with the value at a key path changed.

    A section's new name drops the arguments of what was named before.

    Raises:
        InputError: No such key, or a value that it does not take.
    """
    values = experiment.model_dump()
    _put(values, key, value)
    return _validated(values)


def _read(path: Path | None) -> str:
    if path is None:
        return (resources.files("hptune.config") / "digits.yaml").read_text(encoding="utf-8")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text in UTF-8"
        raise InputError(
            f"{path}: {reason}; must be a YAML file that can be read; correct the path"
        ) from None


def _put(values: dict[str, Any], key: str, value: Any, where: str = "") -> None:
    """Set the value at a key path, in place; sections that are not there are made."""
    *parents, last = key.split(".")
    for name in parents:
        if values.get(name) is None:
            values[name] = {}
        if not isinstance(values[name], dict):
            raise InputError(
                f"{where}{key}: {name!r} holds a value, no section; correct the key path"
            )
        values = values[name]
    if last == "name" and values.get("name") != value:
        values.pop("args", None)  # they belong to what was named before
    values[last] = value


def _validated(values: dict[str, Any]) -> Experiment:
    try:
        return Experiment.model_validate(values)
    except ValidationError as error:
        raise InputError(explain(error, Experiment)) from None


def _check_order(experiment: Experiment, where: str) -> None:
    """Refuse a minimum above its maximum.

    Not the schema's: the procedure changes one value after the other.
    """
    given, test = experiment.hyper_parameters, experiment.procedure.lr_range
    for section, key, low, limit, high in (
        ("hyper_parameters", "lr_min", given.lr_min, "lr", given.lr),
        ("hyper_parameters", "momentum_min", given.momentum_min, "momentum", given.momentum),
        ("procedure.lr_range", "lr_low", test.lr_low, "lr_high", test.lr_high),
    ):
        if low is not None and high is not None and low > high:
            raise InputError(
                f"{where}: {section}.{key}: {low:g}; must not exceed {limit}, which is {high:g}; lower it"
            )


def _take_paths_from(folder: Path, values: dict[str, Any]) -> None:
    """Make paths of the data absolute, in place, from a folder where they are in it."""
    data: Any = values.get("data")
    for key in ("path", "root") if isinstance(data, dict) else ():
        value = data.get(key)
        if isinstance(value, str) and value:
            there = folder / value
            data[key] = str(there if there.exists() else Path(value).expanduser().absolute())
