"""Looking at data before anything is trained: what is there, and what stands in the way."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hptune.data import READERS
from hptune.data.inspect.found import Arrays, Found, Images, Table, size_text
from hptune.errors import InputError

__all__ = ["Arrays", "Found", "Images", "Table", "inspect", "size_text"]


def inspect(path: Path, *, target: str | None = None) -> Found:
    """Look at a folder of images, an npz or a csv.

    Args:
        path: What to look at.
        target: The column of a csv to predict; None chooses.

    Raises:
        InputError: There is nothing there that hptune reads.
    """
    path = path.expanduser()
    known = {end: reader for reader in READERS.values() for end in reader.endings}
    *others, last = (reader.what for reader in READERS.values() if reader.what)
    what = f"{', '.join(others)} or {last}"
    if not path.exists():
        raise InputError(f"PATH: {str(path)!r}; must be {what}; correct the path")
    name = "/" if path.is_dir() else path.name.lower().removesuffix(".gz")
    reader = next((reader for end, reader in known.items() if name.endswith(end)), None)
    if target is not None and reader is not READERS["csv"]:
        raise InputError(f"--target: {target!r}; is for a csv alone; leave it out")
    if reader is None:
        endings = ", ".join(each for each in known if each != "/")
        raise InputError(
            f"PATH: {str(path)!r}; must be {what}, by its ending ({endings}); "
            "convert it, or read it with a function of your own (data.name: package.module:function)"
        )
    module: Any = importlib.import_module(f"hptune.data.inspect.{reader.module}")
    try:
        found: Found = module.inspect_data(path, target)
    except InputError as error:
        told = str(error).replace("data.path", "PATH", 1).replace("data.target", "--target", 1)
        files = _files_in(path, known)
        raise InputError(f"{told}; or name one of its files: {files}" if files else told) from None
    return found


def _files_in(path: Path, endings: Iterable[str]) -> str:
    """Return the files of a folder that another reader takes; "" of a file, or where there are none."""
    files = sorted(path.iterdir()) if path.is_dir() else []
    found = [
        file.name
        for file in files
        if file.name.lower().removesuffix(".gz").endswith(tuple(endings))
    ]
    return ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
