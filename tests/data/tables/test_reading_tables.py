"""A csv is read however it is written, and what was recognised is said."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hptune.data import DataSpec, load
from hptune.data.inspect import inspect
from hptune.data.spec import Splits
from hptune.data.tables.read import read_table
from hptune.errors import InputError

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {"größe": RNG.normal(size=60).round(3), "b": RNG.normal(size=60), "y": [0, 1] * 30}
)
TEXT = FRAME.to_csv(index=False)


def read(path: Path, content: str | bytes, target: str = "y", **settings: object) -> Splits:
    """Load a csv, and check that `init` says the same of it."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    splits = load(DataSpec(name="csv", path=str(path), target=target, **settings))
    if not settings:
        assert inspect(path, target=target).warnings == splits.notes
    return splits


def test_the_usual_csv_is_read_without_a_word(tmp_path: Path):
    assert read(tmp_path / "x.csv", TEXT).notes == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace(",", ";"), "semicolons"),
        (lambda text: text.replace(",", "\t"), "tabs"),
        (lambda text: text.replace(",", "|"), "bars"),
        (lambda text: text.replace(",", "  "), "spaces"),
        (lambda text: text.replace(",", ";").replace(".", ","), "decimal commas"),
        (lambda text: "sep=;\n" + text.replace(",", ";"), "semicolons"),
        (lambda text: "# of Monday\n# all\n" + text, "left out: 2"),
        (lambda text: text.replace("\n", ",\n"), "without a value"),
        (lambda text: text.replace("\n", ",\n").replace("y,\n", "y\n"), "without a value"),
        (lambda text: text.replace("\n", "\r\n"), ""),
        (lambda text: text.replace("\n", "\r"), ""),
        (lambda text: text.replace(",", ", "), ""),
    ],
)
def test_separators_decimal_signs_and_what_stands_around(tmp_path: Path, change, said: str):
    splits = read(tmp_path / "x.tsv", change(TEXT))
    expected = read(tmp_path / "plain.csv", TEXT)
    np.testing.assert_allclose(splits.train.inputs, expected.train.inputs, atol=1e-6)
    assert splits.record["columns"] == ["größe", "b"]
    assert said in " ".join(splits.notes) and bool(splits.notes) == bool(said)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda v: f"{v:,.2f}", "thousands separators is read as numbers"),
        (lambda v: f"{v:.2f}%", "per cent signs is read as numbers"),
        (lambda v: f"${v:.2f}", "currency signs is read as numbers"),
        (lambda v: f"{v:.2f}".replace(".", ","), "decimal commas"),
        (lambda v: f"({-v:.2f})" if v < 0 else f"{v:.2f}", "brackets for a minus"),
    ],
)
def test_a_column_of_numbers_is_the_same_however_it_is_written(tmp_path: Path, write, said: str):
    amounts = np.round(RNG.normal(size=60) * 3000, 2)
    plain = pd.DataFrame({"amount": amounts, "other": FRAME["b"], "y": FRAME["y"]})
    expected = read(tmp_path / "plain.csv", plain.to_csv(index=False))
    written = plain.assign(amount=[write(amount) for amount in amounts])
    splits = read(tmp_path / "x.csv", written.to_csv(index=False))
    np.testing.assert_allclose(splits.train.inputs, expected.train.inputs, atol=1e-5)
    assert said in splits.notes[0]


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8-sig", ""),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16"),
        ("utf-16-be", "utf-16"),
        ("utf-32", "utf-32"),
        ("cp1252", "save it as UTF-8 if letters"),
    ],
)
def test_encodings(tmp_path: Path, encoding: str, said: str):
    splits = read(tmp_path / "x.csv", TEXT.encode(encoding))
    assert splits.record["columns"] == ["größe", "b"]
    assert said in " ".join(splits.notes) and bool(splits.notes) == bool(said)


