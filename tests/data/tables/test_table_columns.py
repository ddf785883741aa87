"""Columns and rows that teach nothing, or too much: decided alike by `init` and the reader, and said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hptune.config.load import load_experiment
from hptune.config.starter import write_starter
from hptune.data import DataSpec, load
from hptune.data.inspect import inspect
from hptune.data.spec import Splits
from hptune.errors import InputError

N = 200
RNG = np.random.default_rng(0)
A, Y = RNG.normal(size=N), RNG.choice(["p", "q"], N)


def read(path: Path, columns: dict[str, object], target: str = "y", **settings: object) -> Splits:
    pd.DataFrame(columns).to_csv(path / "x.csv", index=False)
    return load(DataSpec(name="csv", path=str(path / "x.csv"), target=target, **settings))


USELESS = {
    "a running number": {"k": range(5, N + 5)},
    "an id, by its name": {"customer_id": RNG.permutation(10**6)[:N]},
    "an id or free text, 200 distinct": {"name": [f"Mr {k}" for k in range(N)]},
    "text of 150 distinct values": {"town": [f"town {k % 150}" for k in range(N)]},
    "constant": {"c": 7},
    "empty": {"c": np.nan},
    "the same as 'a'": {"again": A},
    "the target 'y' in other words": {"code": np.where(Y == "p", "yes", "no")},
}


@pytest.mark.parametrize(("reason", "column"), USELESS.items(), ids=USELESS)
def test_a_column_of_no_use_is_left_out_with_the_reason(tmp_path: Path, reason: str, column: dict):
    splits = read(tmp_path, {"a": A, **column, "y": Y})
    assert splits.record["columns"] == ["a"]
    assert reason in splits.notes[0] and repr(*column) in splits.notes[0]
    found = inspect(tmp_path / "x.csv", target="y")
    assert found.warnings == splits.notes and found.dropped == tuple(column)
    # The config that `init` writes lists them, and gives the same inputs.
    config = tmp_path / "hptune.yaml"
    config.write_text(write_starter(found, "x.csv", name="x", summary=[], file="hptune.yaml"))
    spec = load_experiment(config).data
    assert spec.drop == tuple(column) and load(spec).record == splits.record


@pytest.mark.parametrize(
    "column",
    [
        {"paid": RNG.permutation(10**6)[:N]},
        {"year": 2000 + np.arange(N) // 20},
        {"when": pd.date_range("2020-01-01", periods=N).astype(str)},
        {"town": [f"town {k % 90}" for k in range(N)]},
        {"once": np.where(np.arange(N) % 2, "x", "")},
    ],
)
def test_a_column_of_use_is_kept(tmp_path: Path, column: dict):
    splits = read(tmp_path, {"a": A, **column, "y": Y})
    assert len(splits.record["columns"]) > 1 and "left out" not in " ".join(splits.notes)


def test_an_explicit_list_is_followed_and_what_it_keeps_is_said(tmp_path: Path):
    columns = {"a": A, "k": range(N), "b": A**2, "town": [f"t {k % 150}" for k in range(N)], "y": Y}
    splits = read(tmp_path, columns, drop=("b",))
    names = splits.record["columns"]
    assert names[:2] == ["a", "k"] and len(names) == 2 + 100  # the most frequent values of text
    assert "'k' is kept, as data.drop lists what is left out: a running number" in splits.notes[0]
    with pytest.raises(InputError, match=r"'a' is left out.*leave fewer out with data\.drop"):
        read(tmp_path, {"a": A, "y": Y}, drop=("a",))


@pytest.mark.parametrize(
    ("column", "target"),
    [
        ({"city": [f"{y}{k % 3}" for k, y in enumerate(Y)]}, Y),
        ({"dollars": A * 1.1 + 7}, A),
    ],
)
def test_a_column_that_gives_the_target_away_is_said(tmp_path: Path, column: dict, target):
    splits = read(tmp_path, {"b": RNG.normal(size=N), **column, "y": target})
    assert f"{next(iter(column))!r} gives the target 'y' away" in " ".join(splits.notes)


def test_none_and_na_are_classes_and_categories(tmp_path: Path):
    severity, country = (np.where(cut < A, word, "DE") for cut, word in ((0, "None"), (0.5, "NA")))
    splits = read(tmp_path, {"a": A, "country": country, "y": severity})
    assert splits.classes == ("DE", "None")
    assert splits.record["columns"] == ["a", "country=DE", "country=NA"]
    assert f"{(country == 'NA').sum()} in 'country'" in splits.notes[0]


def test_what_means_missing_can_be_said(tmp_path: Path):
    columns = {"a": np.where(A > 1, -999, A), "c": RNG.choice(["u", "NA", "w"], N), "y": Y}
    splits = read(tmp_path, columns, missing=(-999, "NA"))
    names = splits.record["columns"]
    assert names == ["a", "a missing", "c=u", "c=w", "c missing"]
    counts = f"{(columns['c'] == 'NA').sum()} in 'c', {(A > 1).sum()} in 'a'"
    assert counts in splits.notes[0] and "counts as a value" not in " ".join(splits.notes)


def test_rows_without_a_target_are_left_out_and_counted(tmp_path: Path):
    target = Y.astype(object).copy()
    target[:7] = None
    splits = read(tmp_path, {"a": A, "y": target})
    assert len(splits.train) + len(splits.validation) + len(splits.test) == N - 7
    assert splits.notes == ("rows without a target in 'y' are left out: 7",)
    assert splits.classes == ("p", "q")


def test_rows_that_are_in_two_splits_are_counted(tmp_path: Path):
    columns = {"a": A, "b": RNG.normal(size=N), "c": RNG.normal(size=N), "y": Y}
    splits = read(tmp_path, {name: np.concatenate([each, each]) for name, each in columns.items()})
    train = {round(x, 4) for x in splits.train.inputs[:, 0].tolist()}
    copies = sum(round(x, 4) in train for x in splits.test.inputs[:, 0].tolist())
    assert f"{copies} of {len(splits.test)} test examples have inputs" in " ".join(splits.notes)


@pytest.mark.parametrize("written", ["0.0", "1"])
def test_whole_numbers_are_classes_however_they_are_written(tmp_path: Path, written: str):
    values = np.arange(N) % 3 + 1
    target = values.astype(float) if "." in written else values
    splits = read(tmp_path, {"a": A, "y": target})
    assert splits.classes == ("1", "2", "3") and splits.kind == "classification"
    assert ("data.kind: regression" in " ".join(splits.notes)) == ("." in written)
    assert read(tmp_path, {"a": A, "y": target}, kind="regression").outputs == 1


def test_classes_are_in_the_order_of_their_numbers(tmp_path: Path):
    assert read(tmp_path, {"a": A, "y": np.arange(N) % 12}).classes[-2:] == ("10", "11")


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_too_small_to_split_is_trained_on_and_said(tmp_path: Path, count: int):
    target = Y.astype(object).copy()
    target[3 : 3 + count] = "rare"
    splits = read(tmp_path, {"a": A, "y": target})
    assert splits.classes == ("p", "q", "rare")
    assert int((splits.train.targets == 2).sum()) >= 1
    assert "no validation example of 1 of 3 classes: 'rare'" in " ".join(splits.notes)
