"""From a csv to a table of numbers, dates and text."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hptune.data.tables.cells import Remarks, typed
from hptune.data.tables.dialect import recognise
from hptune.errors import InputError, one_line

if TYPE_CHECKING:
    import pandas as pd


def read_table(
    path: Path, *, missing: Sequence[str] = (), kinds: Mapping[str, str] | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Read a csv with a header, however it is written.

    Args:
        path: The file; separator, encoding and decimal sign are recognised.
        missing: Text that means a missing value, beside an empty cell.
        kinds: "number", "date" with its format, or "text", of columns that are to be read as
            another table's were.

    Returns:
        The table, each column of numbers, of datetime64 (its format in `attrs`), or of text as a
        category; and what a user should know of how it was read.

    Raises:
        InputError: It is none, or has no rows.
    """
    import pandas as pd

    written, kinds = recognise(path), kinds or {}
    text = [*written.unlike, *(name for name, kind in kinds.items() if kind == "text")]
    try:
        table = _parsed(
            io.BytesIO(written.text[written.start :].encode()),
            sep=r"\s+" if written.separator == " " else written.separator,
            decimal=written.decimal,
            header=None,
            names=written.names,
            index_col=False,
            skipinitialspace=True,
            keep_default_na=False,
            na_values=["", *missing],
            dtype={name: str for name in written.names if name in text},
            low_memory=False,
        )
    except pd.errors.ParserWarning:
        raise InputError(
            f"data.path: {path} has more cells in its rows than its first line names "
            f"({len(written.names)}); must have as many; put a cell that holds a separator in quotes"
        ) from None
    except (ValueError, pd.errors.ParserError) as error:
        if told := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error)):
            line = int(told[2]) + written.text[: written.start].count("\n")
            raise InputError(
                f"data.path: {path} has {told[3]} cells in line {line}; must have {told[1]} as the "
                "first lines have; put a cell that holds a separator in quotes"
            ) from None
        raise InputError(
            f"data.path: {path} is not a csv with a header ({one_line(error, 80)}); check the file"
        ) from None
    notes = list(written.notes)
    again = table[table.iloc[:, 0] == written.names[0]]
    again = again[(again.astype(str) == written.names).all(axis=1)]
    if 0 < len(again) < len(table):
        table = table.drop(index=again.index).reset_index(drop=True)
        notes.append(f"lines that repeat the header are left out: {len(again):,}")
    nothing = [
        name for name in table if str(name).startswith("Unnamed: ") and table[name].isna().all()
    ]
    table = table.drop(columns=nothing)
    if table.empty:
        raise InputError(
            f"data.path: {path} has no rows; must have a row an example; check the file"
        )
    remarks = Remarks()
    columns: list[pd.Series[Any]] = [
        typed(table[name], written.decimal, remarks, missing=missing, kind=kinds.get(str(name)))
        for name in table
    ]
    notes += remarks.notes()
    if nothing:
        notes.append(f"columns without a name and without a value are left out: {len(nothing)}")
    whole = pd.concat(columns, axis=1)
    whole.attrs["date_formats"] = remarks.date_formats
    return whole, notes


def _parsed(file: io.BytesIO, **how: Any) -> pd.DataFrame:
    """Return what pandas reads; where it would leave cells out, it raises its warning of that."""
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        table: pd.DataFrame = pd.read_csv(file, **how)
    return table
