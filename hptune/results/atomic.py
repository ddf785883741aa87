"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from hptune.errors import HptuneError, one_line

_NO_RENAMING = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV)
UNFINISHED = ".hptune.part"  # what a killed writer leaves is known by its name


def write_atomic(path: Path, data: str | bytes | Callable[[BinaryIO], object]) -> None:
    """Write a file so that a reader, or a crash, finds the old content or the new, never a part.

    Args:
        path: The file; its folder is made where it is not there.
        data: Its content, or what writes it into an open file.

    Raises:
        HptuneError: The disk is full, or the file cannot be written.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}{UNFINISHED}")
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
        if getattr(error, "errno", None) in _NO_RENAMING:
            raise HptuneError(
                f"{path}: cannot be put in the place of the one before; a run directory must be on a "
                "file system, which object storage is none of; give an --out on a disk and copy it "
                "from there"
            ) from error
        raise HptuneError(
            f"{path}: cannot be written: {getattr(error, 'strerror', None) or one_line(error)}; check the "
            "folder and the room on its disk"
        ) from error
