"""Random tables with junk in them: read or refused in a line, and no column, class or row is lost."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from pathlib import Path

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hptune.config.load import load_experiment
from hptune.config.starter import write_starter
from hptune.data import load
from hptune.data.inspect import inspect
from hptune.data.tables.preprocessing import Preprocessing
from hptune.data.tables.read import read_table
from hptune.errors import InputError

JUNK = (
    "?",
    "-",
    "n/a",
    "",
    " ",
    "NA",
    "None",
    "inf",
    "nan",
    "abc",
    "1e400",
    "#REF!",
    "\u00a0",
    '"',
)
numbers = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats(allow_nan=False).map(str),
    st.floats(-1e6, 1e6).map(lambda x: f"{x:,.2f}"),
    st.floats(-100, 100).map(lambda x: f"{x:.1f}%"),
    st.floats(0, 1e4).map(lambda x: f"€{x:.2f}".replace(".", ",")),
)
CELLS = {
    "number": numbers,
    "few": st.integers(0, 3).map(str),
    "float class": st.sampled_from(["0.0", "1.0", "2.0"]),
    "text": st.text(st.characters(codec="cp1252", exclude_characters="\r\x00"), max_size=8),
    "word": st.sampled_from(["red", "green", "None", "yes", "no", "a;b", "a,b", "two\nlines"]),
    "yes": st.sampled_from(["Yes", "no"]),
    "date": st.dates().map(str),
    "code": st.integers(0, 10**5).map(lambda k: f"{k:06d}"),
    "nothing": st.just(""),
    "one": st.just("7"),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]], str, str]:
    """Draw names, rows, a separator and an encoding."""
    kinds = draw(st.lists(st.sampled_from(list(CELLS)), min_size=2, max_size=6))
    count = draw(st.integers(2, 80))
    junk = draw(st.sampled_from([0.0, 0.0, 0.1, 0.5]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    columns = []
    for kind in kinds:
        # A few different cells, repeated: a whole column of drawn ones is too much to draw.
        some = draw(st.lists(CELLS[kind], min_size=1, max_size=12))
        cells = [some[k] for k in rng.integers(0, len(some), count)]
        columns.append([str(rng.choice(JUNK)) if rng.random() < junk else cell for cell in cells])
    names = draw(st.lists(st.sampled_from(["a", "b", "y", "id", " c ", "", "größe", "1"]),
                          min_size=len(kinds), max_size=len(kinds)))  # fmt: skip
    separator = draw(st.sampled_from(",;\t|"))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))
    return names, [list(row) for row in zip(*columns, strict=True)], separator, encoding


@settings(max_examples=60, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])  # fmt: skip
@given(tables())
def test_a_random_table_is_read_or_refused_in_a_line(drawn) -> None:
    names, rows, separator, encoding = drawn
    file = io.StringIO()
    csv.writer(file, delimiter=separator).writerows([names, *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv"
        path.write_bytes(file.getvalue().encode(encoding))
        try:
            found = inspect(path)
            config = Path(folder) / "hptune.yaml"
            config.write_text(
                write_starter(
                    found, "x.csv", name="x", summary=found.describe(), file="hptune.yaml"
                )
            )
            spec = load_experiment(config).data
            splits = load(spec)
        except InputError as error:
            assert "\n" not in str(error)
            return
        table, _ = read_table(path)
    said = " ".join(found.warnings)
    # Columns: each is an input, the target, or said to be left out.
    told = re.search(r"without a value are left out: (\d+)", said)
    assert len(found.columns) + int(told[1] if told else 0) == len(names)
    made = Preprocessing.from_record(splits.record["preprocessing"])
    inputs = {feature.column for feature in made.features}
    left = {column.name for column in found.columns} - inputs - {found.target}
    assert left == set(found.dropped)
    # Rows: each is in one split, or said to lack its target.
    parts = [part for part in (splits.train, splits.validation, splits.test) if part is not None]
    told = re.search(r"rows without a target in .* are left out: (\d+)", said)
    blank = sum(not any(cell.strip() for cell in row) for row in rows)
    assert sum(map(len, parts)) + int(told[1] if told else 0) + blank >= len(rows)
    # Classes: each has a row to learn it from.
    if splits.classes:
        assert set(splits.train.targets.tolist()) == set(range(len(splits.classes)))
        assert list(splits.classes) == list(found.classes)
    # Values: as many cells are missing as `init` counts.
    assert all(torch.isfinite(part.inputs).all() for part in parts)
    assert {c.name: c.missing for c in found.columns if c.name in inputs} == {
        name: int(table.loc[table[found.target].notna(), name].isna().sum()) for name in inputs
    }


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.one_of(
        st.binary(max_size=80), st.text(',;\t|"\n\r ab1.-\ufeff', max_size=80).map(str.encode)
    )
)
def test_random_bytes_are_read_or_refused_in_a_line(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv"
        path.write_bytes(content)
        try:
            inspect(path)
        except InputError as error:
            assert "\n" not in str(error)
