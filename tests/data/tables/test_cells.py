"""What columns hold: numbers as people write them, dates, words that mean nothing, and text."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hptune.data.tables.cells import Remarks, typed
from hptune.data.tables.columns import form

MANY = [f"{k}.25" for k in range(30)]


def read(cells: list[str], decimal: str = ".", **settings: object) -> tuple[pd.Series, str]:
    remarks = Remarks()
    column = pd.Series(cells, name="c", dtype=object).replace("", None)
    return typed(column, decimal, remarks, **settings), "; ".join(remarks.notes())


@pytest.mark.parametrize(
    ("cells", "numbers", "said"),
    [
        (["1,234.50", "-12.25", "2"], [1234.5, -12.25, 2], "thousands separators"),
        (["1.234,50", "-12,25", "2"], [1234.5, -12.25, 2], "thousands separators and decimal commas"),
        (["1'234.50", "1'234'567"], [1234.5, 1234567], "thousands separators"),
        (["1 234,5", "1\u00a0234\u202f567"], [1234.5, 1234567], "decimal commas"),
        (["1.234.567", "1.234"], [1234567, 1234], "thousands separators"),
        (["1,234", "56,789", "12"], [1234, 56789, 12], "thousands separators"),
        (["0,125", "1,375"], [0.125, 1.375], "decimal commas"),
        (["12.5%", "3 %"], [12.5, 3], "per cent signs"),
        (["$1,200", "-$3", "US$ 4.5"], [1200, -3, 4.5], "currency signs and thousands"),
        (["€ 1.200,50", "3,5 €", "EUR 7"], [1200.5, 3.5, 7], "currency signs"),
        (["(1,234)", "12"], [-1234, 12], "brackets for a minus"),
        (["₹1,00,000", "Rs. 12,34,567.5"], [100000, 1234567.5], "currency signs and thousands"),
        (["−5", "1e3", "+.5", "3."], [-5, 1000, 0.5, 3], ""),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(cells: list[str], numbers: list[float], said: str):
    column, notes = read(cells)
    np.testing.assert_allclose(column, numbers)
    assert said in notes and (f"{len(cells)} in 'c'" in notes or "in 'c'" in notes or not said)


def test_a_thousand_or_a_decimal_is_told_by_the_table_where_the_column_does_not():
    assert list(read(["1,234", "5,678"])[0]) == [1234, 5678]
    assert list(read(["1,234", "5,678"], ",")[0]) == [1.234, 5.678]
    assert list(read(["1.234", "5.678", "12"], ",")[0]) == [1234, 5678, 12]


@pytest.mark.parametrize(
    "word", ["?", "-", "n/a", "NA", "NULL", "#N/A", "None", "nan", "missing", "."]
)
def test_words_among_numbers_are_missing_and_counted(word: str):
    column, notes = read([*MANY, word, word, ""])
    assert column.isna().sum() == 3 and form(column) == "number"
    assert f"{word!r} among numbers or dates counts as missing: 2 in 'c'" in notes


@pytest.mark.parametrize("word", ["?", "NA", "None", "-"])
def test_words_in_text_are_categories_unless_they_are_listed(word: str):
    column, notes = read(["Mild", word, "Severe", word, ""])
    assert list(column.cat.categories) == sorted(["Mild", word, "Severe"])
    assert f'data.missing: ["{word}"]' in notes and "2 in 'c'" in notes
    column, notes = read(["Mild", word, "Severe", word, ""], missing=(word,))
    assert list(column.cat.categories) == ["Mild", "Severe"] and column.isna().sum() == 3
    assert notes == ""


def test_slips_among_many_numbers_are_missing_and_codes_are_not():
    column, notes = read([*MANY, "abc"])
    assert column.isna().sum() == 1 and "('abc'): 1 in 'c'" in notes
    column, notes = read([*MANY, *["sold out"] * 30])
    assert column.isna().sum() == 30 and "('sold out'): 30 in 'c'" in notes
    assert form(read(["1", "2", "3", "A"] * 9)[0]) == "text"


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["01234", "98765", "00001"], "text"),
        (["yes", "No", ""], "yes-no"),
        (["Y", "N"], "yes-no"),
        (["True", "False"], "yes-no"),
        (["yes", "no", "maybe"], "text"),
        (["20-29", "30-39"], "text"),
        (["10.0.0.1", "192.168.0.1"], "text"),
        (["a1", "b2"], "text"),
        (["1.5 kg", "2 m"], "text"),
    ],
)
def test_what_looks_like_something_else(cells: list[str], kind: str):
    assert form(read(cells)[0]) == kind


@pytest.mark.parametrize(
    ("cells", "first"),
    [
        (["2024-01-31", "2024-02-01"], "2024-01-31"),
        (["2024-01-31 10:30:00", "2024-02-01"], "2024-01-31 10:30"),
        (["2024-01-31T10:30:00+02:00", "2024-02-01T00:00:00Z"], "2024-01-31 08:30"),
        (["31/01/2024", "01/02/2024"], "2024-01-31"),
        (["01/31/2024", "02/01/2024"], "2024-01-31"),
        (["31.1.2024", "?", "1.2.2024"], "2024-01-31"),
        (["1/31/24 5:07 PM", "2/1/24 6:00 AM"], "2024-01-31 17:07"),
        (["31-Jan-2024", "01-Feb-2024"], "2024-01-31"),
        (["January 31, 2024", "May 1, 2024"], "2024-01-31"),
        (["08:30", "17:45"], "1900-01-01 08:30"),
    ],
)  # fmt: skip
def test_dates(cells: list[str], first: str):
    column, notes = read(cells)
    assert form(column) == "date" and column[0] == pd.Timestamp(first)
    assert "dates, read as" in notes


def test_infinite_numbers_are_missing_and_counted():
    remarks = Remarks()
    column = typed(pd.Series([1.0, np.inf, -np.inf], name="c"), ".", remarks)
    assert column.isna().sum() == 2
    assert remarks.notes() == ["infinite cells count as missing: 2 in 'c'"]
