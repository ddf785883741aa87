"""Which columns of a table are of no use as inputs, and why."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hptune.data.spec import Kind
from hptune.data.tables.cells import is_yes_no

if TYPE_CHECKING:
    import pandas as pd

MOST_VALUES = 100  # of a text column: each value becomes an input
_NEARLY_UNIQUE = 0.9  # of the rows
_IDS = re.compile(
    r"(?i:(^|[_ ])(id|uuid|guid|index|key|rownum|row|no|nr|number|serial|sku|ean|isbn|phone|account)$)"
    r"|^Unnamed: \d+$|[a-z]I[dD]$"
)
_SAME_QUANTITY = 1 - 1e-9  # correlation


def form(column: pd.Series[Any]) -> str:
    """Return what a column holds: "number", "date", "yes-no" or "text"."""
    if column.dtype.kind in "iuf":
        return "number"
    if column.dtype.kind == "M":
        return "date"
    return "yes-no" if is_yes_no(list(column.cat.categories)) else "text"


def of_no_use(table: pd.DataFrame, target: str, kind: Kind) -> dict[str, str]:
    """Return the columns that are of no use as inputs, each with the reason."""
    found, seen = {}, defaultdict[tuple[Any, ...], list[str]](list)
    classes = table[target].nunique()
    for name in table.columns.drop(target):
        column = table[name]
        distinct = column.nunique()
        reason = _no_use(column, distinct)
        if reason is None and distinct == classes:
            reason = _target_again(column, table[target], kind)
        if reason is None:
            same = seen[form(column), distinct, *column.iloc[:3].astype(str)]
            twin = next((other for other in same if column.equals(table[other].rename(name))), None)
            reason = twin and f"the same as {twin!r}"
            same.append(name)
        if reason is not None:
            found[name] = reason
    return found


def sentences(reasons: Mapping[str, str], happens: str) -> list[str]:
    """Return a sentence for each reason, that the columns it holds for are `happens`."""
    by_reason = defaultdict[str, list[str]](list)
    for name, reason in reasons.items():
        by_reason[reason].append(repr(name))
    notes = []
    for reason, names in by_reason.items():
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        many = len(names) > 1
        shown = f"{'columns' if many else 'column'} {', '.join(names[:5])}{more}"
        notes.append(f"{shown} {'are' if many else 'is'} {happens}: {reason}")
    return notes


def id_like(column: pd.Series[Any], distinct: int) -> str | None:
    """Return why a column of so many distinct values only names its rows, None where it says more."""
    rows = len(column)
    if rows < 10 or form(column) == "date":
        return None
    if form(column) == "text" and distinct > _NEARLY_UNIQUE * rows:
        return f"an id or free text, {distinct} distinct values in {rows} rows"
    if form(column) == "number" and distinct > _NEARLY_UNIQUE * rows and is_whole(column):
        steps = np.diff(column.to_numpy())
        if (steps == steps[0]).all():
            return "a running number"
        if _IDS.search(str(column.name)):
            if distinct == rows:
                return "an id, by its name and as no value comes twice"
            return f"an id, by its name and {distinct} distinct values in {rows} rows"
    return None


def is_whole(column: pd.Series[Any]) -> bool:
    """Say whether all numbers of a column are whole, however they are written."""
    if column.dtype.kind in "iu":
        return True
    values = column.dropna().to_numpy()
    return bool(column.dtype.kind == "f" and len(values) and (values == np.floor(values)).all())


def giveaways(table: pd.DataFrame, target: str, kind: Kind) -> list[str]:
    """Return a sentence on the columns of which each tells the target by itself."""
    wanted, found = table[target], []
    for name in table.columns.drop(target):
        column = table[name]
        distinct = column.nunique()
        if kind == "classification":
            # Few values, so that none of them has its class by chance.
            if 1 < distinct <= min(MOST_VALUES, len(column) / 10) and not column.isna().any():
                pairs = table[[name, target]].drop_duplicates()
                if len(pairs) == distinct:
                    found.append(str(name))
        elif form(column) == "number" and form(wanted) == "number" and distinct > 2:
            both = table[[name, target]].astype("float64").dropna()
            spread = both.max() - both.min()
            if len(both) > 10 and (spread > 0).all() and np.isfinite(spread).all():
                scaled = (both - both.min()) / spread
                if abs(np.corrcoef(scaled.to_numpy().T)[0, 1]) > _SAME_QUANTITY:
                    found.append(str(name))
    if not found:
        return []
    named = ", ".join(map(repr, found[:5])) + (f" and {len(found) - 5} more" if found[5:] else "")
    return [
        f"{named} gives the target {target!r} away in every row; leave it out with data.drop if it "
        "is not known before the target is"
    ]


def _no_use(column: pd.Series[Any], distinct: int) -> str | None:
    """Return why a column by itself is of no use."""
    if distinct == 0:
        return "empty"
    if distinct == 1 and not column.isna().any():
        return "constant"
    found = id_like(column, distinct)
    if found is None and form(column) == "text" and distinct > MOST_VALUES:
        return f"text of {distinct} distinct values, each of which would be an input"
    return found


def _target_again(column: pd.Series[Any], target: pd.Series[Any], kind: Kind) -> str | None:
    """Return what is wrong with a column that is the target under another name."""
    import pandas as pd

    if column.isna().any():
        return None
    if kind == "regression":
        same = form(column) == form(target) == "number" and np.array_equal(column, target)
        return f"the same as the target {target.name!r}" if same else None
    distinct = target.nunique()
    # A small table's columns agree by chance.
    if len(column) <= max(50, 10 * distinct):
        return None
    pairs = pd.DataFrame({"column": column, "target": target}).drop_duplicates()
    if len(pairs) > distinct:
        return None
    return f"the target {target.name!r} in other words, one for each class"
