"""Rows of a csv, or of a DataFrame, whose columns become inputs as those of the training data did."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from hptune.data.assemble import check_finite
from hptune.data.sources.memory import TensorSource
from hptune.data.tables.cells import counted
from hptune.data.tables.preprocessing import Preprocessing
from hptune.data.tables.read import read_table
from hptune.errors import InputError, did_you_mean
from hptune.prediction.examples import ROW, Examples, class_numbers, no_targets, quantities
from hptune.results.signature import Signature

if TYPE_CHECKING:
    import pandas as pd


def of_frame(frame: pd.DataFrame, signature: Signature, id_column: str | None = None) -> Examples:
    """Return the rows of a DataFrame; it is read as the csv that it makes, so that both mean the same."""
    with TemporaryDirectory(prefix="hptune-") as folder:
        path = Path(folder) / "DataFrame.csv"
        frame.to_csv(path, index=frame.index.name is not None)
        return of_file(path, signature, id_column)


def of_file(path: Path, signature: Signature, id_column: str | None = None) -> Examples:
    """Return the rows of a csv.

    Columns go by their names, in any order; the target may be there or not.

    Args:
        path: The csv.
        signature: Says how inputs are made of its columns.
        id_column: Names the rows; None takes the one that the training data left out as an id.

    Raises:
        InputError: It is no csv, a column is missing, or a value is too large.
    """
    made = Preprocessing.from_record(list(signature.columns))
    kinds = dict.fromkeys([*signature.ids, *([id_column] if id_column else [])], "text")
    table, notes = read_table(path, missing=signature.missing, kinds=kinds | made.kinds)
    columns = [str(name) for name in table]
    if id_column is not None and id_column not in columns:
        hint = did_you_mean(id_column, columns, "name one of these")
        raise InputError(f"--id: {id_column!r}; must be a column of {path.name}; {hint}")
    id_name = id_column or next((name for name in signature.ids if name in columns), None)
    inputs = made.apply(table)
    check_finite(inputs)
    known = {*made.kinds, *signature.left_out, signature.target, id_name}
    extra = [name for name in columns if name not in known]
    if extra:
        shown = ", ".join(map(repr, extra[:4])) + (", ..." if extra[4:] else "")
        notes.append(
            f"columns that the model was not trained on are left out: {len(extra)} ({shown})"
        )
    notes += _filled(table, made)
    targets = _targets(table, signature)
    return Examples(
        source=TensorSource(torch.from_numpy(inputs), torch.from_numpy(targets)),
        ids=None if id_name is None else _cells(table[id_name]),
        id_name=id_name or ROW,
        notes=tuple(notes),
    )


def _targets(table: pd.DataFrame, signature: Signature) -> NDArray[Any]:
    if signature.target not in table:
        return no_targets(len(table), signature)
    column = table[signature.target]
    if signature.kind == "classification":
        return class_numbers(column.to_numpy(dtype=object), signature.classes)
    if column.dtype.kind not in "iuf":
        return no_targets(len(table), signature)
    return quantities(column.to_numpy(dtype=np.float64)[:, None], signature)


def _filled(table: pd.DataFrame, made: Preprocessing) -> list[str]:
    """Say which cells are not as any in the training rows were."""
    notes = []
    missing = table[list(made.kinds)].isna().sum()
    if gaps := {str(name): int(count) for name, count in missing[missing > 0].items()}:
        notes.append(
            "missing cells get the median of the training rows, in text a category of their own where "
            f"the training rows had such: {counted(gaps)}"
        )
    if unseen := made.unseen(table):
        notes.append(f"text that no training row has is none of the categories: {counted(unseen)}")
    return notes


def _cells(column: pd.Series[Any]) -> list[Any]:
    """Return the cells of a column, "" where one is missing."""
    return ["" if gap else cell for gap, cell in zip(column.isna(), column.tolist(), strict=True)]
