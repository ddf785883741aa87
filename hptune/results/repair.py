"""What to do with a file that was cut short or edited: set it aside, go on without it, and say so."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from hptune.errors import InputError, one_line
from hptune.results.atomic import write_atomic

# Every experiment that hptune writes has these sections; one that was cut short has not.
_SECTIONS = {"data", "model", "loss", "optimizer", "policy"}
T = TypeVar("T")


class Repair:
    """Sets damaged files of a run directory aside as NAME.damaged and tells; a reader only tells."""

    def __init__(self, root: Path, tell: Callable[[str], None], *, write: bool) -> None:
        self._root, self._tell, self._write = root, tell, write
        self._aside: dict[Path, Path] = {}  # where each file as it was has been kept

    def set_aside(self, path: Path, what: str, follows: str, instead: str | None = None) -> None:
        """Keep a damaged file under another name, once a process; say what is wrong and what follows.

        The file need not be there. `instead` is what can be trusted of it, to stand in its place.
        """
        name = path.relative_to(self._root)
        if not self._write:
            self._tell(f"{name}: {what}; it is left as it is")
            return
        line = f"{name}: {what}; {follows}"
        if path.exists():
            aside = self._aside.setdefault(path, _free(path))
            if instead is None:
                path.replace(aside)
            elif not aside.exists():
                shutil.copyfile(path, aside)
            line += f"; the file as it was is {aside.relative_to(self._root)}"
        if instead is not None:
            write_atomic(path, instead)
        self._tell(line)

    def read(
        self, path: Path, parse: Callable[[bytes], T], follows: str, *, needed: bool = False
    ) -> T | None:
        """Return what `parse` makes of a file; None where there is none, or where it is damaged.

        It is damaged where `parse` raises a ValueError, or where it is needed and not there; then
        it is set aside.
        """
        data = read_bytes(path)
        try:
            if data is not None:
                return parse(data)
            what = "is not there" if needed else ""
        except ValueError as error:
            what = f"cannot be read ({one_line(error, 120)})"
        if what:
            self.set_aside(path, what, follows)
        return None


def _free(path: Path) -> Path:
    names = (f"{path.name}.damaged{f'-{n}' if n > 1 else ''}" for n in count(1))
    return next(free for free in map(path.with_name, names) if not free.exists())


def read_bytes(path: Path) -> bytes | None:
    """Return what a file holds, None where there is none.

    Raises:
        InputError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}; must be a file that can be read; restore or remove it"
        ) from None


def json_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object that a file holds.

    Raises:
        ValueError: It holds none.
    """
    found = json.loads(data)
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def check_experiment(data: bytes) -> None:
    """Check that the YAML of an experiment is there to its last line.

    Raises:
        ValueError: It is not.
    """
    import yaml

    with suppress(yaml.YAMLError):
        found = yaml.safe_load(data)
        if data.endswith(b"\n") and isinstance(found, dict) and found.keys() >= _SECTIONS:
            return
    raise ValueError("it is no whole experiment")


def is_whole_state(path: Path) -> bool:
    """Return whether a file that torch saved is whole, by its checksums; torch is not needed."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # zipfile raises a dozen kinds of errors where the bytes are random
        return False
