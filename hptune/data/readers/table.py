"""Tables in a csv file: classification and regression on columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hptune.data.assemble import Content, splits_of
from hptune.data.spec import DataSpec, Kind, Splits
from hptune.data.split import as_classes
from hptune.errors import InputError, did_you_mean, one_line

if TYPE_CHECKING:
    import pandas as pd

MOST_CLASSES = 20  # a whole-numbered target of more values is a quantity, not a class
_NAMED = 4  # columns named in a message
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def load(spec: DataSpec) -> Splits:
    """Load a csv with a header; numbers are standardised, text columns become one-hot.

    Raises:
        InputError: No such column, missing values, or a table too small.
    """
    path = spec.place
    table = read_table(path)
    check_column(table, "data.target", spec.target, path)
    for name in spec.drop:
        check_column(table, "data.drop", name, path)
        if name == spec.target:
            raise InputError(f"data.drop: {name!r}; is the target; leave it in")
    table = table.drop(columns=list(spec.drop))
    check_cells(table, path)
    target = table.pop(str(spec.target))
    targets: NDArray[Any]
    classes: list[str] = []
    if (spec.kind or kind_of(target)) == "classification":
        targets, classes = as_classes(target.astype(str).to_numpy())
    else:
        targets = _numbers(target)[:, None]
    everything = {"train": np.arange(len(table))}
    content = Content(inputs=table, targets=targets, classes=classes, parts=everything)
    return splits_of(spec, content)


def read_table(path: Path) -> pd.DataFrame:
    """Return the rows of a csv with a header.

    Raises:
        InputError: It is none, or has no rows.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path)
    except UnicodeDecodeError as error:
        raise InputError(
            f"data.path: {path} is not UTF-8 text (byte {error.start} is none of it); must be; "
            "save the file as UTF-8"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"data.path: {path} is not a csv with a header ({one_line(error, 80)}); check the file"
        ) from None
    separator = next((sign for sign in _SEPARATORS if sign in table.columns[0]), "")
    if separator and len(table.columns) == 1:
        raise InputError(
            f"data.path: {path} is separated by {_SEPARATORS[separator]}; must be separated by "
            "commas; write it again with commas"
        )
    if table.empty:
        raise InputError(
            f"data.path: {path} has no rows; must have a row an example; check the file"
        )
    return table


def check_column(table: pd.DataFrame, key: str, name: str | None, path: Path) -> None:
    """Refuse a name that is no column's.

    Raises:
        InputError: There is no such column.
    """
    columns = list(table.columns)
    if name not in columns:
        raise InputError(
            f"{key}: {name!r}; must be a column of {path.name} ({', '.join(columns[:8])}"
            f"{', ...' if len(columns) > 8 else ''}); "
            + did_you_mean(name, columns, "name one of these")
        )


def check_cells(table: pd.DataFrame, path: Path) -> None:
    """Refuse a target with its inputs that cannot be trained on.

    Raises:
        InputError: No input, or cells that are empty or infinite.
    """
    if len(table.columns) < 2:
        raise InputError(
            f"data.path: {path} has no column to learn from beside the target; add features, or "
            "leave fewer out"
        )
    bad = (table.isna() | table.isin([np.inf, -np.inf])).sum()
    bad = bad[bad > 0].sort_values(ascending=False, kind="stable")
    if len(bad):
        shown = ", ".join(f"{count} in {name!r}" for name, count in bad[:_NAMED].items())
        more = f" and in {len(bad) - _NAMED} more columns" if len(bad) > _NAMED else ""
        raise InputError(
            f"data.path: {path} has empty or infinite cells, {shown}{more}; every cell must have a "
            "finite value; fill or drop these rows, or leave the columns out"
        )


def kind_of(target: pd.Series[Any]) -> Kind:
    """Say what a target column is: text and few whole numbers are classes."""
    many = target.dtype.kind in "iu" and target.nunique() > MOST_CLASSES
    return "regression" if many or target.dtype.kind == "f" else "classification"


def _numbers(target: pd.Series[Any]) -> NDArray[np.float64]:
    try:
        return target.to_numpy(dtype=np.float64)
    except (ValueError, TypeError):
        raise InputError(
            f"data.target: {target.name!r} holds text; a regression's target must be numbers; set "
            "data.kind to classification"
        ) from None
