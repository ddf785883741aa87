"""Numbers as people write them: thousands separators, decimal commas, per cent, currencies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIGNS = "$€£¥₹₩₽₺฿"
_CODES = "USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|SEK|NOK|DKK|PLN|BRL|Rs\\.?|kr|zł|Fr"
_SAMPLE = 2000  # cells that are looked at to find out how a column is written
_POWER = r"(?:[eE][-+]?\d+)?"


def _style(groups: str, decimal: str) -> re.Pattern[str]:
    """Return the numbers of one style: an amount below 1 has no thousands to separate."""
    grouped = "".join(rf"|[1-9]\d{{0,2}}(?:{group}\d{{3}})+" for group in groups)
    grouped += r"|[1-9]\d?(?:,\d\d)+,\d{3}" if "," in groups else ""  # as in India
    return re.compile(rf"[-+]?(?:(?:\d+{grouped})(?:{decimal}\d*)?|{decimal}\d+){_POWER}")


_WITH_POINT, _WITH_COMMA = _style(",' ", r"\."), _style(".' ", ",")
_SPACES = str.maketrans({"\u00a0": " ", "\u2009": " ", "\u202f": " ", "−": "-", "’": "'"})
_CURRENCY_BEFORE = re.compile(
    rf"(?m)^([-+(]?) *(?:[A-Z]{{0,3}}[{_SIGNS}]|(?:{_CODES})(?=[ \d+-])) *"
)
_CURRENCY_BEHIND = re.compile(rf"(?m)(?<=\d) *(?:[{_SIGNS}]|(?:{_CODES})\b\.?)(?=\)?$)")
_CURRENCY = re.compile(f"{_CURRENCY_BEFORE.pattern}|{_CURRENCY_BEHIND.pattern.replace('(?m)', '')}")
_PER_CENT = re.compile(r"(?m)(?<=[\d.,]) *%(?=\)?$)")
_NEGATIVE = re.compile(r"(?m)^\((.*)\)$")  # as accountants write it
_THOUSANDS = {
    ".": re.compile(r"(?<=\d)[,' ](?=(?:\d\d,)*\d{3}(?!\d))"),
    ",": re.compile(r"(?<=\d)[.' ](?=\d{3}(?!\d))"),
}


def decimal_sign(cells: Iterable[str], otherwise: str) -> str:
    """Return "." or ",": with which of the two more cells are numbers.

    Args:
        cells: Some text; what is no number does not count.
        otherwise: What holds where the cells do not tell: 1,234 is a number either way.
    """
    lead, grouped, bare = 0, set[str](), set[int]()
    for cell in _without_signs(cell.replace("\n", "_") for cell in cells):
        point, comma = _WITH_POINT.fullmatch(cell), _WITH_COMMA.fullmatch(cell)
        lead += bool(point) - bool(comma)
        if point and comma:
            grouped |= {",", "."} & set(cell)
            if cell.isdigit():
                bare.add(len(cell))
    if lead == 0 and len(grouped) == 1 and bare and max(bare) <= 3:
        # All from 1,000 on have a separator and none below: it is that of the thousands.
        return "." if grouped == {","} else ","
    return otherwise if lead == 0 else "." if lead > 0 else ","


def read_numbers(
    cells: Sequence[str], decimal: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_], str]:
    """Read text as numbers.

    Args:
        cells: Distinct values of a column, stripped and each in one line.
        decimal: The decimal sign of the table, for cells that do not tell.

    Returns:
        The numbers, NaN where there is none; which of them another program would not have read so;
        and what they are written with, such as "per cent signs".
    """
    plain = _floats(cells)
    nothing = np.zeros(len(cells), dtype=bool)
    if decimal == "." and not np.isnan(plain).any():
        return plain, nothing, ""
    some = cells[:_SAMPLE] if len(cells) > 2 * _SAMPLE else ()  # that tells text from numbers
    if some and np.isnan(read_numbers(some, decimal)[0]).mean() > 0.5:
        return np.full(len(cells), np.nan), nothing, ""
    sign = decimal_sign(cells[:_SAMPLE], decimal)
    hard = np.isnan(plain) if sign == "." else ~nothing  # 1.234 may be a thousand
    values = plain.copy()
    written = [cells[k] for k in np.flatnonzero(hard).tolist()]
    without = _without_signs(written)
    joined = _THOUSANDS[sign].sub("", "\n".join(without))
    values[hard] = _floats((joined.replace(",", ".") if sign == "," else joined).split("\n"))
    changed = ~np.isnan(values) & (values != plain)
    if not changed.any():
        return values, nothing, ""
    shown = [cells[k] for k in np.flatnonzero(changed)[:_SAMPLE].tolist()]
    marks = {
        "per cent signs": any("%" in cell for cell in shown),
        "currency signs": any(map(_CURRENCY.search, shown)),
        "brackets for a minus": any("(" in cell for cell in shown),
        "thousands separators": any(map(_THOUSANDS[sign].search, _without_signs(shown))),
        "decimal commas": sign == "," and any("," in cell for cell in shown),
    }
    return values, changed, " and ".join(mark for mark, found in marks.items() if found)


def _without_signs(cells: Iterable[str]) -> list[str]:
    """Return cells without currency and per cent signs, and with a minus for brackets."""
    joined = "\n".join(cells).translate(_SPACES)
    seen = set(joined)
    if not seen.isdisjoint(_SIGNS + _CODES):
        joined = _CURRENCY_BEHIND.sub("", _CURRENCY_BEFORE.sub(r"\1", joined))
    if "%" in seen:
        joined = _PER_CENT.sub("", joined)
    if "(" in seen:
        joined = _NEGATIVE.sub(r"-\1", joined)
    return joined.split("\n")


def _floats(cells: Sequence[str]) -> NDArray[np.float64]:
    import pandas as pd

    column: Any = np.array(cells, dtype=object)
    values: NDArray[np.float64] = np.asarray(pd.to_numeric(column, errors="coerce"), np.float64)
    values[np.isinf(values)] = np.nan
    return values
