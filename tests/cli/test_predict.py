"""`hptune predict` and `hptune export`: what is printed, what is written, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hptune.cli import run


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "digits"
    words = ["train", "--lr", "0.1", "--epochs", "1", "--jobs", "1", "--device", "cpu", "--quiet"]
    assert run([*words, "--out", str(folder)]) == 0
    return folder


def test_the_table_goes_to_stdout_and_what_is_told_to_stderr(digits: Path, capsys):
    assert run(["predict", str(digits), "--device", "cpu"]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert lines[0] == "row,prediction" and len(lines) == 271
    assert "270 of 270 examples have targets: loss" in told.err
    assert run(["predict", str(digits), "--probabilities", "--quiet"]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[0] == "row,0,1,2,3,4,5,6,7,8,9" and not told.err


def test_a_file_takes_the_table_and_json_says_where_it_is(digits: Path, tmp_path: Path, capsys):
    path = tmp_path / "found" / "predictions.csv"
    assert run(["predict", str(digits), "-o", str(path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["output"] == str(path) and "predictions" not in document
    assert len(path.read_text().splitlines()) == 271
    assert run(["predict", str(digits), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    first = document["predictions"][0]
    assert first["row"] == 0 and first["prediction"] in document["classes"]
    assert sum(first["probabilities"]) == pytest.approx(1)


def test_an_export_goes_into_the_run_directory_by_default(digits: Path, capsys):
    assert run(["export", str(digits)]) == 0
    assert capsys.readouterr().out.strip() == str(digits / "model.pt")
    assert run(["predict", str(digits / "model.pt")]) == 2
    assert "no test split; give DATA" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["predict", "{run}", "nothing.csv"], "must be an npz, or arrays"),
        (["predict", "{run}", "data.csv"], "must be an npz, or arrays"),
        (["predict", "data.csv"], "give it before DATA"),
        (["predict", "{run}", "data.csv", "-o", "data.csv"], "is DATA; name another file"),
        (["predict", "{run}", "data.csv", "--id", "a"], "is a column of a csv"),
        (["predict", "{run}", "--trial", "final-00000000"], "is not there"),
        (["predict", "{run}", "--model", "nowhere:net"], "cannot be imported"),
        (["predict", "nowhere"], "no such run directory"),
        (["export", "{run}", "-o", "model.h5"], "must be torch, torchscript, onnx"),
    ],
    ids=lambda it: it if isinstance(it, str) else " ".join(it),
)
def test_bad_input_is_one_line(
    words: list[str], rule: str, digits: Path, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    assert run([word.format(run=digits) for word in words]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ") and len(told.err.splitlines()) == 1
    assert rule in told.err and not told.out
