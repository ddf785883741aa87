"""What a user lists is checked before anything runs, by the rules of the config's own keys."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from hptune.cli import run

SMALL = ["--set", "data.subset=300", "--set", "training.epochs=3", "--jobs", "1", "--device", "cpu"]


@pytest.mark.parametrize(
    ("key", "values", "told"),
    [
        ("momentum", "1.5", "procedure.momentum.values.0: 1.5; must be less than or equal to 1"),
        ("wd", "1e-3,-1", "must be greater than or equal to 0"),
        ("batch-size", "0,-2", "must be greater than or equal to 1"),
        ("batch-size", "32,100000", "must not exceed"),
        ("lr", "0.1,-1", "must be greater than 0"),
        ("dropout", "0,2", "must be less than 1"),
        ("optimizer.args.nesterov", "true,maybe", "true or false"),
        ("optimizer.args.dampening", "0,much", "number"),
        ("model.args.hidden", "[16],many", "model"),
        ("training.clip_norm", "1,0", "must be greater than 0"),
        ("momentum", "0.9,0.9", "each once"),
        ("wd", "small", "must be a valid number"),
        ("optimizer.args.nonsense", "1,2", "no such argument"),
        ("model.args.hidden", "[64],[]x", "error"),
    ],
)
def test_a_value_that_the_key_does_not_take_ends_the_sweep_before_it_begins(
    key: str, values: str, told: str, tmp_path: Path, capsys
):
    assert run(["sweep", key, "--values", values, "--out", str(tmp_path), *SMALL]) == 2
    error = capsys.readouterr().err
    assert told in error and "Traceback" not in error and error.count("error: ") == 1
    assert not (tmp_path / "results.csv").exists()  # not even a range test has run


def test_rates_for_a_model_without_dropout_are_refused_before_anything_runs(tmp_path: Path, capsys):
    model = ["--set", "model.name=resnet-20"]
    assert run(["sweep", "dropout", *model, "--out", str(tmp_path), *SMALL]) == 2
    assert "has no dropout layer" in capsys.readouterr().err
    assert not (tmp_path / "results.csv").exists()


def test_lists_are_values_too(tmp_path: Path):
    command = ["sweep", "model.args.hidden", "--values", "[8],[32,16]", "--out", str(tmp_path)]
    assert run([*command, "--set", "hyper_parameters.lr=0.1", "--quiet", *SMALL]) == 0
    with (tmp_path / "results.csv").open() as file:
        assert {row["model.args.hidden"] for row in csv.DictReader(file)} == {"[8]", "[32, 16]"}
    with (tmp_path / "decisions.csv").open() as file:
        decision = next(csv.DictReader(file))
    assert decision["parameter"] == "model.args.hidden"
    assert decision["value"] in ("[8]", "[32, 16]")
    assert run(["train", "--epochs", "1", "--out", str(tmp_path), "--quiet", *SMALL]) == 0
