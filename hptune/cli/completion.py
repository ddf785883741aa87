"""What the shell completes besides files and folders: keys of the config, stages, policies, what is swept.

`_HPTUNE_COMPLETE=bash_source hptune` prints click's own script for bash; zsh and fish likewise.
Nothing here may import torch: the shell waits for it at every TAB.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_origin

import click
from click.shell_completion import CompletionItem

from hptune.stages import BALANCE, procedure

Items = list[CompletionItem[str]]
SWEPT = {
    "lr": "maximum learning rate",
    "dropout": "rate of the model's dropout layers",
    BALANCE: "what to lower when the LR goes up",
}


def stages(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Complete the last of several stages with commas between them."""
    before, comma, last = incomplete.rpartition(",")
    names = [stage.name for stage in procedure() if stage.name not in before.split(",")]
    return [CompletionItem(before + comma + n) for n in names if n.startswith(last)]


def policies(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Complete the learning-rate policies."""
    from hptune.policies import CHOICES

    return [CompletionItem(name) for name in CHOICES if name.startswith(incomplete)]


def sweep_keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Complete what can be swept: the named hyper-parameters, then any key."""
    known = {stage.aliases[0]: stage.summary for stage in procedure() if stage.aliases} | SWEPT
    named = [CompletionItem(k, help=h) for k, h in known.items() if k.startswith(incomplete)]
    return named or _next_keys(incomplete, end="")


def settings(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Complete the key of KEY.PATH=VALUE, section by section."""
    return _next_keys(incomplete, end="=")


def _next_keys(incomplete: str, end: str) -> Items:
    """Return the keys, those of a section only where it is begun."""
    from hptune.config.schema import Experiment

    items: dict[str, CompletionItem[str]] = {}
    for path, text in _keys(Experiment):
        if path.startswith(incomplete):
            head, dot, _ = path[len(incomplete) :].partition(".")
            value = incomplete + head + (dot or end)
            items.setdefault(value, CompletionItem(value, help=None if dot else text))
    return list(items.values())


def _keys(model: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path of every key of the config with its description."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if hasattr(inner, "model_fields"):
            yield from _keys(inner, f"{prefix}{name}.")
        else:
            dot = "." if get_origin(inner) is dict else ""
            yield prefix + name + dot, field.description or ""
