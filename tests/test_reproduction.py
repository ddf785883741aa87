"""The rows of the report's tables: each is an experiment that can run, with the report's values."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from scipy import fft

from hptune.config.build import build_task
from hptune.config.load import dump, load_experiment
from hptune.errors import InputError
from hptune.models import build
from hptune.policies import schedule
from scripts.reproduction import beginning, cli
from scripts.reproduction.changes import CHANGES, encode, encoded_again, quarter_chroma
from scripts.reproduction.cli import experiment_of, options
from scripts.reproduction.jpeg_loss import brightness, estimated_loss

ROOT = Path(__file__).parents[1]
ROWS = yaml.safe_load((ROOT / "scripts" / "reproduction" / "rows.yaml").read_text())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_a_row_is_an_experiment_with_the_reports_values(row: dict[str, Any]):
    experiment = experiment_of(row, options([]))
    values = experiment.hyper_parameters
    planned = schedule(
        experiment.policy.name,
        1000,
        lr=values.lr,
        lr_min=values.lr_min,
        momentum=values.momentum,
        momentum_min=values.momentum_min,
        momentum_mode=experiment.policy.momentum,
        iterations_per_epoch=10,
        args=experiment.policy.args,
    )
    name = row["id"]
    if "constant" in name:
        assert planned.lr.min() == planned.lr.max() == values.lr
    elif "step" in name:
        assert planned.lr[0] == values.lr and planned.lr[-1] < values.lr / 50
        assert planned.momentum.min() == planned.momentum.max() == 0.9
    elif "clr" in name or "1cycle" in name:
        assert planned.lr.max() == pytest.approx(values.lr, rel=0.01)
        assert planned.lr[0] == pytest.approx(values.lr_min)
    last = name.split("-")[-1]
    if row["table"] == "1":
        wanted = {float(part) for part in name.split("-") if part.replace(".", "").isdigit()}
        seen = {round(float(planned.momentum.min()), 2), round(float(planned.momentum.max()), 2)}
        assert seen == wanted
    elif row["table"] == "2":
        assert experiment.training.epochs == float(last)


def test_ids_are_unique_and_tables_are_whole():
    ids = [row["id"] for row in ROWS]
    assert len(ids) == len(set(ids))
    count = {table: sum(row["table"] == table for row in ROWS) for table in ("1", "2")}
    assert count == {"1": 19, "2": 26}


def test_a_tuned_row_gives_no_hyper_parameter():
    row = next(row for row in ROWS if row["id"] == "lenet-1cycle-12")
    experiment = experiment_of(row, options(["--scale", "0.5", "--tuned"]))
    assert set(experiment.hyper_parameters.model_dump().values()) == {None}
    assert experiment.training.epochs == 6
    assert experiment.data.validation_folder is None


def test_it_lists_its_rows_and_refuses_unknown_ones():
    command = [sys.executable, str(ROOT / "scripts" / "reproduce"), "--rows"]
    listed = subprocess.run(
        [*command, "lenet-step-85", "--list"], capture_output=True, text=True, check=True
    )
    assert listed.stdout.split() == ["2", "lenet-step-85", "99.0", "±", "0.04", "%"]
    wrong = subprocess.run([*command, "lenet"], capture_output=True, text=True, check=False)
    assert wrong.returncode != 0 and "must be one of" in wrong.stderr


def test_it_finds_where_hptune_is_installed_or_says_what_to_do(tmp_path: Path):
    script = tmp_path / "scripts" / "reproduce"
    script.parent.mkdir()
    script.write_bytes((ROOT / "scripts" / "reproduce").read_bytes())
    bare = [sys.executable, "-S", str(script), "--list"]  # a Python without packages
    refused = subprocess.run(bare, capture_output=True, text=True, check=False)
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    assert "scripts/quickstart" in refused.stderr
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    found = subprocess.run(bare, capture_output=True, text=True, check=True)
    assert found.stdout.split() == [str(script), "--list"]


@pytest.fixture
def short_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a row of 10 epochs on digits, whose results go to an empty folder."""
    row = {
        "id": "short",
        "table": "1",
        "config": "digits",
        "report": [97.0, 0.5],
        "set": {
            "data.subset": 600,
            "training.epochs": 10,
            "hyper_parameters.lr": 0.05,
            "hyper_parameters.batch_size": 64,
        },
    }
    (tmp_path / "rows.yaml").write_text(yaml.safe_dump([row]))
    monkeypatch.setattr(cli, "ROWS", tmp_path / "rows.yaml")
    monkeypatch.setattr(cli, "RESULTS", tmp_path / "results.csv")
    monkeypatch.setattr(cli, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(beginning, "RESULTS", tmp_path / "beginnings.csv")
    monkeypatch.setattr(beginning, "RUNS", tmp_path / "runs")
    return "short"


def call(main: Callable[[], None], monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["script", *map(str, words)])
    main()


def test_a_row_is_run_beside_the_reports_number_and_goes_on_from_finished_seeds(
    short_row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    words = ("--rows", short_row, "--device", "cpu", "--seeds")
    call(cli.main, monkeypatch, *words, 1)
    first = capsys.readouterr().out
    assert "report 97.0 ± 0.5 %; falls short by" in first and "(n = 1)" in first
    trials = sorted((tmp_path / "runs" / "short" / "curves").iterdir())
    before = [file.stat().st_mtime_ns for file in trials]
    call(cli.main, monkeypatch, *words, 2)
    assert [file.stat().st_mtime_ns for file in trials] == before
    call(cli.main, monkeypatch, *words, 1, "--change", "classical-momentum")
    table = pd.read_csv(tmp_path / "results.csv", keep_default_na=False)
    assert table["change"].tolist() == ["", "classical-momentum"]
    assert table["seeds"].tolist() == [2, 1]
    assert table["epochs"].tolist() == [10, 10]
    assert (table["test_accuracy"] > 60).all() and (table["test_accuracy"] <= 100).all()


@pytest.mark.parametrize(
    ("accuracy", "verdict"),
    [(99.4, "above it"), (99.23, "within its standard deviation"), (99.1, "falls short by 0.15")],
)
def test_a_row_that_falls_short_is_said_to(accuracy: float, verdict: str):
    assert cli.verdict_on(accuracy, {"report": [99.25, 0.03]}) == verdict
    assert cli.verdict_on(accuracy, {"report": [None, None]}) == "nothing to compare"


def test_a_tuned_row_says_what_was_decided_and_what_the_search_cost(
    short_row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    call(cli.main, monkeypatch, "--rows", short_row, "--device", "cpu", "--seeds", 1, "--tuned")
    (row,) = pd.read_csv(tmp_path / "results.csv").to_dict("records")
    assert row["tuned"] and 0 < row["search_epochs"] <= 30  # 3 times the final run
    decided = dict(pair.split("=") for pair in row["decided"].split())
    assert {"lr", "momentum", "weight_decay", "batch_size"} <= set(decided)
    assert float(decided["lr"]) > 0


def test_a_row_trains_on_all_images_as_it_was_tuned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    row = {"id": "short", "config": "cifar10-3layer"}
    monkeypatch.setattr(cli, "RUNS", tmp_path)
    args = options(["--as-tuned"])
    with pytest.raises(InputError, match="run --tuned first"):
        experiment_of(row, args)
    decided = ["lr=0.007", "lr_min=0.0007", "momentum=0.9", "momentum_min=0.9"]
    experiment = load_experiment(
        ROOT / "configs" / "cifar10-3layer.yaml", [f"hyper_parameters.{each}" for each in decided]
    )
    tuned = tmp_path / "short-tuned" / "tuned.yaml"
    tuned.parent.mkdir()
    tuned.write_text(dump(experiment))
    again = experiment_of(row, args)
    assert again.hyper_parameters == experiment.hyper_parameters
    assert again.training == experiment.training and again.policy == experiment.policy
    assert again.data.validation_folder == again.data.test_folder == "test"


def test_the_beginning_of_a_row_is_that_of_the_whole_run(
    short_row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    log = tmp_path / "log.csv"
    log.write_text("iteration,train_loss,test_accuracy\n0,2.3,\n6,1.5,0.4\n12,1.0,0.7\n")
    words = (short_row, log, "--iterations", 12, "--every", 6, "--device", "cpu")
    call(beginning.main, monkeypatch, *words, "--precision", "fp32")
    table = pd.read_csv(tmp_path / "beginnings.csv")
    assert table["iteration"].tolist() == [5, 11]  # after 6 and 12 of them
    assert table["author_iteration"].tolist() == [6, 12]
    assert table["author_test_accuracy"].tolist() == [0.4, 0.7]
    call(cli.main, monkeypatch, "--rows", short_row, "--device", "cpu", "--seeds", 1)
    (curve,) = (tmp_path / "runs" / "short" / "curves").iterdir()
    whole = pd.read_csv(curve)
    for at, lr, loss in zip(table["iteration"], table["lr"], table["train_loss"], strict=True):
        upto = whole[whole["iteration"] <= at]
        assert lr == pytest.approx(upto["lr"].iloc[-1], abs=1e-6)
        assert loss == pytest.approx(upto["train_loss"].tail(20).mean(), abs=1e-4)


def test_an_image_that_is_encoded_again_stays_in_its_place_and_loses_something():
    y, x = np.mgrid[:32, :32]
    image = np.stack([8 * x, 8 * y, 128 + 0 * x], -1).astype(np.uint8)
    for shift in (0, 4):
        again = encoded_again(image, shift=shift)
        assert again.shape == image.shape and again.dtype == np.uint8
        difference = np.abs(again.astype(int) - image).mean()
        assert 0 < difference < 8
        for axis, by in ((0, 1), (0, -1), (1, 1), (1, -1)):
            moved = np.roll(image, by, axis)
            assert difference < np.abs(again.astype(int) - moved).mean()


def test_colour_is_made_coarse_and_brightness_is_not():
    random = np.random.default_rng(0)
    image = random.integers(64, 192, (32, 32, 3), dtype=np.uint8)
    coarse = quarter_chroma(image)

    def planes(pixels: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(pixels).convert("YCbCr"), dtype=float)

    before, after = planes(image), planes(coarse)
    # Noise in each pixel: averages of 4 x 4 keep a quarter of its deviation, and less between them.
    assert after[..., 1:].std() < 0.3 * before[..., 1:].std()
    assert np.abs(after - before)[..., 0].mean() < 1


@pytest.mark.parametrize("quality", [75, 50])
def test_the_loss_of_an_encoding_is_estimated_from_its_files_alone(quality: int):
    random = np.random.default_rng(0)
    scale = 30 / (1 + np.add.outer(np.arange(8), np.arange(8)) / 7)  # less of the high frequencies
    frequencies = random.laplace(scale=scale, size=(400, 8, 8))
    blocks = 128 + fft.idctn(frequencies, axes=(1, 2), norm="ortho")
    before = np.rint(blocks).clip(0, 255).astype(np.uint8)
    files = [encode(np.stack([grey] * 3, -1), shift=0, quality=quality) for grey in before]
    after = np.stack([brightness(file) for file in files])
    lost = ((after - before) ** 2).mean()
    assert lost > 10
    assert estimated_loss(files) == pytest.approx(lost, rel=0.05)


def test_one_change_leaves_the_rest_of_a_task_alone():
    task = build_task(load_experiment(None))
    fixed = CHANGES["fixed-order"].of_task(task).train
    first, again, next_epoch = (
        [targets.tolist() for _, targets in source.batches(64, seed=1, epoch=epoch)]
        for source, epoch in ((task.train, 0), (fixed, 0), (fixed, 1))
    )
    assert first == again == next_epoch
    assert first != [t.tolist() for _, t in task.train.batches(64, seed=1, epoch=1)]
    torch.manual_seed(0)
    plain = build("three-layer", {}, input_shape=(3, 32, 32), outputs=10)
    changed = CHANGES["torch-init"].of_task(task.change(make_model=lambda: plain)).make_model()
    bound = 1 / (64 * math.sqrt(75))  # torch's bound is 1 / sqrt(fan-in)
    assert 0.9 * bound < changed.conv1.weight.abs().max() <= bound
    assert changed.linear.weight.abs().max() <= 1 / math.sqrt(1024)
