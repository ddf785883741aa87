"""The same function without hptune, with the values of a tuned.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from own_loops import BATCH_SIZE, PER_EPOCH, train

import hptune

DECIDED = """
hyper_parameters: {{lr: {lr}, lr_min: 0.01, momentum: 0.95, momentum_min: 0.85, weight_decay: 0.001,
  batch_size: {batch_size}}}
training: {{epochs: 3, evaluations: 3}}
"""


def written(folder: Path, lr: Any = 0.1, batch_size: Any = 16) -> Path:
    path = folder / "tuned.yaml"
    path.write_text(DECIDED.format(lr=lr, batch_size=batch_size))
    return path


def test_the_final_run_is_repeated_to_the_last_digit(tmp_path: Path):
    trained = hptune.train(
        train, lr=0.1, momentum=0.9, weight_decay=0.01, epochs=3, out=tmp_path, progress=False,
        iterations_per_epoch=PER_EPOCH, batch_size=BATCH_SIZE, seed=4,
    )  # fmt: skip
    trial = hptune.Trial.from_file(tmp_path / "tuned.yaml")
    before = sorted(tmp_path.rglob("*"))
    train(trial)
    read = trained.curve.dropna(subset=["val_loss"])
    for name in ("iteration", "lr", "train_loss", "val_loss", "val_accuracy"):
        assert [row[name] for row in trial.history] == read[name].tolist()
    assert sorted(tmp_path.rglob("*")) == before
    assert trial.test_now
    other = hptune.Trial.from_file(tmp_path / "tuned.yaml", seed=5)
    train(other)
    assert other.history != trial.history


def test_any_file_with_the_values_will_do(tmp_path: Path):
    trial = hptune.Trial.from_file(written(tmp_path), iterations_per_epoch=7, device="cpu")
    assert (trial.iterations, trial.epochs, trial.lr, trial.batch_size) == (21, 3.0, 0.1, 16)
    assert (trial.momentum, trial.weight_decay, trial.seed) == (0.95, 0.001, 0)
    assert trial.device == torch.device("cpu")
    drawn = (torch.rand(1).item(), float(np.random.rand()))
    hptune.Trial.from_file(tmp_path / "tuned.yaml", iterations_per_epoch=7)
    assert (torch.rand(1).item(), float(np.random.rand())) == drawn


def test_what_hptunes_own_loop_did_beside_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = written(tmp_path)
    path.write_text(path.read_text().replace("evaluations: 3", "sam: 0.05, average: ema"))
    hptune.Trial.from_file(path, iterations_per_epoch=7, device="cpu")
    told = "training.average ema, training.sam 0.05: not done here, but by the loop itself"
    assert told in capsys.readouterr().err


def test_divergence_ends_a_script_with_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    trial = hptune.Trial.from_file(written(tmp_path), iterations_per_epoch=40)
    with pytest.raises(SystemExit) as ended:
        for _ in trial:
            trial.log(train_loss=float("nan"))
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert (
        told.startswith("hptune: ") and told.count("\n") == 1 and "diverged at iteration 0" in told
    )


@pytest.mark.parametrize(
    ("how", "values", "told"),
    [
        ({}, {}, "iterations_per_epoch: not given, nor in .*; must be .* at batch size 16"),
        ({"iterations_per_epoch": 5}, {"lr": "null"}, "hyper_parameters.lr is null"),
        (
            {"iterations_per_epoch": 5},
            {"batch_size": "null"},
            "hyper_parameters.batch_size is null",
        ),
    ],
)
def test_what_is_missing_is_told(
    how: dict[str, Any], values: dict[str, Any], told: str, tmp_path: Path
):
    with pytest.raises(hptune.InputError, match=told):
        hptune.Trial.from_file(written(tmp_path, **values), **how)


def test_a_file_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(hptune.InputError, match=r"nothing\.yaml"):
        hptune.Trial.from_file(tmp_path / "nothing.yaml")
