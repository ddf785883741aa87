"""Tables in a csv file: classification and regression on columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hptune.data.assemble import vector_splits
from hptune.data.spec import DataSpec, Kind, Splits
from hptune.data.split import Indices, divide
from hptune.errors import InputError, did_you_mean, one_line

if TYPE_CHECKING:
    import pandas as pd

MOST_CLASSES = 20  # a whole-numbered target of more values is a quantity, not a class


def load(spec: DataSpec) -> Splits:
    """Load a csv with a header; numbers are standardised, text columns become one-hot.

    Raises:
        InputError: No such file or column, missing values, or a table too small.
    """
    path = Path(spec.path or "").expanduser()
    if spec.path is None or not path.is_file():
        raise InputError(
            f"data.path: {spec.path!r}; must be a csv file that exists; correct the path"
        )
    table = read_table(path)
    check_target(table, spec.target, path)
    table = _without(table, spec, path)
    _check_cells(table, path)
    target = table.pop(str(spec.target))
    classes: list[str] = []
    if (spec.kind or kind_of(target)) == "classification":
        values, codes = np.unique(target.astype(str).to_numpy(), return_inverse=True)
        targets: NDArray[Any] = codes.astype(np.int64)
        classes = values.tolist()
    else:
        targets = _numbers(target, spec.target)[:, None]
    everything = {"train": np.arange(len(table))}
    divided = divide(spec, everything, targets if classes else None, classes)
    features, names = _features(table, divided["train"])
    record = {"columns": names, "path": str(path)}
    return vector_splits(spec, features, targets, classes, divided, record)


def read_table(path: Path) -> pd.DataFrame:
    """Return the rows of a csv with a header.

    Raises:
        InputError: It is none.
    """
    import pandas as pd

    try:
        return pd.read_csv(path)
    except UnicodeDecodeError as error:
        raise InputError(
            f"data.path: {path} is not UTF-8 text (byte {error.start} is none of it); must be; "
            "save the file as UTF-8"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"data.path: {path} is not a csv with a header ({one_line(error, 80)}); check the file"
        ) from None


def check_target(table: pd.DataFrame, target: str | None, path: Path) -> None:
    """Refuse a target that is no column.

    Raises:
        InputError: There is no such column, or none beside it.
    """
    columns = [str(c) for c in table.columns]
    if target not in columns:
        raise InputError(f"data.target: {target!r}; {_no_such_column(str(target), columns, path)}")
    if len(columns) < 2:
        raise InputError(f"data.path: {path} has no column beside the target; add features")


def _no_such_column(name: str, columns: list[str], path: Path) -> str:
    return (
        f"must be a column of {path.name} ({', '.join(columns[:8])}"
        f"{', ...' if len(columns) > 8 else ''}); "
        + did_you_mean(name, columns, "name one of these")
    )


def _without(table: pd.DataFrame, spec: DataSpec, path: Path) -> pd.DataFrame:
    """Return a table without the columns that are to be left out."""
    columns = [str(c) for c in table.columns]
    for name in spec.drop:
        if name not in columns:
            raise InputError(f"data.drop: {name!r}; {_no_such_column(name, columns, path)}")
        if name == spec.target:
            raise InputError(f"data.drop: {name!r}; is the target; leave it in")
    kept = [c for c in table.columns if str(c) not in spec.drop]
    if len(kept) < 2:
        raise InputError(f"data.drop: no column is left beside the target of {path}; drop fewer")
    return table[kept]


def _check_cells(table: pd.DataFrame, path: Path) -> None:
    missing = table.isna().sum()
    if missing.any():
        column = str(missing.idxmax())
        raise InputError(
            f"data.path: {path} lacks {missing[column]} values in column {str(column)!r}; every cell "
            "must have a value; fill or drop these rows"
        )
    numbers = table.select_dtypes("number")
    infinite = ~np.isfinite(numbers.to_numpy(dtype=np.float64)).all(0)
    if infinite.any():
        column = numbers.columns[infinite.argmax()]
        raise InputError(
            f"data.path: {path} has infinite values in column {str(column)!r}; must be finite; "
            "clean the column"
        )


def kind_of(target: pd.Series[Any]) -> Kind:
    """Say what a target column is: text and few whole numbers are classes."""
    from pandas.api.types import is_float_dtype, is_integer_dtype

    if is_float_dtype(target.dtype):
        return "regression"
    if is_integer_dtype(target.dtype) and target.nunique() > MOST_CLASSES:
        return "regression"
    return "classification"


def _numbers(column: pd.Series[Any], name: str | None) -> NDArray[np.float64]:
    try:
        return column.to_numpy(dtype=np.float64)
    except (ValueError, TypeError):
        raise InputError(
            f"data.target: {name!r} holds text; a regression's target must be numbers; set "
            "data.kind to classification"
        ) from None


def _features(table: pd.DataFrame, train: Indices) -> tuple[NDArray[np.float64], list[str]]:
    """Return numbers as they are and text as one column a value seen in the training split."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    columns: list[NDArray[np.float64]] = []
    names: list[str] = []
    for name in table.columns:
        column = table[name]
        if is_numeric_dtype(column.dtype) or is_bool_dtype(column.dtype):
            columns.append(column.to_numpy(dtype=np.float64))
            names.append(str(name))
            continue
        text = column.astype(str).to_numpy()
        for value in np.unique(text[train]):
            columns.append((text == value).astype(np.float64))
            names.append(f"{name}={value}")
    return np.stack(columns, axis=1), names
