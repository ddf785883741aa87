"""Tables in a csv file: classification and regression on columns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hptune.data.assemble import Content, splits_of
from hptune.data.spec import DataSpec, Kind, Splits
from hptune.data.tables.columns import giveaways, id_like, of_no_use, sentences
from hptune.data.tables.read import read_table
from hptune.data.tables.target import classes_of, kind_of, likely_target, quantities
from hptune.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Examined:
    """A table with what is known of its columns.

    Attributes:
        table: All rows and columns, as they were read.
        target: The column to predict.
        why: What speaks for it.
        kind: What it holds.
        why_kind: What speaks for that.
        dropped: Columns that are left out, each with the reason.
        notes: What the user should know.
    """

    table: pd.DataFrame
    target: str
    why: str
    kind: Kind
    why_kind: str
    dropped: dict[str, str]
    notes: list[str]


def load(spec: DataSpec) -> Splits:
    """Load a csv with a header; numbers are standardised, text columns become one-hot.

    Raises:
        InputError: No such column, nothing to learn from, or a table too small.
    """
    return splits_of(spec, content_of(examine(spec), spec.place))


def examine(spec: DataSpec, *, choose: bool = False) -> Examined:
    """Read a csv and decide on its target, what that is, and the columns that are left out.

    Args:
        spec: Path, target, kind, drop and missing are used.
        choose: Whether a likely target is chosen where the spec names none.

    Raises:
        InputError: It is no csv, or has no such column.
    """
    path = spec.place
    table, notes = read_table(path, missing=spec.missing)
    if choose and spec.target is None:
        target, why = likely_target(table)
    else:
        target, why = _column(table, "data.target", spec.target, path), "it was given"
    for name in spec.drop or ():
        _column(table, "data.drop", name, path)
    if target in (spec.drop or ()):
        raise InputError(f"data.drop: {target!r}; is the target; leave it in")
    unknown = table[target].isna()
    if unknown.any():
        notes.append(f"rows without a target in {target!r} are left out: {int(unknown.sum()):,}")
        table = table[~unknown].reset_index(drop=True)
    if table.empty or table[target].dtype.kind == "M":
        holds = "no value" if table.empty else "dates"
        raise InputError(
            f"data.target: {target!r} holds {holds}; must be classes or numbers; name another column"
        )
    found, why_kind = kind_of(table[target])
    kind = spec.kind or found
    if spec.kind is None and found == "classification" and table[target].dtype.kind == "f":
        notes.append(
            f"the whole numbers of the target {target!r} are classes; data.kind: regression makes "
            "them quantities"
        )
    dropped = of_no_use(table, target, kind)
    if spec.drop is None:
        notes += sentences(dropped, "left out")
    else:
        kept = {name: reason for name, reason in dropped.items() if name not in spec.drop}
        notes += sentences(kept, "kept, as data.drop lists what is left out")
        dropped = dict.fromkeys(spec.drop, "data.drop lists it")
    notes += giveaways(table.drop(columns=[*dropped]), target, kind)
    return Examined(
        table=table, target=target, why=why, kind=kind, why_kind=why_kind, dropped=dropped,
        notes=notes,
    )  # fmt: skip


def content_of(found: Examined, path: Path) -> Content:
    """Return the inputs and targets of a table.

    Raises:
        InputError: No input is left, or the target does not fit its kind.
    """
    inputs = found.table.drop(columns=[found.target, *found.dropped])
    if inputs.columns.empty:
        why = "; ".join(sentences(found.dropped, "left out"))
        raise InputError(
            f"data.path: {path} has no column to learn from beside the target{why and f' ({why})'}; "
            "add features, or leave fewer out with data.drop"
        )
    targets: NDArray[Any]
    classes: list[str] = []
    if found.kind == "classification":
        targets, classes = classes_of(found.table[found.target])
    else:
        targets = quantities(found.table[found.target])
    return Content(
        inputs=inputs,
        targets=targets,
        classes=classes,
        parts={"train": np.arange(len(inputs))},
        record={"column": found.target, "left_out": [*found.dropped], "ids": ids_of(found)},
        notes=found.notes,
    )


def ids_of(found: Examined) -> list[str]:
    """Return the columns left out that only name the rows; those that are free text come last."""
    left_out = (found.table[name] for name in found.dropped)
    named = {str(c.name): id_like(c, c.nunique()) for c in left_out}
    return sorted(filter(named.get, named), key=lambda name: "free text" in str(named[name]))


def _column(table: pd.DataFrame, key: str, name: str | None, path: Path) -> str:
    """Return a name that must be a column's."""
    columns = [str(column) for column in table.columns]
    if name is None or name not in columns:
        shown = ", ".join(columns[:8]) + (", ..." if len(columns) > 8 else "")
        raise InputError(
            f"{key}: {name!r}; must be a column of {path.name} ({shown}); "
            + did_you_mean(name, columns, "name one of these")
        )
    return name
