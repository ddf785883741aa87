"""Looking at data before anything is trained: what is there, and what stands in the way."""

from __future__ import annotations

from pathlib import Path

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
    if not path.exists():
        raise InputError(
            f"PATH: {str(path)!r}; must be a folder of images, an npz or a csv; correct the path"
        )
    if target is not None and path.suffix.lower() != ".csv":
        raise InputError(f"--target: {target!r}; is for a csv alone; leave it out")
    if path.is_dir():
        from hptune.data.inspect.images import inspect_images

        return inspect_images(path)
    if path.suffix.lower() == ".npz":
        from hptune.data.inspect.arrays import inspect_arrays

        return inspect_arrays(path)
    if path.suffix.lower() == ".csv":
        from hptune.data.inspect.table import inspect_table

        return inspect_table(path, target)
    raise InputError(
        f"PATH: {str(path)!r}; must be a folder of images, a file ending in .npz or one in .csv; "
        "convert it, or read it with a function of your own (data.name: package.module:function)"
    )
