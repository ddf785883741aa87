"""tuned.yaml of a run in Python: the shell trains with it where a function's name leads to the task."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import hptune
from hptune.cli import run

PROBLEM = """
import torch
from torch import nn
import hptune

def make():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 4, generator=generator)
    def net(width=8):
        return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))
    return hptune.Task(net, train=(x, (x[:, 0] > {above}).long()))

def nothing():
    return None
"""
QUICK = {"epochs": 2, "progress": False, "batch_size": 8, "lr": 0.1}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder with a module of the user's, as the working folder."""
    (tmp_path / "problem_of_mine.py").write_text(PROBLEM.format(above=0))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("problem_of_mine", None)


def scores(out: Path) -> list[str]:
    with (out / "results.csv").open() as file:
        return [row["val_loss"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("by_name", [True, False], ids=["by its name", "by the function"])
def test_the_shell_trains_what_a_function_makes(folder: Path, by_name: bool, capsys):
    import problem_of_mine

    given = "problem_of_mine:make" if by_name else problem_of_mine.make
    found = hptune.train(given, out="runs/a", **QUICK, settings={"model.args.width": 4})
    text = Path("runs/a/tuned.yaml").read_text()
    assert text.startswith("# Made in Python by problem_of_mine:make: `hptune train tuned.yaml`")
    assert "next: hptune show --why runs/a" in str(
        run(["show", "runs/a"]) or capsys.readouterr().out
    )
    assert (
        run(["train", "runs/a/tuned.yaml", "--out", "runs/b", "--device", "cpu", "--lr", "0.1"])
        == 0
    )
    assert scores(folder / "runs" / "b") == scores(folder / "runs" / "a")
    assert found.out == Path("runs/a") and "other data" not in capsys.readouterr().err


def test_other_data_than_those_it_was_tuned_on_are_told(folder: Path, capsys):
    hptune.train("problem_of_mine:make", out="runs/a", **QUICK)
    (folder / "problem_of_mine.py").write_text(PROBLEM.format(above=0.5))
    sys.modules.pop("problem_of_mine")
    assert (
        run(["train", "runs/a/tuned.yaml", "--out", "runs/b", "--device", "cpu", "--lr", "0.1"])
        == 0
    )
    assert "warning: problem_of_mine:make gives other data than those" in capsys.readouterr().err


def test_a_task_that_no_name_leads_to_is_told_at_both_ends(folder: Path, capsys):
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    task = hptune.Task(lambda: nn.Linear(4, 2), train=(x, (x[:, 0] > 0).long()))
    for given in (task, lambda: task):
        hptune.train(given, out="runs/a", **QUICK)
        head = Path("runs/a/tuned.yaml").read_text().partition("name:")[0]
        assert "the shell cannot make" in head and all(s.startswith("#") for s in head.splitlines())
        assert run(["train", "runs/a/tuned.yaml", "--out", "runs/b"]) == 2
        told = capsys.readouterr().err.splitlines()[-1]
        assert told.startswith("error: data.name: 'python'") and "makes the Task" in told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("problem_of_mine:nothing", "returns a NoneType; must return an hptune.Task"),
        ("problem_of_mine:QUICK", "has no 'QUICK'"),
        ("problem_of_mine:hptune", "is a module; must be a function"),
        ("no.where:make", "module no.where cannot be imported"),
    ],
)
def test_a_wrong_function_is_one_line(folder: Path, name: str, told: str, capsys):
    Path("mine.yaml").write_text(f"task: {name}\n")
    assert run(["train", "mine.yaml", "--lr", "0.1"]) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]


def test_a_config_may_name_the_function_by_hand(folder: Path):
    Path("mine.yaml").write_text("name: mine\ntask: problem_of_mine:make\n")
    words = [
        "sweep",
        "model.args.width",
        "mine.yaml",
        "--values",
        "4,8",
        "--set",
        "training.epochs=2",
    ]
    assert run([*words, "--set", "hyper_parameters.lr=0.1", "--device", "cpu", "--quiet"]) == 0
