"""What the cells of a column are: numbers, dates or text, and which of them are missing."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hptune.data.tables.numerals import read_numbers

if TYPE_CHECKING:
    import pandas as pd

# Words that stand for nothing where the other cells are numbers or dates.
_WORDS = """
? - -- --- – — . .. ... * na n/a n.a. n.a #n/a #na <na> nan -nan nat null \\n nil none missing unknown
undefined (blank) 0000-00-00 #value! #div/0! #ref! #num! #null! #name? 1.#ind 1.#qnan inf -inf +inf infinity
-infinity
"""
ABSENT = frozenset([*_WORDS.split(), "not available", "not applicable", "no data"])
YES, NO = frozenset({"yes", "y", "true", "t"}), frozenset({"no", "n", "false", "f"})
_MANY = 20  # different numbers; a column of fewer is as likely one of codes
_MOSTLY = 0.9  # of the cells are numbers: the others are slips, not values
_FEW_WORDS = 3  # beside many numbers: they stand for a missing one in some language
_NAMED = 4  # columns named in a sentence
_DATE = re.compile(r"\d.*[-/.: ,].*\d")
_DAYS = (
    *("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d"),
    *("%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y"),
    *("%b %d, %Y", "%B %d, %Y"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_FORMATS = ("ISO8601", "%H:%M", "%H:%M:%S", *(day + time for day, time in product(_DAYS, _TIMES)))


class Remarks:
    """What is to be said of cells, collected over the columns."""

    def __init__(self) -> None:
        self._cells: dict[str, dict[str, int]] = defaultdict(dict)
        self.date_formats: dict[str, str] = {}  # by which each column of dates was read

    def add(self, what: str, column: object, cells: int) -> None:
        """Note so many cells of a column."""
        if cells:
            self._cells[what][str(column)] = int(cells)

    def notes(self) -> list[str]:
        """Return a sentence for each remark, with the number of cells in the first columns."""
        return [f"{what}: {counted(where)}" for what, where in self._cells.items()]


def counted(where: Mapping[str, int]) -> str:
    """Return "3 in 'a', 2 in 'b' and in 4 more columns", the most first."""
    shown = [f"{n:,} in {name!r}" for name, n in Counter(where).most_common(_NAMED)]
    more = len(where) - len(shown)
    return ", ".join(shown) + (f" and in {more} more columns" if more else "")


def typed(
    column: pd.Series[Any],
    decimal: str,
    remarks: Remarks,
    *,
    missing: Collection[str] = (),
    kind: str | None = None,
) -> pd.Series[Any]:
    """Return a column as numbers, dates or, with the dtype category, text.

    Args:
        column: As pandas read it: numbers, or text.
        decimal: The decimal sign of the table.
        remarks: Gets what is to be said.
        missing: Text that means a missing value, beside an empty cell.
        kind: What it was in the table that is now to be followed, of dates with their format, "date
            %d/%m/%Y"; None finds out.
    """
    import pandas as pd

    name = column.name
    if column.dtype.kind in "iuf" and kind in (None, "number"):
        infinite = np.isinf(column.to_numpy())
        remarks.add("infinite cells count as missing", name, infinite.sum())
        return column.mask(infinite) if infinite.any() else column
    codes, distinct = pd.factorize(column)
    found = np.asarray(distinct, dtype=object).tolist()
    cells = [" ".join(c.split()) if "\n" in c else c.strip() for c in map(str, found)]
    if not cells and kind != "text":
        nothing = np.datetime64("NaT", "s") if (kind or "").startswith("date") else np.nan
        return pd.Series(nothing, index=column.index, name=name)
    counts = np.bincount(codes[codes >= 0], minlength=len(cells))
    blank = {"", *missing}
    empty = np.fromiter((cell in blank for cell in cells), bool, len(cells))
    absent = np.fromiter((cell.lower() in ABSENT for cell in cells), bool, len(cells)) & ~empty

    def taken(values: NDArray[Any], good: NDArray[np.bool_]) -> pd.Series[Any]:
        remarks.add(
            _missing_words(cells, absent & ~good, counts), name, counts[absent & ~good].sum()
        )
        slips = ~(good | absent | empty)
        what = f"cells that are no {'numbers' if values.dtype.kind == 'f' else 'dates'}"
        shown = ", ".join(repr(cells[k][:20]) for k in np.flatnonzero(slips)[:3])
        remarks.add(f"{what} count as missing ({shown})", name, counts[slips].sum())
        return pd.Series(values[codes], index=column.index, name=name).mask(codes < 0)

    def mostly(good: NDArray[np.bool_]) -> bool:
        """Say whether a column is what `good` cells are, the others being missing or slips."""
        slips = ~(good | absent | empty)
        few = slips.sum() <= _FEW_WORDS or counts[slips].sum() <= (1 - _MOSTLY) * counts.sum()
        return bool(good.any()) and (not slips.any() or (few and good.sum() > _MANY))

    if kind in (None, "number"):
        values, changed, marks = read_numbers(cells, decimal)
        good = ~np.isnan(values) & ~empty
        coded = any(cell[0] == "0" and cell.isdigit() and cell != "0" for cell in cells if cell)
        if kind or (mostly(good) and not coded):
            if marks and (marks, decimal) != ("decimal commas", ","):  # said of the whole table
                remarks.add(f"text with {marks} is read as numbers", name, counts[changed].sum())
            return taken(np.where(good, values, np.nan), good)
    what, _, format = (kind or "").partition(" ")
    if what in ("", "date"):
        dates, form = _dates(cells, format)
        good = ~np.isnat(dates)
        if kind or mostly(good):
            remarks.date_formats[str(name)] = form
            remarks.add(
                f"dates, read as {form}, become year, month, day and so on",
                name,
                counts[good].sum(),
            )
            return taken(dates, good)
    remarks.add(_missing_words(cells, absent, counts, text=True), name, counts[absent].sum())
    again, words = pd.factorize(np.array(cells, dtype=object), sort=True)
    kept = np.where(codes < 0, -1, np.where(empty, -1, again)[codes] if len(cells) else -1)
    text = pd.Categorical.from_codes(kept, categories=pd.Index(words, dtype=object))
    return pd.Series(text, index=column.index, name=name).cat.remove_unused_categories()


def is_yes_no(words: Sequence[object]) -> bool:
    """Say whether two words are a yes and a no, in any of their spellings."""
    lower = {str(word).lower() for word in words}
    return len(lower) == 2 and bool(lower & YES) and bool(lower & NO)


def _missing_words(
    cells: Sequence[str], which: NDArray[np.bool_], counts: NDArray[Any], *, text: bool = False
) -> str:
    """Return what is to be said of cells whose words may stand for nothing."""
    found = np.flatnonzero(which)
    shown = sorted(cells[k] for k in found[np.argsort(-counts[found], kind="stable")][:3])
    words = ", ".join(repr(word) for word in shown)
    if not text:
        return f"{words} among numbers or dates counts as missing"
    listed = ", ".join(f'"{word}"' for word in shown)
    return f"{words} in text counts as a value (data.missing: [{listed}] makes it a missing one)"


def _dates(cells: Sequence[str], before: str = "") -> tuple[NDArray[np.datetime64], str]:
    """Return dates, NaT where a cell is none, and the format by which most are.

    Args:
        cells: Of a column.
        before: The format of dates before these, which counts where several fit.
    """
    import pandas as pd

    column = pd.Series(cells, dtype=object)
    some = [cell for cell in cells[:50] if _DATE.search(cell) and len(cell) <= 40][:20]
    none = np.full(len(cells), np.datetime64("NaT"), dtype="datetime64[s]")
    if not some:
        return none, ""

    def read(values: pd.Series[Any], form: str) -> NDArray[np.datetime64]:
        dates = pd.to_datetime(values, format=form, errors="coerce", utc=True)
        return dates.dt.tz_localize(None).to_numpy().astype("datetime64[s]")

    sample = pd.Series(some, dtype=object)
    formats = dict.fromkeys((before, *_FORMATS) if before else _FORMATS)
    likely = [form for form in formats if 2 * (~np.isnat(read(sample, form))).sum() > len(some)]
    found = [(read(column, form), form) for form in likely]
    return max(found, key=lambda pair: (~np.isnat(pair[0])).sum(), default=(none, ""))
