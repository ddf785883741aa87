"""A time as it is written, `90s`, `30m` or `1h30m`, and as it is told."""

from __future__ import annotations

import re

from hptune.errors import InputError

_NUMBER = r"(\d+(?:\.\d+)?)"
_WRITTEN = re.compile(rf"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?")


def seconds_of(written: str) -> float:
    """Return a time in seconds.

    Raises:
        InputError: It is not written like 90s, 30m, 2h or 1h30m.
    """
    text = str(written).strip()
    found = _WRITTEN.fullmatch(text)
    hours, minutes, seconds = (float(part or 0) for part in found.groups("0")) if found else [0] * 3
    total = 3600 * hours + 60 * minutes + seconds
    if total <= 0:
        number = re.fullmatch(_NUMBER, text) and float(text) > 0
        remedy = f"write {text}m if minutes are meant" if number else "write 30m, say"
        raise InputError(f"--time: {text}; must be a time with its unit, s, m or h; {remedy}")
    return total


def in_words(seconds: float) -> str:
    """Return a time to two digits: 4.2 s, 50 s, 2.5 min, 72 min, 3.1 h."""
    if seconds < 59.5:
        return f"{seconds:.2g} s"
    if seconds < 5970:
        return f"{seconds / 60:.2g} min"
    return f"{seconds / 3600:.2g} h"
