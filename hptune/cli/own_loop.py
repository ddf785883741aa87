"""What the commands take for a training loop of the user's own: `-- COMMAND`, and how to read it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from hptune.errors import InputError

_COMMAND = "hptune.command"  # in the context's meta
_POSITIVE = click.FloatRange(min=0, min_open=True)
# Options that stand for a key of the config.
KEYS = {
    "iterations_per_epoch": "loop.iterations_per_epoch",
    "results_file": "loop.results",
    "trial_timeout": "loop.timeout",
    "first_epochs": "training.epochs",
    "first_batch_size": "hyper_parameters.batch_size",
}


# The sections of the help, with how the texts of their options begin.
_SECTIONS = {
    "Options": "",
    "In common": "",
    "With -- COMMAND": "COMMAND: ",
    "With --executor ray": "ray: ",
}
_SHARED = (
    "overrides", "out", "device", "devices_per_trial", "seed", "jobs", "executor", "track", "restart",
    "json", "quiet", "debug",
)  # fmt: skip


class TakesCommand(click.Command):
    """A command after whose options, and `--`, a command of the user's may stand."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set aside what stands after the first `--`, as it is written."""
        if "--" in args:
            place = args.index("--")
            args, ctx.meta[_COMMAND] = args[:place], args[place + 1 :]
            if not ctx.meta[_COMMAND]:
                raise click.UsageError("--: no command after it; write -- python train.py, say")
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what only this command has first, and what few users need last."""
        found: dict[str, list[tuple[str, str]]] = {title: [] for title in _SECTIONS}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx) if isinstance(option, click.Option) else None
            if record is None:
                continue
            name, text = record
            own = option.name not in _SHARED and "--help" not in option.opts
            title = "Options" if own else "In common"
            for other, start in _SECTIONS.items():
                if start and text.startswith(start):
                    place = len(start)
                    title, text = other, text[place].upper() + text[place + 1 :]
            found[title].append((name, text))
        for title, rows in found.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Show where a command of the user's stands."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


def loop_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a training loop of the user's own."""
    for option in (
        click.option(
            "--trial-timeout",
            type=_POSITIVE,
            metavar="SECONDS",
            help="COMMAND: most a trial takes.",
        ),
        click.option(
            "--results-file",
            metavar="FILE",
            help="COMMAND: where it writes its values: JSON lines or csv.",
        ),
        click.option(
            "--metric",
            "metrics",
            multiple=True,
            metavar="NAME=REGEX",
            help="COMMAND: a number that it prints, val_loss='loss: ([0-9.]+)'; repeatable.",
        ),
        click.option(
            "--iterations-per-epoch",
            type=click.IntRange(min=1),
            help="COMMAND: optimizer steps of an epoch at --batch-size.",
        ),
    ):
        function = option(function)
    return function


def first_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --epochs and --batch-size, as what to start from."""
    function = click.option(
        "--batch-size",
        "first_batch_size",
        type=click.IntRange(min=1),
        help="Total batch size to start from [hyper_parameters.batch_size].",
    )(function)
    return click.option(
        "--epochs",
        "first_epochs",
        type=_POSITIVE,
        help="Length of the final run [training.epochs].",
    )(function)


def settings(given: dict[str, Any]) -> list[str]:
    """Return what the options and the command stand for in the config, KEY.PATH=VALUE each.

    Args:
        given: What click hands over; the options are taken out.

    Raises:
        InputError: A metric has no pattern.
    """
    found = [
        f"{key}={json.dumps(value)}"
        for option, key in KEYS.items()
        if (value := given.pop(option, None)) is not None
    ]
    for text in given.pop("metrics", ()):
        name, sign, pattern = text.partition("=")
        if not sign or not pattern or "." in name:
            raise InputError(
                f"--metric: {text!r}; must be NAME=REGEX; write --metric 'val_loss=loss: ([0-9.]+)', say"
            )
        found.append(f"loop.metrics.{name.strip()}={json.dumps(pattern)}")
    words = click.get_current_context().meta.get(_COMMAND)
    if words:
        found.append(f"command={json.dumps(words)}")
    return found
