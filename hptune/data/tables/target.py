"""The target column of a table: what it is, and its classes or quantities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hptune.data.spec import Kind
from hptune.data.tables.columns import form, id_like, is_whole
from hptune.data.targets import MOST_CLASSES
from hptune.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# Names of a target, the usual ones first.
_TARGETS = (
    *("target", "label", "labels", "class", "y", "outcome", "response", "output"),
    *("category", "classes", "is_fraud", "survived", "diagnosis", "species", "quality", "price"),
)


def likely_target(table: pd.DataFrame) -> tuple[str, str]:
    """Return the column that is likely to be predicted, and what speaks for it."""
    names = [str(name) for name in table.columns]
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
        column = table[name]
        distinct = column.nunique()
        if distinct > 1 and form(column) != "date" and id_like(column, distinct) is None:
            return name, reasons.get(name, "the last column that is neither an id nor constant")
    return last, reasons[last]


def kind_of(target: pd.Series[Any]) -> tuple[Kind, str]:
    """Say what a target column is, and why: text and few whole numbers are classes."""
    distinct = target.nunique()
    if form(target) != "number":
        return "classification", f"{distinct} distinct values, text"
    if is_whole(target) and distinct <= MOST_CLASSES:
        return "classification", f"{distinct} distinct values, whole numbers"
    return "regression", f"a quantity of {distinct} distinct values"


def classes_of(target: pd.Series[Any]) -> tuple[NDArray[np.int64], list[str]]:
    """Return the class of each row, (N,), from 0, and the names of the classes; 1.0 is called 1."""
    if form(target) != "number":
        used = target.cat.remove_unused_categories()
        codes = np.asarray(used.cat.codes, dtype=np.int64)
        return codes, [str(name) for name in used.cat.categories]
    values, labels = np.unique(target.to_numpy(), return_inverse=True)
    whole = is_whole(target)
    return labels.astype(np.int64), [str(int(value) if whole else value) for value in values]


def quantities(target: pd.Series[Any]) -> NDArray[np.float64]:
    """Return the numbers of a regression's target, (N, 1).

    Raises:
        InputError: They are none.
    """
    if form(target) != "number":
        raise InputError(
            f"data.target: {target.name!r} holds text; a regression's target must be numbers; set "
            "data.kind to classification"
        )
    return target.to_numpy(dtype=np.float64)[:, None]
