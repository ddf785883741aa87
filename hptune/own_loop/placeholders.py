"""Placeholders in a command: "--lr {lr}" gets the LR of each trial."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hptune.errors import InputError, did_you_mean
from hptune.own_loop.assignment import Assignment

OF_TRIAL = ("lr", "momentum", "weight_decay", "batch_size", "epochs", "iterations", "seed", "trial")
_PLACE = re.compile(r"\{([a-z_][a-z0-9_]*)\}", re.IGNORECASE)


def placeholders(words: Sequence[str]) -> frozenset[str]:
    """Return the names in braces in a command."""
    return frozenset(name for word in words for name in _PLACE.findall(word))


def check(words: Sequence[str], args: Sequence[str]) -> None:
    """Refuse placeholders that nothing fills.

    Args:
        words: The command.
        args: Names of the loop's own hyper-parameters.

    Raises:
        InputError: There is one.
    """
    known = [*OF_TRIAL, *args]
    for name in sorted(placeholders(words)):
        if name not in known:
            raise InputError(
                f"command: {{{name}}}; must be of {', '.join(known)}, or a key of loop.args; "
                + did_you_mean(name, known, f"set loop.args.{name} to its value")
            )


def filled(words: Sequence[str], given: Assignment) -> list[str]:
    """Return a command with the values of a trial."""
    trial = given.trial
    values: dict[str, Any] = {
        "lr": trial.lr,
        "momentum": trial.momentum,
        "weight_decay": trial.weight_decay,
        "batch_size": trial.batch_size,
        # What parses a number of epochs seldom takes a fraction.
        "epochs": max(1, round(trial.iterations / given.per_epoch)),
        "iterations": trial.iterations,
        "seed": trial.seed,
        "trial": trial.id,
        **given.args,
    }

    def value(found: re.Match[str]) -> str:
        filling = values[found[1]]
        return f"{filling:.12g}" if isinstance(filling, float) else str(filling)

    return [_PLACE.sub(value, word) for word in words]
