"""Experiments from YAML and back, with errors that name the file, the key, the value and the rule."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from hptune.config.schema import Experiment
from hptune.errors import InputError

BUNDLED = "the bundled digits experiment"


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads 1e-3 as a number and refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# YAML 1.1 wants a dot and a sign in the exponent; people write 1e-3.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*)(\.\d*)?[eE][-+]?\d+$|^[-+]?\.\d+[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def load_experiment(path: Path | None, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment.

    Args:
        path: A YAML file, None for the bundled digits.
        overrides: "key.path=value" each, the value in YAML.

    Raises:
        InputError: The file cannot be read, or says something that hptune does not understand.
    """
    if path is None:
        text = (resources.files("hptune.config") / "digits.yaml").read_text()
        where = BUNDLED
    else:
        where = str(path)
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise InputError(
                f"{where}: {reason}; must be a YAML file that can be read; correct the path"
            ) from None
    values = parse(text, where)
    for override in overrides:
        key, sign, value = override.partition("=")
        if not sign or not key:
            raise InputError(
                f"--set: {override!r}; must be key.path=value; write --set seed=1, say"
            )
        _put(values, key.strip(), parse_value(value, f"--set {key}"), f"--set {override}")
    experiment = _validated(values, where, overrides)
    return _with_paths(experiment, path)


def parse(text: str, where: str) -> dict[str, Any]:
    """Return the mapping that a YAML text holds.

    Raises:
        InputError: It is not YAML, or not a mapping.
    """
    values = parse_value(text, where)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(
            f"{where}: a {type(values).__name__}; must be keys with values; see configs/"
        )
    return values


def parse_value(text: str, where: str) -> Any:
    """Return a YAML value.

    Raises:
        InputError: It is not YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise InputError(f"{where}: {problem}{line}; must be valid YAML; correct it") from None


def dump(experiment: Experiment) -> str:
    """Return an experiment as YAML that loads to the same."""
    values = experiment.model_dump(mode="json")
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)


def with_value(experiment: Experiment, key: str, value: Any) -> Experiment:
    """Return an experiment with the value at a key path changed.

    Raises:
        InputError: No such key, or a value that it does not take.
    """
    values = experiment.model_dump(mode="json")
    _put(values, key, value, key)
    return _validated(values, key, ())


def _put(values: dict[str, Any], key: str, value: Any, where: str) -> None:
    *parents, last = key.split(".")
    for name in parents:
        inner = values.setdefault(name, {})
        if inner is None:
            inner = values[name] = {}
        if not isinstance(inner, dict):
            raise InputError(f"{where}: {name!r} holds a value, no section; correct the key path")
        values = inner
    if last == "name" and values.get("name") != value:
        values.pop("args", None)  # they belong to what was named before
    values[last] = value


def _validated(values: dict[str, Any], where: str, overrides: Sequence[str]) -> Experiment:
    try:
        return Experiment.model_validate(values)
    except ValidationError as error:
        raise InputError(_explain(error, where, overrides)) from None
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _explain(error: ValidationError, where: str, overrides: Sequence[str]) -> str:
    problems = error.errors()
    first = problems[0]
    location = [str(part) for part in first["loc"] if not _is_union_tag(part)]
    key = ".".join(location)
    if any(override.partition("=")[0].strip() == key for override in overrides):
        where = "--set"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        known = _keys_at(location[:-1])
        close = get_close_matches(location[-1], known, 1)
        remedy = f"did you mean {close[0]!r}?" if close else f"the keys are {', '.join(known)}"
        return f"{where}: {key}: there is no such key; {remedy}{more}"
    value = first.get("input")
    shown = repr(value) if len(repr(value)) < 60 else repr(value)[:57] + "..."
    rule = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
    rule = rule[0].lower() + rule[1:]
    return f"{where}: {key}: {shown}; {rule.replace('should', 'must')}; correct the value{more}"


def _is_union_tag(part: int | str) -> bool:
    return isinstance(part, str) and (part.startswith(("tuple[", "literal[")))


def _keys_at(location: Sequence[str]) -> list[str]:
    """Return the keys of the section at a location."""
    model: Any = Experiment
    for name in location:
        if name.isdigit():
            continue
        annotation = model.model_fields[name].annotation
        inner = [annotation, *getattr(annotation, "__args__", ())]
        model = next(t for t in inner if isinstance(t, type) and issubclass(t, BaseModel))
    return list(model.model_fields)


def _with_paths(experiment: Experiment, config: Path | None) -> Experiment:
    """Take relative paths of the data from the working folder, else from the config's."""
    changes: dict[str, str] = {}
    for key in ("path", "root"):
        value = getattr(experiment.data, key)
        if value is None or config is None or Path(value).expanduser().exists():
            continue
        beside = config.resolve().parent / value
        if beside.exists():
            changes[key] = str(beside)
    if not changes:
        return experiment
    data = experiment.data.model_copy(update=changes)
    return experiment.model_copy(update={"data": data})
