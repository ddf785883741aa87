"""Looks at a csv file: its columns, which of them is the target, which are of no use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hptune.data.inspect.found import Column, Table
from hptune.data.inspect.splits import fractions
from hptune.data.readers.table import check_target, kind_of, read_table
from hptune.data.spec import Kind
from hptune.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# Names of a target, the usual ones first.
_TARGETS = (
    *("target", "label", "labels", "class", "y", "outcome", "response", "output"),
    *("category", "classes", "is_fraud", "survived", "diagnosis", "species", "quality", "price"),
)
_IDS = re.compile(r"(^|[_ ])(id|uuid|guid|index|key|rownum|row)$|^unnamed: \d+$|Id$", re.IGNORECASE)
MOST_VALUES = 100  # of a text column: each value becomes an input
_NEARLY_UNIQUE = 0.9  # of the rows
_FEW_CLASSES = 10  # distinct whole numbers of a target that is written with decimals
_NAMED = 4  # columns named in a message


def inspect_data(path: Path, target: str | None = None) -> Table:
    """Look at a table's columns.

    Args:
        path: A csv with a header.
        target: The column to predict; None chooses.

    Raises:
        InputError: It is no csv, or has no such column.
    """
    table = read_table(path)
    table.columns = [str(name) for name in table.columns]
    _refuse_another_format(table, path)
    why = "it was given"
    if target is None:
        target, why = _likely_target(table)
    check_target(table, target, path)
    kind, why_kind, own_kind = _kind(table[target])
    columns = tuple(_columns(table, target, kind))
    kept = [c.name for c in columns if c.dropped is None]
    problems = [*_missing(columns, path), *_infinite(table[kept], path), *_no_inputs(kept, path)]
    classes: dict[str, int] = {}
    validation, test = 0.15, 0.15
    if not problems:
        text = table[target].astype(str).to_numpy()
        values, labels = np.unique(text, return_inverse=True)
        if kind == "classification":
            counted = np.bincount(labels).tolist()
            classes = dict(zip(values.tolist(), counted, strict=True))
        problems += _too_few_classes(classes, kind, target, path)
        place = {"train": range(len(table))}
        validation, test, unsplittable = fractions(place, labels if classes else None)
        if unsplittable is not None and not problems:
            problems.append(_unsplittable(classes, target, path, unsplittable))
    return Table(
        reader="csv",
        path=path,
        kind=kind,
        parts={"train": len(table)},
        classes=classes,
        validation=validation,
        test=test,
        warnings=tuple(f"column {c.name!r} is left out: {c.dropped}" for c in columns if c.dropped),
        problems=tuple(problems),
        target=target,
        why=why,
        why_kind=why_kind,
        own_kind=own_kind,
        columns=columns,
    )


def _refuse_another_format(table: pd.DataFrame, path: Path) -> None:
    names = list(table.columns)
    if len(names) == 1:
        for sign, said in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if sign in names[0]:
                raise InputError(
                    f"PATH: {path} is separated by {said}; must be separated by commas; write it "
                    "again with commas"
                )
    if len(names) > 1 and sum(map(_is_number, names)) > len(names) / 2:
        raise InputError(
            f"PATH: {path} begins with numbers ({', '.join(names[:4])}); its first line must name "
            "the columns; add such a line"
        )
    if table.empty:
        raise InputError(f"PATH: {path} has no rows; must have a row an example; check the file")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _likely_target(table: pd.DataFrame) -> tuple[str, str]:
    """Return the column that is likely to be predicted, and what speaks for it."""
    by_lower = {name.lower().strip(): name for name in reversed(list(table.columns))}
    for wanted in _TARGETS:
        if wanted in by_lower:
            return by_lower[wanted], "by its name"
    last = str(table.columns[-1])
    first = str(table.columns[0])
    if not _useless_as_target(table[last], last):
        return last, "the last column, by custom"
    if not _useless_as_target(table[first], first):
        return first, f"the first column, since the last, {last!r}, is an id or constant"
    for name in reversed(list(table.columns)):
        if not _useless_as_target(table[name], str(name)):
            return str(name), "the last column that is neither an id nor constant"
    return last, "the last column, by custom"


def _useless_as_target(column: pd.Series[Any], name: str) -> bool:
    return column.nunique() < 2 or _id_like(column, name) is not None


def _kind(target: pd.Series[Any]) -> tuple[Kind, str, bool]:
    """Return the kind, why, and whether the reader by itself would choose the other."""
    read_as: Kind = kind_of(target)
    distinct = target.nunique()
    if read_as == "classification":
        words = "text" if _kind_of_column(target) == "text" else "whole numbers"
        return read_as, f"{distinct} distinct values, {words}", False
    values = target.dropna().to_numpy(dtype=np.float64)
    if 2 <= distinct <= _FEW_CLASSES and np.array_equal(values, np.round(values)):
        return "classification", f"{distinct} distinct values, all whole numbers", True
    return read_as, f"a quantity of {distinct} distinct values", False


def _columns(table: pd.DataFrame, target: str, kind: Kind) -> Iterator[Column]:
    for name in map(str, table.columns):
        column = table[name]
        dropped = None
        if name != target:
            dropped = _no_use(column, name) or _target_again(column, table[target], target, kind)
        yield Column(
            name=name,
            kind=_kind_of_column(column),
            distinct=int(column.nunique()),
            missing=int(column.isna().sum()),
            dropped=dropped,
        )


def _kind_of_column(column: pd.Series[Any]) -> str:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if is_bool_dtype(column.dtype):
        return "yes-no"
    return "number" if is_numeric_dtype(column.dtype) else "text"


def _no_use(column: pd.Series[Any], name: str) -> str | None:
    """Return why a column is of no use as an input."""
    if column.isna().all():
        return "it is empty"
    if column.nunique() == 1 and not column.isna().any():
        return "it is constant"
    found = _id_like(column, name)
    if found is None and _kind_of_column(column) == "text" and column.nunique() > MOST_VALUES:
        return f"text of {column.nunique()} distinct values, each of which would be an input"
    return found


def _id_like(column: pd.Series[Any], name: str) -> str | None:
    rows, distinct = len(column), column.nunique()
    if rows < 10:
        return None
    kind = _kind_of_column(column)
    if kind == "text":
        if distinct > _NEARLY_UNIQUE * rows:
            return f"an id or free text, {distinct} distinct values in {rows} rows"
        return None
    if kind == "number" and distinct == rows and column.dtype.kind in "iu":
        steps = np.diff(column.to_numpy())
        if bool((steps == steps[0]).all()):
            return "a running number"
        if _IDS.search(name):
            return "an id, by its name and as no value comes twice"
    return None


def _target_again(
    column: pd.Series[Any], target: pd.Series[Any], name: str, kind: Kind
) -> str | None:
    """Return what is wrong with a column that is the target under another name."""
    distinct = column.nunique()
    if distinct != target.nunique() or column.isna().any():
        return None
    if kind == "regression":
        same = column.dtype == target.dtype and bool((column == target).all())
        return f"the same as the target {name!r}" if same else None
    pairs = len(set(zip(column.astype(str), target.astype(str), strict=True)))
    # Two columns of two values agree by chance in a small table alone.
    if pairs == distinct and len(column) > 10 * distinct and _kind_of_column(column) != "number":
        return f"it gives the target {name!r} away, one value for each class"
    if pairs == distinct and len(column) > 10 * distinct and distinct > 2:
        return f"it gives the target {name!r} away, one value for each class"
    return None


def _missing(columns: tuple[Column, ...], path: Path) -> Iterator[str]:
    lacking = [c for c in columns if c.missing and c.dropped is None]
    if lacking:
        lacking.sort(key=lambda column: -column.missing)
        shown = ", ".join(f"{c.missing} in {c.name!r}" for c in lacking[:_NAMED])
        more = f" and in {len(lacking) - _NAMED} more columns" if len(lacking) > _NAMED else ""
        yield (
            f"{path} lacks values, {shown}{more}; every cell must have a value; fill or drop these "
            "rows, or take the columns out"
        )


def _infinite(table: pd.DataFrame, path: Path) -> Iterator[str]:
    numbers = table.select_dtypes("number")
    infinite = np.isinf(numbers.to_numpy(dtype=np.float64)).any(0)
    if infinite.any():
        name = numbers.columns[infinite.argmax()]
        yield f"{path} has infinite values in column {name!r}; must be finite; clean the column"


def _no_inputs(kept: list[str], path: Path) -> Iterator[str]:
    if len(kept) < 2:
        yield f"{path} has no column of use beside the target; add features"


def _too_few_classes(classes: dict[str, int], kind: Kind, target: str, path: Path) -> Iterator[str]:
    if kind == "classification" and len(classes) < 2:
        only = next(iter(classes), "none")
        yield (
            f"{path} has one class alone in {target!r} ({only}); a classifier needs 2; name another "
            "column with --target"
        )


def _unsplittable(classes: dict[str, int], target: str, path: Path, reason: str) -> str:
    if not classes:
        return f"{path} cannot be split: {reason.removeprefix('data: ')}"
    rarest = min(classes, key=lambda name: classes[name])
    return (
        f"class {rarest!r} of {target!r} has {classes[rarest]} rows, of {sum(classes.values())} in "
        f"{len(classes)} classes; too few to split validation and test sets off; add rows, leave "
        "the class out, or name another column with --target"
    )
