"""From whatever a user names or hands over to examples, by what the model was trained on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hptune.data.sources.columns import is_columns
from hptune.errors import InputError
from hptune.prediction.examples import Examples
from hptune.prediction.readers import arrays, images, ready, tables
from hptune.results.signature import Signature

_WANTED = {
    "table": "a csv or a DataFrame with the columns that were trained on",
    "images": "a folder of images, image files, or an array of them",
    "arrays": "an npz, or arrays",
    "ready": "an npz, or in Python what hptune.Task takes",
}
_ARRAYS = (".npz", ".npy")


def examples_of(data: Any, signature: Signature, id_column: str | None = None) -> Examples:
    """Return new data as examples.

    Args:
        data: A path, or several of image files; a DataFrame; arrays or tensors, alone or with targets;
            for a model of a Python task whatever that takes.
        signature: What the model was trained on.
        id_column: Of a table, the column that names the rows.

    Raises:
        InputError: They are not what the model takes.
    """
    if id_column is not None and signature.reads != "table":
        raise InputError(f"--id: {id_column!r}; is a column of a csv; leave it out")
    if isinstance(data, str | os.PathLike):
        return _of_path(Path(data).expanduser(), signature, id_column)
    if isinstance(data, list | tuple) and data and isinstance(data[0], str | os.PathLike):
        paths = [Path(path).expanduser() for path in data]
        return (
            _of_path(paths[0], signature, id_column)
            if len(paths) == 1
            else _files(paths, signature)
        )
    if signature.reads == "table":
        if not hasattr(data, "columns"):
            raise _refused(f"a {type(data).__name__}", signature)
        return tables.of_frame(data, signature, id_column)
    if signature.reads == "ready":
        return ready.of_anything(data, signature)
    if isinstance(data, list):
        data = np.asarray(data)
    if not is_columns(data):
        raise _refused(f"a {type(data).__name__}", signature)
    if not isinstance(data, tuple):
        return arrays.of_arrays(data, None, signature)
    if len(data) > 2:
        raise _refused(f"a tuple of {len(data)}", signature)
    return arrays.of_arrays(data[0], data[1] if len(data) == 2 else None, signature)


def _of_path(path: Path, signature: Signature, id_column: str | None) -> Examples:
    if not path.exists():
        raise InputError(
            f"DATA: {str(path)!r}; must be {_WANTED[signature.reads]}; correct the path"
        )
    reads, suffix = signature.reads, path.suffix.lower()
    if reads == "table" and path.is_file() and suffix not in _ARRAYS:
        return tables.of_file(path, signature, id_column)
    if reads != "table" and suffix in _ARRAYS and path.is_file():
        x, y, notes = arrays.read_npz(path, signature)
        if reads == "ready":
            return ready.of_anything(x if y is None else _with_targets(x, y), signature)
        return arrays.of_arrays(x, y, signature, notes)
    if _takes_images(signature):
        if path.is_dir():
            return images.of_folder(path, signature)
        return images.of_files({path.name: path}, signature)
    raise _refused(str(path), signature)


def _files(paths: Sequence[Path], signature: Signature) -> Examples:
    """Return image files, by their names, or by their paths where names come twice."""
    if not _takes_images(signature):
        raise _refused(f"{len(paths)} files", signature)
    if absent := [path for path in paths if not path.is_file()]:
        raise InputError(f"DATA: {str(absent[0])!r}; must be an image file; correct the path")
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    return images.of_files(dict(zip(names, paths, strict=True)), signature)


def _takes_images(signature: Signature) -> bool:
    """Say whether image files can be decoded to what was trained on: images in bytes, for one."""
    if signature.reads == "images":
        return True
    shape = signature.input_shape
    fits = len(shape) == 3 and shape[0] in (1, 3) and shape[1] == shape[2]
    return signature.reads == "arrays" and signature.stored == "uint8" and fits


def _with_targets(x: Any, y: Any) -> Any:
    return {**x, "labels": y} if isinstance(x, dict) else (x, y)


def _refused(what: str, signature: Signature) -> InputError:
    return InputError(f"DATA: {what}; must be {_WANTED[signature.reads]}; give such")
