"""Looking at data before anything is trained: what is there, and what stands in the way."""

from __future__ import annotations

import importlib
from pathlib import Path

from hptune.data import READERS
from hptune.data.inspect.found import Arrays, Column, Found, Images, Imbalance, Table
from hptune.errors import InputError

__all__ = ["Arrays", "Column", "Found", "Images", "Imbalance", "Table", "inspect"]


def inspect(path: Path, *, target: str | None = None) -> Found:
    """Look at a folder of images, an npz or a csv.

    Args:
        path: What to look at.
        target: The column of a csv to predict; None chooses.

    Raises:
        InputError: There is nothing there that hptune reads.
    """
    path = path.expanduser()
    known = [reader for reader in READERS.values() if reader.inspects]
    what = " or ".join([", ".join(r.what for r in known[:-1]), known[-1].what])
    if not path.exists():
        raise InputError(f"PATH: {str(path)!r}; must be {what}; correct the path")
    if target is not None and path.suffix.lower() != ".csv":
        raise InputError(f"--target: {target!r}; is for a csv alone; leave it out")
    suffix = "/" if path.is_dir() else path.suffix.lower()
    for reader in known:
        if reader.suffix == suffix:
            found: Found = importlib.import_module(reader.inspects).inspect_data(path, target)
            return found
    suffixes = ", ".join(reader.suffix for reader in known if reader.suffix != "/")
    raise InputError(
        f"PATH: {str(path)!r}; must be {what}, by its ending ({suffixes}); convert it, or read it "
        "with a function of your own (data.name: package.module:function)"
    )
