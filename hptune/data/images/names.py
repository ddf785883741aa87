"""Names of files and folders, as messages show them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

_NAMED = 3  # in a message


def endings(names: Sequence[str]) -> str:
    """Return the endings of files with how many have each."""
    counts = Counter(PurePath(name).suffix or "none" for name in names).most_common()
    return listed([f"{ending} {count:,}" for ending, count in counts])


def listed(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = len(names) - _NAMED
    first = ", ".join(shown(name) for name in names[:_NAMED])
    return first + (f" and {more:,} more" if more > 0 else "")


def shown(name: str) -> str:
    """Return a name that can be written anywhere: what is no text in it becomes a mark."""
    text = os.fsencode(name).decode(errors="replace")
    return "".join(c if c.isprintable() else "�" for c in text)
