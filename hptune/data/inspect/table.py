"""Looks at a csv file: its columns, which of them is the target, which are of no use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hptune.data.assemble import NUMBERS
from hptune.data.inspect.found import Column, Table, noted, split_facts
from hptune.data.readers.table import check_cells, check_column, kind_of, read_table
from hptune.data.spec import Kind
from hptune.data.split import as_classes
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


def inspect_data(path: Path, target: str | None = None) -> Table:
    """Look at a table's columns.

    Args:
        path: A csv with a header.
        target: The column to predict; None chooses.

    Raises:
        InputError: It is no csv, or has no such column.
    """
    table = read_table(path)
    _check_header(list(table.columns), path)
    why = "it was given"
    if target is None:
        target, why = _likely_target(table)
    check_column(table, "--target", target, path)
    kind, why_kind, own_kind = _kind(table[target])
    columns = tuple(_column(table, name, target, kind) for name in table.columns)
    problems: list[str] = []
    with noted(problems):
        check_cells(table[[c.name for c in columns if c.dropped is None]], path)
    facts: dict[str, Any] = {"kind": kind, "parts": {"train": len(table)}}
    if not problems:
        text = table[target].astype(str).to_numpy()
        labels, classes = as_classes(text) if kind == "classification" else (None, [])
        facts = split_facts({"train": np.arange(len(table))}, labels, classes, problems)
        problems = [f"{problem}, or name another column with --target" for problem in problems]
    return Table(
        reader="csv",
        path=path,
        **facts,
        warnings=tuple(f"column {c.name!r} is left out: {c.dropped}" for c in columns if c.dropped),
        problems=tuple(problems),
        target=target,
        why=why,
        why_kind=why_kind,
        own_kind=own_kind,
        columns=columns,
    )


def _check_header(names: list[str], path: Path) -> None:
    import pandas as pd

    numbers = pd.to_numeric(pd.Series(names), errors="coerce").notna()
    if len(names) > 1 and numbers.mean() > 0.5:
        raise InputError(
            f"data.path: {path} begins with numbers ({', '.join(names[:4])}); its first line must "
            "name the columns; add such a line"
        )


def _likely_target(table: pd.DataFrame) -> tuple[str, str]:
    """Return the column that is likely to be predicted, and what speaks for it."""
    names = list(table.columns)
    by_lower = {name.lower().strip(): name for name in reversed(names)}
    for wanted in _TARGETS:
        if wanted in by_lower:
            return by_lower[wanted], "by its name"
    first, last = names[0], names[-1]
    reasons = {
        last: "the last column, by custom",
        first: f"the first column, since the last, {last!r}, is an id or constant",
    }
    for name in (last, first, *reversed(names)):
        if table[name].nunique() > 1 and _id_like(table[name]) is None:
            return name, reasons.get(name, "the last column that is neither an id nor constant")
    return last, reasons[last]


def _kind(target: pd.Series[Any]) -> tuple[Kind, str, bool]:
    """Return the kind, why, and whether the reader by itself would choose the other."""
    read_as = kind_of(target)
    distinct = target.nunique()
    if read_as == "classification":
        words = "text" if _form(target) == "text" else "whole numbers"
        return read_as, f"{distinct} distinct values, {words}", False
    values = target.dropna().to_numpy(dtype=np.float64)
    if 2 <= distinct <= _FEW_CLASSES and np.array_equal(values, np.round(values)):
        return "classification", f"{distinct} distinct values, all whole numbers", True
    return read_as, f"a quantity of {distinct} distinct values", False


def _column(table: pd.DataFrame, name: str, target: str, kind: Kind) -> Column:
    column = table[name]
    dropped = None
    if name != target:
        dropped = _no_use(column) or _target_again(column, table[target], kind)
    return Column(
        name=name,
        kind=_form(column),
        distinct=int(column.nunique()),
        missing=int(column.isna().sum()),
        dropped=dropped,
    )


def _form(column: pd.Series[Any]) -> str:
    if column.dtype.kind == "b":
        return "yes-no"
    return "number" if column.dtype.kind in NUMBERS else "text"


def _no_use(column: pd.Series[Any]) -> str | None:
    """Return why a column is of no use as an input."""
    if column.nunique(dropna=False) == 1:
        return "it is empty" if column.isna().all() else "it is constant"
    found = _id_like(column)
    if found is None and _form(column) == "text" and column.nunique() > MOST_VALUES:
        return f"text of {column.nunique()} distinct values, each of which would be an input"
    return found


def _id_like(column: pd.Series[Any]) -> str | None:
    rows, distinct = len(column), column.nunique()
    if rows < 10:
        return None
    if _form(column) == "text" and distinct > _NEARLY_UNIQUE * rows:
        return f"an id or free text, {distinct} distinct values in {rows} rows"
    if distinct == rows and column.dtype.kind in "iu":
        steps = np.diff(column.to_numpy())
        if (steps == steps[0]).all():
            return "a running number"
        if _IDS.search(str(column.name)):
            return "an id, by its name and as no value comes twice"
    return None


def _target_again(column: pd.Series[Any], target: pd.Series[Any], kind: Kind) -> str | None:
    """Return what is wrong with a column that is the target under another name."""
    distinct = column.nunique()
    if distinct != target.nunique() or column.isna().any():
        return None
    if kind == "regression":
        same = column.dtype == target.dtype and bool((column == target).all())
        return f"the same as the target {target.name!r}" if same else None
    pairs = len(set(zip(column.astype(str), target.astype(str), strict=True)))
    # A small table's columns agree by chance, and so do two columns of two numbers.
    by_chance = len(column) <= 10 * distinct or (_form(column) == "number" and distinct < 3)
    if pairs > distinct or by_chance:
        return None
    return f"it gives the target {target.name!r} away, one value for each class"
