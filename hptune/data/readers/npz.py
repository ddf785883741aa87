"""Arrays in an npz file, or in npy files beside each other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy as np
from numpy.typing import NDArray

from hptune.data.assemble import Content, splits_of
from hptune.data.channels import channels_first
from hptune.data.spec import DataSpec, Kind, Layout, Splits
from hptune.data.split import places
from hptune.data.targets import NUMBERS, read_targets
from hptune.errors import InputError, one_line

Array = NDArray[Any]
Parts = Mapping[str, tuple[Array, Array]]  # inputs and targets of "train", "validation" and "test"
# Words that a name is made of; where two arrays fit, the earlier word counts.
INPUTS = ("x", "images", "inputs", "data", "image", "input", "imgs", "img", "features", "samples")
TARGETS = ("y", "labels", "targets", "target", "label", "classes", "class")
_PARTS = {
    "train": ("train", "training", "tr"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "te"),
}
_NAMED = 8  # arrays in a message
_POSITIONAL = ["arr_0", "arr_1"]  # as numpy.savez names what it is given without names


def load(spec: DataSpec) -> Splits:
    """Load `x` and `y`, or `x_train`, `y_train`, `x_test`, ... from an npz file.

    Inputs of three dimensions and more are images, volumes or video; see `channels_first`.

    Raises:
        InputError: No npz, or arrays that do not fit.
    """
    parts, notes = read_parts(spec.place)
    return splits_of(spec, arrange(parts, spec.kind, spec.layout, notes))


def read_parts(path: Path) -> tuple[Parts, list[str]]:
    """Return the inputs and targets of an npz file, those of "train" at least, and notes.

    Only these are read: other arrays may be anything.

    Args:
        path: An npz; or an npy, with others of the usual names beside it.

    Raises:
        InputError: It is no npz of plain arrays, or has none that go together.
    """
    with opened(path) as (names, read):
        if sorted(names) == _POSITIONAL:
            first, second = (read(name) for name in _POSITIONAL)
            swapped = first.ndim == 1 < second.ndim and second.size > len(second)
            pair = (second, first) if swapped else (first, second)
            x, y = reversed(_POSITIONAL) if swapped else _POSITIONAL
            return {"train": pair}, [f"array {x!r} is taken for the inputs, {y!r} for the targets"]
        found = {}
        for part in _PARTS:
            pair_of_names = [named(names, part, words) for words in (INPUTS, TARGETS)]
            if None not in pair_of_names:
                found[part] = pair_of_names
        if "train" not in found:
            held = ", ".join(sorted(names)[:_NAMED]) or "nothing"
            raise InputError(
                f"data.path: {path} holds {held}; must hold x and y, or x_train and y_train; rename "
                "the arrays"
            )
        used = {name for pair_of_names in found.values() for name in pair_of_names}
        others = sorted(set(names) - used)
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        notes = [f"arrays that are not read: {', '.join(others[:_NAMED])}{more}"] if others else []
        parts = {part: (read(str(x)), read(str(y))) for part, (x, y) in found.items()}
    return parts, notes


def named(names: Sequence[str], part: str, words: Sequence[str]) -> str | None:
    """Return the array of a part that is called by one of these words, in any usual spelling."""
    by_spelling = {
        re.sub(r"[\W_]+", "", name.lower()): name for name in sorted(names, reverse=True)
    }
    spelled = [s for word in words for of in _PARTS[part] for s in (word + of, of + word)]
    spelled += words if part == "train" else []
    return next((by_spelling[s] for s in spelled if s in by_spelling), None)


@contextmanager
def opened(path: Path) -> Iterator[tuple[list[str], Callable[[str], Array]]]:
    """Give the names of the arrays, and a function that reads one."""
    try:
        if path.suffix.lower() == ".npy":
            files = {file.stem: file for file in path.parent.glob("*.npy")}
            yield list(files), lambda name: _plain(np.load(files[name], allow_pickle=False), name)
            return
        if not is_zipfile(path):
            raise ValueError("it is damaged, or another kind of file")
        with np.load(path, allow_pickle=False) as archive:
            yield archive.files, lambda name: _plain(archive[name], name)
    except (OSError, ValueError, TypeError, AttributeError, EOFError, BadZipFile) as error:
        why, remedy = one_line(error, 80), "write it with numpy.savez"
        if "bject arrays" in why:
            why = "it holds Python objects, and reading those can run any code"
            remedy = "convert them to numbers or text, lists to one shape, before numpy.savez"
        elif "pickle" in why:  # what NumPy takes every other npy for
            why = "it is another kind of file"
        raise InputError(
            f"data.path: {path} is not an npz of plain arrays ({why}); {remedy}"
        ) from None


def _plain(array: Any, name: str) -> Array:
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} is no array")  # another kind of file in a zip
    return array


def arrange(
    parts: Parts, kind: Kind | None = None, layout: Layout = "auto", notes: Sequence[str] = ()
) -> Content:
    """Return the content of arrays: images and the like with their channels first, or vectors.

    Args:
        parts: Inputs and targets of each part.
        kind: Of the targets; None finds out.
        layout: Where the channels are; see `channels_first`.
        notes: Of the reader.

    Raises:
        InputError: Lengths, shapes or types that do not fit.
    """
    for part, (x, y) in parts.items():
        if not x.ndim or not y.ndim or not x.size:
            raise InputError(
                f"data: inputs of shape {x.shape} and targets of {y.shape} to {part}; must hold "
                "examples; check the arrays"
            )
        if len(x) != len(y):
            raise InputError(
                f"data: {len(x)} inputs and {len(y)} targets to {part}; must be as many; check the "
                "arrays"
            )
        if x.dtype.kind not in NUMBERS:
            raise InputError(f"data: inputs of type {x.dtype}; must be numbers; convert them")
    inputs = _joined("inputs", {part: x for part, (x, _) in parts.items()})
    one = {part: y.reshape(-1) if y.size == len(y) else y for part, (_, y) in parts.items()}
    targets, classes, told = read_targets(_joined("targets", one), kind)
    found, largest = [*notes, *told], None
    if layout == "auto" and (inputs.ndim < 3 or (inputs.ndim == 3 and not classes)):
        if inputs.ndim == 3:
            found.append(
                f"inputs of shape {inputs.shape[1:]} are flattened for the regression; "
                "data.layout: no-channels keeps them as grey images, channels-first and "
                "channels-last as signals"
            )
        inputs = inputs.reshape(len(inputs), -1)
    else:
        largest = _largest_pixel(inputs)
        inputs, guessed = as_images(inputs, layout)
        found += guessed
    return Content(
        inputs=inputs,
        targets=targets,
        classes=classes,
        parts=places({name: len(y) for name, (_, y) in parts.items()}),
        notes=found,
        largest=largest,
    )


def _largest_pixel(inputs: Array) -> float | None:
    """Return the largest value of so many bits, 8 at least, of whole numbers from 0; None is the usual."""
    if inputs.dtype.kind not in "iu" or inputs.dtype == np.uint8 or inputs.min() < 0:
        return None
    return float(2 ** max(8, int(inputs.max()).bit_length()) - 1)


def _joined(what: str, arrays: Mapping[str, Array]) -> Array:
    """Return the arrays of all parts one after the other."""
    first, *others = arrays.items()
    for other in others:
        for of, values in (("shape", lambda a: a.shape[1:]), ("type", _sort_of)):
            if values(first[1]) != values(other[1]):
                raise InputError(
                    f"data: {what} of {of} {values(first[1])} to {first[0]} and "
                    f"{values(other[1])} to {other[0]}; must be one {of}; check the arrays"
                )
    return np.concatenate(list(arrays.values())) if others else first[1]


def _sort_of(array: Array) -> str:
    return "number" if array.dtype.kind in NUMBERS else str(array.dtype.type.__name__)


def as_images(inputs: Array, layout: Layout = "auto") -> tuple[Array, list[str]]:
    """Return examples as (N, C, ...), uint8 or float32, and notes on their layout."""
    inputs, notes = channels_first(inputs, layout)
    with np.errstate(over="ignore"):  # infinite values are refused
        pixels = inputs if inputs.dtype == np.uint8 else inputs.astype(np.float32)
    return np.ascontiguousarray(pixels), notes
