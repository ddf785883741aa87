"""The data sets: what is bundled, what is read from files, what the user brings."""

from __future__ import annotations

import importlib
from difflib import get_close_matches

from hptune.data.spec import DataSpec, Splits
from hptune.errors import InputError

__all__ = ["GIVEN", "DataSpec", "Splits", "load", "names"]

GIVEN = "python"  # stands for data that were given in Python, in what a run directory records
# Name -> module with `load(spec)`; imported when asked for.
_READERS = {
    "digits": "hptune.data.readers.digits",
    "image-folder": "hptune.data.readers.image_folder",
    "npz": "hptune.data.readers.npz",
    "csv": "hptune.data.readers.table",
}


def names() -> list[str]:
    """Return the names that `load` knows, besides "package.module:function"."""
    from hptune.data.readers.torchvision_sets import SETS

    return [*_READERS, *SETS]


def load(spec: DataSpec) -> Splits:
    """Load a data set by name, split, normalised and ready to train on.

    Raises:
        InputError: Unknown name, or data that cannot be used; the message says what to change.
    """
    if spec.name == GIVEN:
        raise InputError(
            f"data.name: {GIVEN!r}; the data were given in Python, no file names them; go on there, "
            "with hptune.Task and the same out"
        )
    if ":" in spec.name:
        module = "hptune.data.readers.user"
    elif spec.name in _READERS:
        module = _READERS[spec.name]
    elif spec.name.lower().replace("_", "-") in names():
        module = "hptune.data.readers.torchvision_sets"
    else:
        close = get_close_matches(spec.name.lower(), names(), 1)
        raise InputError(
            f"data.name: {spec.name!r}; must be {', '.join(_READERS)}, a torchvision set such as "
            "cifar10, or package.module:function"
            + (f"; did you mean {close[0]!r}?" if close else "; choose one of these")
        )
    splits: Splits = importlib.import_module(module).load(spec)
    return splits
