"""Files that are written whole or not at all, and what a killed writer left of them."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from hptune.errors import HptuneError, one_line

_UNFINISHED = re.compile(r"(?P<name>.+)\.\d+\.part")


def write_atomic(path: Path, data: str | bytes | Callable[[BinaryIO], object]) -> None:
    """Write a file so that a reader, or a crash, finds the old content or the new, never a part.

    Args:
        path: The file; its folder is made where it is not there.
        data: Its content, or what writes it into an open file.

    Raises:
        HptuneError: The disk is full, or the file cannot be written.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            if callable(data):
                data(file)
            else:
                file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:  # torch tells of a full disk by the latter
        with suppress(OSError):
            part.unlink()
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise HptuneError(
                f"{path}: the disk is full; what was finished is safe; make room and run the "
                "same command again"
            ) from error
        raise HptuneError(
            f"{path}: cannot be written: {getattr(error, 'strerror', None) or one_line(error)}; check the "
            "folder and the room on its disk"
        ) from error


def remove_unfinished(folder: Path, names: str) -> None:
    """Remove what killed writers left half-written in a folder, of files that are named so.

    Args:
        folder: Only this folder itself; it need not be there.
        names: Regular expression that a file's whole name matches, `write_atomic`'s ending aside.
    """
    for part in folder.glob("*.part"):
        found = _UNFINISHED.fullmatch(part.name)
        if found and re.fullmatch(names, found["name"]) and part.is_file():
            part.unlink(missing_ok=True)
