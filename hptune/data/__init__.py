"""The data sets: what is bundled, what is read from files, what the user brings."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from hptune.data.spec import DataSpec, Splits
from hptune.errors import InputError, did_you_mean

__all__ = ["GIVEN", "READERS", "DataSpec", "Reader", "Splits", "load", "names"]

GIVEN = "python"  # stands for data that were given in Python, in what a run directory records


@dataclass(frozen=True)
class Reader:
    """A format that hptune reads.

    Attributes:
        module: Has `load(spec)`; imported when asked for.
        inspects: Module with `inspect_data(path, target)`, "" where there is nothing to look at.
        what: What it reads, for people.
        suffix: Of its files, "" where it reads none; "/" stands for a folder.
        examples: What an example is called.
    """

    module: str
    inspects: str = ""
    what: str = ""
    suffix: str = ""
    examples: str = "examples"


# By `data.name`; a format is its file in readers/, one in inspect/, and a row here.
READERS = {
    "digits": Reader("hptune.data.readers.digits"),
    "image-folder": Reader(
        "hptune.data.readers.image_folder",
        "hptune.data.inspect.images",
        "a folder of images",
        suffix="/",
        examples="images",
    ),
    "npz": Reader("hptune.data.readers.npz", "hptune.data.inspect.arrays", "an npz", suffix=".npz"),
    "csv": Reader(
        "hptune.data.readers.table",
        "hptune.data.inspect.table",
        "a csv",
        suffix=".csv",
        examples="rows",
    ),
}


def names() -> list[str]:
    """Return the names that `load` knows, besides "package.module:function"."""
    from hptune.data.readers.torchvision_sets import SETS

    return [*READERS, *SETS]


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
    elif spec.name in READERS:
        module = READERS[spec.name].module
    elif spec.name.lower().replace("_", "-") in names():
        module = "hptune.data.readers.torchvision_sets"
    else:
        raise InputError(
            f"data.name: {spec.name!r}; must be {', '.join(READERS)}, a torchvision set such as "
            "cifar10, or package.module:function; "
            + did_you_mean(spec.name.lower(), names(), "choose one of these")
        )
    splits: Splits = importlib.import_module(module).load(spec)
    return splits
