"""What is settled before a trial runs: nothing is written by a look, and wrong candidates are refused."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from hptune.cli import run

SHORT = ["--set", "training.epochs=2", "--device", "cpu", "--quiet", "--jobs", "1"]
LOOK = ["--set", "training.epochs=77", "--device", "cpu", "--quiet"]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.mark.parametrize("command", [["check"], ["run", "--dry-run"]])
def test_a_look_at_the_plan_writes_nothing_into_a_run_that_is_there(command, tmp_path: Path):
    assert run(["train", "--lr", "0.1", "--out", str(tmp_path), *SHORT]) == 0
    before = contents(tmp_path)
    assert run([*command, "--out", str(tmp_path), *LOOK]) == 0
    assert contents(tmp_path) == before


@pytest.mark.parametrize("command", [["check"], ["run", "--dry-run"]])
def test_a_look_at_the_plan_makes_no_directory(command, tmp_path: Path):
    assert run([*command, "--out", str(tmp_path / "new"), *LOOK]) == 0
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["momentum", "--values", "1.5"], "less than or equal to 1"),
        (["batch-size", "--values", "0,-2"], "greater than or equal to 1"),
        (["wd", "--values", "1e-3,-1"], "greater than or equal to 0"),
        (["lr", "--values", "-1"], "greater than 0"),
        (["dropout", "--values", "2"], "less than 1"),
        (["optimizer.args.nonsense", "--values", "1,2"], "no such argument"),
        (["model.args.hidden", "--values", "[64],[]x"], "error"),
        (["wd", "--values", "1e-3,1e-3"], "each once"),
        (["dropout", "--set", "model.name=resnet-20"], "has no dropout layer"),
    ],
)
def test_wrong_candidates_are_refused_before_anything_runs(words, told, tmp_path: Path, capsys):
    assert run(["sweep", *words, "--out", str(tmp_path / "r"), *SHORT]) == 2
    shown = capsys.readouterr().err
    assert told in shown and shown.count("error: ") == 1
    assert not (tmp_path / "r" / "results.csv").exists()


def test_lists_can_be_swept(tmp_path: Path):
    words = ["sweep", "model.args.hidden", "--values", "[8],[16,8]", "--out", str(tmp_path)]
    assert run([*words, *SHORT, "--set", "hyper_parameters.lr=0.1"]) == 0
    with (tmp_path / "decisions.csv").open() as file:
        (decision,) = csv.DictReader(file)
    assert decision["value"] in ("[8]", "[16, 8]")
    assert run(["train", "--out", str(tmp_path), *SHORT, "--lr", "0.1"]) == 0
