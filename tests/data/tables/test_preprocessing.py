"""Inputs made of a table: fitted to the training rows, kept in plain values, applied to new rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hptune.data import DataSpec, load
from hptune.data.tables.preprocessing import Preprocessing
from hptune.data.tables.read import read_table
from hptune.errors import InputError

N = 120
RNG = np.random.default_rng(0)


def frame() -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "size": RNG.normal(40, 10, N),
            "colour": RNG.choice(["red", "green", "blue"], N),
            "smoker": RNG.choice(["yes", "no"], N),
            "when": pd.date_range("2020-01-01", periods=N, freq="30h").astype(str),
            "y": RNG.choice(["a", "b"], N),
        }
    )
    table.loc[3:9, "size"] = np.nan
    table.loc[20:25, "colour"] = np.nan
    return table


def test_gaps_are_filled_with_what_the_training_rows_have_and_said(tmp_path: Path):
    table = frame()
    table.to_csv(tmp_path / "x.csv", index=False)
    splits = load(DataSpec(name="csv", path=str(tmp_path / "x.csv"), target="y"))
    features = {feature["column"]: feature for feature in splits.record["preprocessing"][:1]}
    columns = splits.record["columns"]
    assert columns[:6] == [
        *("size", "size missing", "colour=blue", "colour=green", "colour=red", "colour missing"),
    ]
    x = splits.train.inputs.double().numpy()
    median, first = features["size"]["fill"], features["size"]
    unscaled = x[:, 0] * first["std"] + first["mean"]
    gap = x[:, 1] > x[:, 1].mean()
    np.testing.assert_allclose(unscaled[gap], median, rtol=1e-5)
    assert np.isclose(np.median(unscaled[~gap]), median, rtol=1e-5)
    assert not x[:, 2:5][x[:, 5] > 0].max(0).max() > x[:, 2:5].max()
    assert "7 in 'size', 6 in 'colour'" in " ".join(splits.notes)
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(0), 1, atol=1e-5)


def test_what_is_recorded_makes_the_same_inputs_of_new_rows(tmp_path: Path):
    frame().to_csv(tmp_path / "x.csv", index=False)
    splits = load(DataSpec(name="csv", path=str(tmp_path / "x.csv"), target="y"))
    made = Preprocessing.from_record(json.loads(json.dumps(splits.record))["preprocessing"])
    table, _ = read_table(tmp_path / "x.csv", kinds=made.kinds)
    everything = {tuple(row) for row in made.apply(table).tolist()}
    seen = np.concatenate([s.inputs for s in (splits.train, splits.validation, splits.test)])
    assert everything == {tuple(row) for row in seen.tolist()}
    (tmp_path / "new.csv").write_text("when,smoker,colour,size\n2020-02-03,maybe,pink,?\n,,,\n")
    new, _ = read_table(tmp_path / "new.csv", kinds=made.kinds)
    assert made.unseen(new) == {"colour": 1}
    inputs = made.apply(new)
    assert inputs.shape == (2, len(made.names)) and np.isfinite(inputs).all()
    (tmp_path / "new.csv").write_text("when,smoker,colour,size\n,,,7\n")
    assert np.isfinite(made.apply(read_table(tmp_path / "new.csv", kinds=made.kinds)[0])).all()
    with pytest.raises(InputError, match="no column 'size'"):
        made.apply(new.drop(columns="size"))


def test_dates_become_the_parts_that_vary():
    dates = pd.DataFrame({"d": pd.date_range("2020-01-01", periods=40, freq="D")})
    made = Preprocessing.fit(dates, np.arange(40), "none")
    assert made.names == ["d month", "d day", "d day_of_week"]
    assert made.apply(dates)[33].tolist() == [2, 3, 0]


def test_text_that_no_training_row_has_is_none_of_the_categories_and_is_counted(tmp_path: Path):
    table = pd.DataFrame(
        {"a": RNG.normal(size=N), "c": RNG.choice(["u", "v"], N), "y": [0, 1] * 60}
    )
    for k in range(0, N, 5):
        table.loc[k, "c"] = f"only {k}"
    table.to_csv(tmp_path / "x.csv", index=False)
    splits = load(DataSpec(name="csv", path=str(tmp_path / "x.csv"), target="y"))
    known = [name for name in splits.record["columns"] if name.startswith("c=")]
    features = [f for f in splits.record["preprocessing"] if f["column"] == "c"]
    means, stds = ([f[key] for f in features] for key in ("mean", "std"))
    unscaled = splits.test.inputs[:, 1 : 1 + len(known)].numpy() * stds + means
    nothing = int((np.abs(unscaled).max(1) < 1e-4).sum())
    assert nothing > 0
    assert (
        f"text in test rows that no training row has is none of the categories: {nothing} in 'c'"
        in (splits.notes)
    )


@pytest.mark.parametrize("largest", [1.0, 1e30, 1e308])
def test_numbers_of_any_size_are_standardised(largest: float):
    values = pd.DataFrame({"x": RNG.choice([-1.0, 1.0], 40) * largest, "same": 0.1 * largest})
    inputs = Preprocessing.fit(values, np.arange(40)).apply(values)
    assert np.isclose(inputs[:, 0].std(), 1, atol=1e-3) and np.abs(inputs[:, 1]).max() < 1e-6


def test_normalize_none_takes_numbers_as_they_are():
    values = pd.DataFrame({"x": [1.0, 2.0, 5.0]})
    made = Preprocessing.fit(values, np.arange(3), "none")
    assert made.apply(values)[:, 0].tolist() == [1, 2, 5]
