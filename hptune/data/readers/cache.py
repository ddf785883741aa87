"""What was decoded of the user's data, kept in the user's cache folder and never beside the data."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from hptune.errors import InputError

T = TypeVar("T")
SUFFIX = ".hptune"  # of an entry; nothing else in the folder is ever removed
DEFAULT_GIB = 10.0
_SPARE_BYTES = 2**30  # that are left free on the disk


@dataclass(frozen=True)
class Entry:
    """A file of the cache.

    Attributes:
        source: The folder that it was made from.
        what: What it holds, for people.
        size: In bytes.
        used: When it was last read or written, in seconds since the epoch.
    """

    path: Path
    source: str
    what: str
    size: int
    used: float


def folder() -> Path:
    """Return the cache folder: $HPTUNE_CACHE, else hptune/ in $XDG_CACHE_HOME or ~/.cache."""
    own, shared = os.environ.get("HPTUNE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own).expanduser()
    return (Path(shared) if shared else Path.home() / ".cache") / "hptune"


def limit() -> int:
    """Return how many bytes the cache may hold, by $HPTUNE_CACHE_GIB.

    Raises:
        InputError: It is no number.
    """
    given = os.environ.get("HPTUNE_CACHE_GIB") or str(DEFAULT_GIB)
    try:
        size = float(given)
        if not 0 <= size < float("inf"):
            raise ValueError
    except ValueError:
        raise InputError(
            f"HPTUNE_CACHE_GIB: {given!r}; must be how many GiB the cache may hold; give {DEFAULT_GIB:g}, "
            "say, or 0 for no cache"
        ) from None
    return int(size * 2**30)


def read(key: str, load: Callable[[IO[bytes]], T]) -> T | None:
    """Return what `load` reads of the entry under a key; None where there is none, or a damaged one."""
    with suppress(OSError, ValueError, RuntimeError):  # the last where there is no home folder
        path = folder() / f"{key}{SUFFIX}"
        with path.open("rb") as file:
            file.readline()  # what it holds, for people
            kept = load(file)
        os.utime(path)
        return kept
    return None


def write(key: str, save: Callable[[IO[bytes]], Any], *, source: Path, what: str, size: int) -> str:
    """Keep what `save` writes under a key, and remove what was not used for longest beyond the limit.

    Args:
        key: Of file name's characters.
        save: Writes into an open file.
        source: The folder that it was made from.
        what: What it holds, for people.
        size: Of what is written, in bytes, about.

    Returns:
        Why it could not be kept, "" where it was.
    """
    if size > limit():
        return f"they are {size_text(size)}, more than the {size_text(limit())} of HPTUNE_CACHE_GIB"
    try:
        place = folder()
    except RuntimeError as error:  # no home folder
        return str(error)
    part = place / f"{key}.{os.getpid()}.part{SUFFIX}"
    try:
        place.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(place).free
        if free < size + _SPARE_BYTES:
            return f"{place} has {size_text(free)} free"
        with part.open("wb") as file:
            head = {"source": os.fsencode(source).decode(errors="replace"), "what": what}
            file.write(json.dumps(head).encode() + b"\n")
            save(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(place / f"{key}{SUFFIX}")
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        return f"{place}: {error.strerror or error}"
    _shrink(limit(), keep=place / f"{key}{SUFFIX}")
    return ""


def entries() -> list[Entry]:
    """Return what is kept, the last used first."""
    found = []
    for path in folder().glob(f"*{SUFFIX}"):
        with suppress(OSError):  # another process may have removed it
            stat = path.stat()
            head: dict[str, str] = {}
            with suppress(ValueError), path.open("rb") as file:
                head = json.loads(file.readline(10_000))
            unfinished = path.name.endswith(f".part{SUFFIX}")
            what = "being written" if unfinished else head.get("what", "?")
            found.append(Entry(path, head.get("source", "?"), what, stat.st_size, stat.st_mtime))
    return sorted(found, key=lambda entry: -entry.used)


def clear() -> list[Entry]:
    """Remove all entries and return them."""
    return [entry for entry in entries() if _removed(entry)]


def size_text(size: float) -> str:
    """Return a size in bytes as people read it."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} GiB"


def _shrink(most: int, keep: Path) -> None:
    """Remove what was not used for longest until all that is left fits, and what killed writers left."""
    total = 0
    for entry in entries():
        unfinished = entry.what == "being written"
        if unfinished and time.time() - entry.used < 86_400:
            continue
        total += entry.size
        if entry.path != keep and (unfinished or total > most):
            total -= entry.size * _removed(entry)


def _removed(entry: Entry) -> bool:
    with suppress(OSError):
        entry.path.unlink()
        return True
    return False
