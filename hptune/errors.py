"""The errors that hptune raises on purpose, the exit code of each, and how they are worded."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


class HptuneError(Exception):
    """A failure that hptune explains in one line; the command exits with `exit_code`."""

    exit_code = EXIT_FAILED


class InputError(HptuneError):
    """The user's input is wrong: the line says what, the value, the rule and the remedy."""

    exit_code = EXIT_BAD_INPUT


class TrialError(HptuneError):
    """A trial could not run: its model, loss or data raise an error."""


class StageError(HptuneError):
    """A stage of the procedure could not reach a decision, for instance because every trial failed."""


def did_you_mean(word: object, known: Iterable[str], otherwise: str = "") -> str:
    """Return "did you mean 'NAME'?" of the known name nearest to a word, `otherwise` where none is."""
    close = get_close_matches(str(word), list(known), 1)
    return f"did you mean {close[0]!r}?" if close else otherwise


def one_of(known: Collection[str], value: object, what: str) -> str:
    """Return a value that must be one of some words.

    Raises:
        InputError: It is none of them.
    """
    if value not in known:
        raise InputError(
            f"{what}: {value!r}; must be of {', '.join(known)}; "
            + did_you_mean(value, known, "choose one of these")
        )
    return str(value)


def one_line(error: BaseException | str, most: int = 200) -> str:
    """Return an error's message, or any text, in one line of at most so many characters."""
    return " ".join(str(error).split())[:most]
