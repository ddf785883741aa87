"""What a user lists is checked before anything runs, by the rules of the config's own keys."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import hptune
from hptune.cli import run
from hptune.config.load import load_experiment
from hptune.errors import InputError

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


NET = """
from torch import nn

def small(outputs, act="relu", free=0):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    (folder / "net_of_words.py").write_text(NET)
    return folder


def swept(key: str, values: str, out: Path) -> tuple[set[str], object]:
    """Return the values of a sweep as the table has them, and the one decided as the config has it."""
    model = ["--set", "model.name=net_of_words:small", "--set", "hyper_parameters.lr=0.1"]
    words = ["sweep", key, "--values", values, *model, "--out", str(out), "--quiet", *SMALL]
    assert run([*words, "--set", "procedure.budget=0.5", "--executor", "inline"]) == 0
    with (out / "results.csv").open() as file:
        rows = {row[key] for row in csv.DictReader(file)}
    found: object = load_experiment(out / "tuned.yaml").model_dump()
    for name in key.split("."):
        assert isinstance(found, dict)
        found = found[name]
    assert run(["show", str(out)]) == 0
    return rows, found


@pytest.mark.parametrize(
    ("key", "values", "rows", "decided"),
    [
        ("model.args.act", "relu,off,no", {"relu", "off", "no"}, {"relu", "off", "no"}),
        ("model.args.act", "on,off", {"on", "off"}, {"on", "off"}),  # its default is text
        ("model.args.free", 'no,"a,b"', {"no", "a,b"}, {"no", "a,b"}),  # another value is
        ("model.args.free", "on,off", {"true", "false"}, {True, False}),
        ("model.args.free", "null,1", {"", "1"}, {None, 1}),
        ("training.clip_norm", "null,1", {"", "1"}, {None, 1}),
    ],
)
def test_words_of_yaml_are_what_the_key_takes(
    key: str,
    values: str,
    rows: set[str],
    decided: set[object],
    tmp_path: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(folder)
    found, best = swept(key, values, tmp_path)
    assert found == rows
    assert best in decided and type(best) in map(type, decided)


def test_nested_lists_are_values(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    rows, best = swept("model.args.free", "[16],[16,16],[[1,2],[3]]", tmp_path)
    assert rows == {"[16]", "[16, 16]", "[[1, 2], [3]]"}
    assert best in ([16], [16, 16], [[1, 2], [3]])


@pytest.mark.parametrize(
    ("values", "told"),
    [("{a: 1},{a: 2}", "must be values with commas"), ("[16],[16", "must be valid YAML"),
     ("1,,2", "must be valid YAML")],
)  # fmt: skip
def test_what_is_no_list_is_told(values: str, told: str, tmp_path: Path, capsys):
    words = ["sweep", "model.args.hidden", "--values", values, "--out", str(tmp_path), *SMALL]
    assert run(words) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("error: ") == 1


def test_a_word_that_yaml_took_for_a_truth_value_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.chdir(folder)
    words = ["check", "--set", "model.name=net_of_words:small", "--set", "model.args.act=off"]
    assert run(words) == 2
    assert "model.args.act: false; net_of_words:small takes text" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["off", (8, 8)], {"off", "[8, 8]"}),
        (np.array([1, 2]), {"1", "2"}),
        ([None, True], {"", "true"}),
    ],
    ids=str,
)
def test_values_of_python_are_what_they_are(values: object, labels: set[str], tmp_path: Path):
    seen = []

    def make(free: object = 0) -> nn.Module:
        seen.append(free)
        return nn.Linear(4, 2)

    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    task = hptune.Task(make, train=(x, (x[:, 0] > 0).long()))
    settings = {"procedure.budget": 0.5}
    found = hptune.sweep(
        task, "model.args.free", values, lr=0.1, epochs=1, out=tmp_path, settings=settings
    )
    plain = [list(v) if isinstance(v, tuple) else v for v in values]
    assert found.value in plain and all(value in seen for value in plain)
    with (tmp_path / "results.csv").open() as file:
        assert {row["model.args.free"] for row in csv.DictReader(file)} == labels


def test_text_is_no_list_of_values():
    x = torch.randn(60, 4)
    task = hptune.Task(lambda free=0: nn.Linear(4, 2), train=(x, (x[:, 0] > 0).long()))
    with pytest.raises(InputError, match=r"values: 'on,off'; must be a list"):
        hptune.sweep(task, "model.args.free", "on,off", lr=0.1)


def test_a_value_of_many_digits_is_swept_as_it_is(tmp_path: Path, capsys):
    words = ["sweep", "wd", "--values", "0.0031622776601683794,3.1622776601683795e-05"]
    settings = ["--set", "hyper_parameters.lr=0.1", "--set", "training.epochs=2", "--device", "cpu"]
    assert run([*words, *settings, "--out", str(tmp_path), "--json"]) == 0
    decided = json.loads(capsys.readouterr().out)["decisions"]
    assert decided[0]["value"] in (0.0031622776601683794, 3.1622776601683795e-05)
