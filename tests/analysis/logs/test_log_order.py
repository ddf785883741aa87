"""Rows in any order, of runs that were resumed, with other columns and gaps: one curve."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hptune.analysis.diagnose import diagnose

X = np.arange(40)
RISES = 0.5 + 1.8 * np.exp(-X / 4) + 0.06 * np.maximum(0, X - 9)
FALLS = 2.3 - 0.02 * X
OVERFIT = [f"{x},{2.3 * np.exp(-x / 6):.5f},{v:.5f}" for x, v in zip(X, RISES, strict=True)]
UNDERFIT = [f"{x},{v:.5f},{v + 0.02:.5f}" for x, v in zip(X, FALLS, strict=True)]
HEADER = "step,train_loss,val_loss"


def read(folder: Path, rows: list[str], header: str = HEADER) -> dict[str, Any]:
    path = folder / "log.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    document = diagnose(path)
    assert isinstance(document, dict)
    return document


def test_the_newest_reading_may_come_first(tmp_path: Path):
    document = read(tmp_path, OVERFIT[::-1])
    assert document["verdict"] == "overfit"
    assert "readings newest first, turned round: 40" in document["reasons"][-1]


def test_of_a_step_read_twice_the_last_reading_counts(tmp_path: Path):
    document = read(tmp_path, OVERFIT[:30] + UNDERFIT[15:])
    assert document["verdict"] == "underfit"
    assert "readings from before a restart left out" in document["reasons"][-1]


def test_what_a_run_read_before_it_went_back_is_not_its_own(tmp_path: Path):
    # Resumed from step 5, it is read at other steps than before.
    resumed = [f"{int(row.split(',')[0]) * 10 + 3},{row.split(',', 1)[1]}" for row in UNDERFIT[5:]]
    before = [f"{int(row.split(',')[0]) * 10},{row.split(',', 1)[1]}" for row in OVERFIT]
    assert read(tmp_path, before + resumed)["verdict"] == "underfit"


def test_an_evaluation_afterwards_without_a_step_is_no_restart(tmp_path: Path):
    document = read(tmp_path, [*UNDERFIT, "0,,1.54"])
    assert document["verdict"] == "underfit" and "val_loss' (40)" in document["reasons"][-1]


def test_a_header_in_the_middle_is_no_reading(tmp_path: Path):
    document = read(tmp_path, [*UNDERFIT[:20], HEADER, *UNDERFIT[20:]])
    assert document["verdict"] == "underfit" and "no number" not in document["reasons"][-1]


def test_rows_that_do_not_fit_the_header_are_left_out_and_counted(tmp_path: Path):
    document = read(tmp_path, [*UNDERFIT[:30], *(f"{row},0.5" for row in UNDERFIT[30:])])
    assert "rows with more cells than the header left out: 10" in document["reasons"][-1]
    assert "val_loss' (30)" in document["reasons"][-1]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("columns", [("epoch", "batch"), ("epoch",)])
def test_batches_are_counted_within_their_epoch(
    columns: tuple[str, ...], shuffle: bool, tmp_path: Path
):
    lr = np.geomspace(1e-5, 10, 100)
    loss = 2.3 - 2 / (1 + (0.1 / 30 / lr) ** 1.5) + 4 * np.maximum(0, np.log10(lr / 0.1)) ** 2
    steps = {"epoch": X[:1].repeat(100) + np.arange(100) // 10, "batch": np.arange(100) % 10}
    rows = [
        ",".join(str(v) for v in (*(steps[c][i] for c in columns), lr[i], loss[i]))
        for i in range(100)
    ]
    expected = read(tmp_path, rows, f"{','.join(columns)},lr,loss")
    if shuffle and columns == ("epoch",):  # within an epoch nothing tells of the order
        rows = rows[::-1]
    elif shuffle:
        random.Random(0).shuffle(rows)
    document = read(tmp_path, rows, f"{','.join(columns)},lr,loss")
    assert document["kind"] == "lr-range"
    assert document["lr_max"] == pytest.approx(expected["lr_max"])


@pytest.mark.parametrize("blank", ["", "nan", "None", "null", "NA", "-"])
def test_a_validation_loss_that_is_read_now_and_then_has_not_diverged(blank: str, tmp_path: Path):
    rows = [
        f"{i},{2.3 * np.exp(-i / 30)},{RISES[i // 5] if i % 5 == 0 else blank}" for i in range(200)
    ]
    document = read(tmp_path, rows)
    assert document["verdict"] == "overfit" and "val_loss' (40)" in document["reasons"][-1]


def test_a_measure_that_was_never_read_does_not_hide_one_that_was(tmp_path: Path):
    document = read(
        tmp_path, [f"{i},{FALLS[i]},nan,{1 - FALLS[i] / 3}" for i in X], f"{HEADER},val_acc"
    )
    assert document["verdict"] == "underfit"


@pytest.mark.parametrize(
    ("losses", "verdict", "told"),
    [
        (FALLS, "underfit", "still falls at the end"),
        (0.5 + 1.8 * np.exp(-X / 4), "cannot-say", "falls and is flat at the end"),
        (
            2.3 + 0.01 * np.random.default_rng(0).normal(size=40),
            "not-learning",
            "does not fall by more than its noise",
        ),
        (np.where(X < 20, 2.0, 2.0 ** (X - 15)), "diverged", "diverged at iteration"),
    ],
)
def test_a_training_loss_alone_says_what_it_can(
    losses: np.ndarray, verdict: str, told: str, tmp_path: Path
):
    document = read(tmp_path, [f"{i},{v}" for i, v in enumerate(losses)], "step,loss")
    assert document["verdict"] == verdict
    assert told in " ".join(document["reasons"])


def test_a_validation_loss_alone_may_diverge_and_may_rise_without(tmp_path: Path):
    explodes = np.where(X < 20, 2 - 0.05 * X, 2.0 ** (X - 15))
    rises = 0.5 + 1.8 * np.exp(-X / 2) + 0.2 * np.maximum(0, X - 5)
    for losses, verdict in ((explodes, "diverged"), (rises, "overfit")):
        rows = [f"{i},{v}" for i, v in enumerate(losses)]
        assert read(tmp_path, rows, "step,val_loss")["verdict"] == verdict


@pytest.mark.parametrize(
    "other", ["best_val_loss", "val_loss_std", "loss_scale", "grad_norm", "val_loss__MIN"]
)
def test_a_column_beside_the_loss_is_not_taken_for_it(other: str, tmp_path: Path):
    rows = [f"0.1,{row}" for row in OVERFIT]
    assert read(tmp_path, rows, f"{other},{HEADER}")["verdict"] == "overfit"


FORMS = ["{:.5f}", "{:.6e}", " {:.5f} ", "+{:.5f}", "tensor({:.5f})", "[{:.5f}]", "{:.12g}"]
OTHERS = ["grad_norm", "note", "epoch_time", "max_lr", "metrics/mAP50(B)", "GPU mem", "Unnamed: 0"]


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_order_columns_gaps_and_forms_do_not_change_the_verdict(data: st.DataObject):
    name = data.draw(st.sampled_from(["overfit", "underfit"]))
    rows = [row.split(",") for row in (OVERFIT if name == "overfit" else UNDERFIT)]
    forms = [data.draw(st.sampled_from(FORMS)) for _ in range(2)]
    gap = data.draw(st.sampled_from(["", "nan", "None", "NA"]))
    # The first and the last rows stay: a curve without its ends is another.
    gaps = data.draw(st.sets(st.tuples(st.integers(2, 34), st.integers(1, 2)), max_size=8))
    columns = {"step": [row[0] for row in rows]}
    for place, (column, form) in enumerate(zip(("train_loss", "val_loss"), forms, strict=True), 1):
        columns[column] = [
            gap if (i, place) in gaps else form.format(float(row[place]))
            for i, row in enumerate(rows)
        ]
    for i in data.draw(st.sets(st.integers(2, 34), max_size=2)):
        columns["step"][i] = ""
    for other in data.draw(st.lists(st.sampled_from(OTHERS), unique=True, max_size=4)):
        columns[other] = data.draw(
            st.lists(st.sampled_from(["", "0.5", "1e9", "x"]), min_size=40, max_size=40)
        )
    names = data.draw(st.permutations(list(columns)))
    order = data.draw(st.permutations(range(40)))
    lines = [";".join(columns[n][i] for n in names) for i in order]
    with tempfile.TemporaryDirectory() as folder:
        assert read(Path(folder), lines, ";".join(names))["verdict"] == name
