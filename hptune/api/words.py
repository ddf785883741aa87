"""What lower layers say in the shell's words, in Python's: they name options, Python has keywords."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, TypeVar

from hptune.checked import checked
from hptune.errors import HptuneError
from hptune.trials.executors import EXECUTORS

F = TypeVar("F", bound=Callable[..., Any])
# In this order.
_WORDS = (
    (r"--restart\b", "restart=True"),
    (rf"--(executor|device) ({'|'.join(['cpu', 'cuda', 'mps', *EXECUTORS])})\b", r'\1="\2"'),
    (r"--(jobs|seeds) (\d+)", r"\1=\2"),
    (r"--values A,B,C", "values=[A, B, C]"),
    (r"--set:", "overrides:"),
    (r"--set ", ""),
    (r"--([a-z]+)-([a-z]+)", r"\1_\2"),
    (r"--([a-z]+)", r"\1"),
)


def in_python_words(text: str) -> str:
    """Return a message of the shell with keywords in the place of options."""
    for option, keyword in _WORDS:
        text = re.sub(option, keyword, text)
    return text


def public(function: F) -> F:
    """Check a function's arguments, and let its errors speak Python."""
    inner = checked(function)

    @functools.wraps(function)
    def call(*args: Any, **given: Any) -> Any:
        try:
            return inner(*args, **given)
        except HptuneError as error:
            raise type(error)(in_python_words(str(error))) from error.__cause__

    return call  # type: ignore[return-value]
