"""What the shell completes besides files and folders: keys of the config, stages, policies, what is swept.

`_HPTUNE_COMPLETE=bash_source hptune` prints click's own script for bash; zsh and fish likewise. Bash
takes = for the end of a word, so there the values of `--set KEY=` are not offered. Nothing here may
import torch: the shell waits for it at every TAB.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

import click
from click.shell_completion import CompletionItem

from hptune.stages import procedure

Items = list[CompletionItem[str]]
Complete = Callable[[click.Context, click.Parameter, str], Items]
SWEPT = {"lr": "maximum learning rate", "dropout": "rate of the model's dropout layers"}


def words(*known: str) -> Complete:
    """Return what completes some words."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
        return [CompletionItem(word) for word in known if word.startswith(incomplete)]

    return complete


def stages(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Complete the last of several stages with commas between them."""
    before, comma, last = incomplete.rpartition(",")
    names = [stage.name for stage in procedure() if stage.name not in before.split(",")]
    return [CompletionItem(before + comma + n) for n in names if n.startswith(last)]


def policies(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Complete the learning-rate policies."""
    from hptune.policies import POLICIES

    return [CompletionItem(name) for name in POLICIES if name.startswith(incomplete)]


def sweep_keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Complete what can be swept: the named hyper-parameters, then any key."""
    known = {stage.aliases[0]: stage.summary for stage in procedure() if stage.aliases} | SWEPT
    named = [CompletionItem(k, help=h) for k, h in known.items() if k.startswith(incomplete)]
    return named if named else _next_keys(incomplete, end="")


def settings(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Complete KEY.PATH=VALUE: section by section, and the values where they are few."""
    key, equals, value = incomplete.partition("=")
    if not equals:
        return _next_keys(incomplete, end="=")
    _, choices = _keys().get(key, ("", ()))
    return [CompletionItem(f"{key}={c}") for c in choices if c.startswith(value)]


def _next_keys(incomplete: str, end: str) -> Items:
    """Return the keys, those of a section only where it is begun."""
    items: dict[str, CompletionItem[str]] = {}
    for path, (text, _) in _keys().items():
        if not path.startswith(incomplete):
            continue
        head, dot, _ = path[len(incomplete) :].partition(".")
        value = incomplete + head + (dot or end)
        items.setdefault(value, CompletionItem(value, help=None if dot else text))
    return list(items.values())


def _keys() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return every key of the config with its description and its values where they are few."""
    from hptune.config.schema import Experiment
    from hptune.policies import POLICIES

    keys: dict[str, tuple[str, tuple[str, ...]]] = {}

    def add(model: Any, prefix: str) -> None:
        for name, field in model.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and hasattr(inner, "model_fields"):
                add(inner, f"{prefix}{name}.")
            elif get_origin(inner) is dict:
                keys[f"{prefix}{name}."] = (field.description or "", ())
            else:
                keys[prefix + name] = (field.description or "", _choices(inner))

    add(Experiment, "")
    keys["policy.name"] = (keys["policy.name"][0], tuple(POLICIES))
    return keys


def _choices(annotation: Any) -> tuple[str, ...]:
    """Return the values of a Literal or of a truth value, alone or beside null."""
    if annotation is bool:
        return ("true", "false")
    if get_origin(annotation) is Literal:
        return tuple(str(value) for value in get_args(annotation))
    inner = [arg for arg in get_args(annotation) if arg is not type(None)]
    if len(inner) == 1 and len(get_args(annotation)) == 2:
        return (*_choices(inner[0]), "null") if _choices(inner[0]) else ()
    return ()
