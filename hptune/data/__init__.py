"""The data sets: what is bundled, what is read from files, what the user brings."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any, NamedTuple

from hptune.data.spec import DataSpec, Splits
from hptune.data.unused import unused_by_format
from hptune.errors import InputError, did_you_mean

__all__ = ["GIVEN", "READERS", "DataSpec", "Reader", "Splits", "load", "names"]

GIVEN = "python"  # stands for data that were given in Python, in what a run directory records


class Reader(NamedTuple):
    """A format that hptune reads.

    Attributes:
        module: In readers/, with `load(spec)`; in inspect/, with `inspect_data(path, target)`,
            where there is something to look at.
        what: What it reads, for people; "" where it reads no files of the user's.
        endings: Of its files; "/" stands for a folder.
        examples: What an example is called.
    """

    module: str
    what: str = ""
    endings: tuple[str, ...] = ()
    examples: str = "examples"


# By `data.name`; a format is its file in readers/, one in inspect/, and a row here.
READERS = {
    "digits": Reader("digits"),
    "image-folder": Reader("image_folder", "a folder of images", ("/",), "images"),
    "npz": Reader("npz", "an npz", (".npz",)),
    "npy": Reader("npz", "an npy with its targets' beside it", (".npy",)),
    "csv": Reader("table", "a csv", (".csv", ".tsv", ".tab", ".txt", ".data"), "rows"),
}


def names() -> list[str]:
    """Return the names that `load` knows, besides "package.module:function"."""
    from hptune.data.readers.torchvision_sets import SETS

    return [*READERS, *SETS]


def load(spec: DataSpec) -> Splits:
    """Load a data set by name, split, normalised, looked at and ready to train on.

    Raises:
        InputError: Unknown name, or data that cannot be used; the message says what to change.
    """
    if spec.name == GIVEN:
        raise InputError(
            f"data.name: {GIVEN!r}; the data were given in Python, and nothing names them; must be trained "
            "on there, with the same out; or give hptune.tune a function that makes the Task"
        )
    reader = READERS.get(spec.name)
    if reader is not None:
        found = spec.place.is_dir() if "/" in reader.endings else spec.place.is_file()
        if reader.what and (spec.path is None or not found):
            raise InputError(
                f"data.path: {spec.path!r}; must be {reader.what} that exists; correct the path"
            )
    elif ":" in spec.name:
        reader = Reader("user")
    elif spec.name.lower() in set(names()) - set(READERS):
        reader = Reader("torchvision_sets")
    else:
        raise InputError(
            f"data.name: {spec.name!r}; must be {', '.join(READERS)}, a torchvision set such as "
            "cifar10, or package.module:function; "
            + did_you_mean(spec.name.lower(), names(), "choose one of these")
        )
    module: Any = importlib.import_module(f"hptune.data.readers.{reader.module}")
    from hptune.data.sanity import looked_at  # torch, which the names of the sets need not

    splits: Splits = module.load(spec)
    if spec.name in READERS:
        splits = replace(splits, notes=(*unused_by_format(spec), *splits.notes))
    return looked_at(spec, splits)