def test_a_byte_that_is_not_utf8_may_come_late(tmp_path: Path):
    text = "a,b,y\n" + "1,x,0\n2,y,1\n" * 40_000 + "3,ö,0\n3,ö,1\n"
    splits = read(tmp_path / "x.csv", text.encode("latin-1"))
    assert "b=ö" in splits.record["columns"]


def test_a_packed_csv(tmp_path: Path):
    assert read(tmp_path / "x.csv.gz", gzip.compress(TEXT.encode())).input_shape == (2,)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("x,x,x.1,y\n", ["x", "x.2", "x.1"]),
        ("x,,y,y.1\n", ["x", "Unnamed: 1", "y.1"]),
        ('"two\nlines", b ,c,y\n', ["two lines", "b", "c"]),
        ("0,1,2,y\n", ["0", "1", "2"]),
    ],
)
def test_names_of_columns(tmp_path: Path, text: str, columns: list[str]):
    rows = "".join(
        f"{','.join(map(str, row))},{k % 2}\n" for k, row in enumerate(RNG.normal(size=(60, 3)))
    )
    if text.startswith("x,,y"):
        rows = "".join(f"{k % 7},{k % 5},{k % 2},{k % 3}\n" for k in range(60))
    assert read(tmp_path / "x.csv", text + rows).record["columns"] == columns


def test_names_of_rows_as_r_writes_them(tmp_path: Path):
    rows = "".join(f'"{k + 1}",{k % 7},{k % 5},{k % 2}\n' for k in range(60))
    splits = read(tmp_path / "x.csv", '"a","b","y"\n' + rows)
    assert splits.record["columns"] == ["a", "b"]
    assert "'Unnamed: 0' is left out: a running number" in splits.notes[0]


def test_files_one_after_the_other_repeat_the_header(tmp_path: Path):
    splits = read(tmp_path / "x.csv", TEXT + TEXT.replace("0.", "1."))
    assert splits.record["columns"] == ["größe", "b"] and splits.classes == ("0", "1")
    assert "lines that repeat the header are left out: 1" in splits.notes


def test_cells_with_separators_and_lines_in_quotes(tmp_path: Path):
    rows = "".join(
        f'{k % 7},"{["red, light", "blue" + chr(10) + "dark"][k % 2]}",{k % 3}\n' for k in range(60)
    )
    splits = read(tmp_path / "x.csv", "a,b,y\n" + rows)
    assert splits.record["columns"] == ["a", "b=blue dark", "b=red, light"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "it is empty"),
        ("a,b,y\n", "no rows"),
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n", "first line must name the columns"),
        ("39, Private, 40, <=50K\n50, Private, 13, >50K\n38, Private, 40, <=50K\n", "must name"),
        (TEXT + "1,2,3,4\n", "4 cells in line 62; must have 3"),
        ("a,b,y\n1,2,3,4,5\n1,2,3\n1,2,3\n", "more cells in its rows"),
        ("y\n1\n0\n", "no column to learn from"),
        ("a,y\n1,2020-01-01\n2,2020-01-02\n", "holds dates"),
        (b"PK\x03\x04" + bytes(99), "save the table as csv"),
        (b"\x01\x00\x00\x07" * 99, "no text"),
        (bytes(range(256)) * 9, "no text"),
        (b"\xff\xfe" + b"\x00\xd8" * 9, "save it as UTF-8"),
        (b"\x1f\x8b" + b"?" * 99, "check the file"),
        ('a,y\n1,"2\n' + "3,4\n" * 9, "check the file"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path: Path, content: str | bytes, message: str):
    with pytest.raises(InputError, match=message) as told:
        read(tmp_path / "x.csv", content)
    assert "\n" not in str(told.value)


def test_cells_are_read_as_those_of_another_table(tmp_path: Path):
    """New rows whose cells would be taken for something else by themselves."""
    path = tmp_path / "new.csv"
    path.write_text("code,size\n1,?\n2,?\n")
    table, _ = read_table(path, kinds={"code": "text", "size": "number"})
    assert list(table["code"]) == ["1", "2"] and table["size"].dtype == float
