"""What moves the LR is swept with an LR for each value; what does not is swept at one."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_stages import result

from hptune.cli import run
from hptune.procedure.compare import MOST_SEEDS
from hptune.procedure.sweep_lr import (
    AtItsLr,
    compared_at_their_lrs,
    decide_value,
    in_equal_time,
    moves_lr,
    relative_speeds,
)

SMALL = ["--set", "data.subset=400", "--set", "training.epochs=6", "--jobs", "1", "--device", "cpu"]
BROKEN = """
import torch

class Broken(torch.optim.SGD):
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.fill_(float("nan"))
"""


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def sweep(key: str, values: str, out: Path, *more: str) -> dict[str, Any]:
    """Sweep, and return the comparison of the key's values."""
    command = ["sweep", key, "--values", values, "--out", str(out), *SMALL, *more]
    assert run([*command, "--quiet"]) == 0
    compared = json.loads((out / "comparisons.json").read_text())
    return next(one for one in compared if one.get("parameter") == key)


@pytest.mark.parametrize(
    ("key", "moves"),
    [
        ("optimizer.name", True),
        ("optimizer.args.eps", True),
        ("model.args.hidden", True),
        ("model.name", True),
        ("data.normalize", True),
        ("data.scale", True),
        ("policy.name", True),
        ("training.average", True),
        ("training.sam", True),
        ("model.dropout", False),
        ("model.args.dropout", False),
        ("model.args.drop_rate", False),
        ("training.label_smoothing", False),
        ("data.flip", False),
        ("data.cutout", False),
        ("optimizer.decay_biases_and_norms", False),
    ],
)
def test_which_keys_move_the_lr(key: str, moves: bool):
    assert moves_lr(key) is moves


def test_optimizers_are_compared_each_at_its_own_lr(tmp_path: Path, capsys):
    compared = sweep("optimizer.name", "sgd,adamw", tmp_path)
    lrs = {one["label"]: one["values"]["lr"] for one in compared["candidates"]}
    assert lrs["adamw"] < lrs["sgd"] / 3
    assert all(len(one["trials"]) >= 2 for one in compared["candidates"])
    trials = rows(tmp_path / "results.csv")
    tested = [row["optimizer.name"] for row in trials if row["stage"] == "lr-range"]
    assert set(tested) == {"sgd", "adamw"}
    for name in ("sgd", "adamw"):  # the LR has worse neighbours on both sides
        own = {float(r["lr"]) for r in trials if (r["stage"], r["optimizer"]) == ("sweep", name)}
        assert min(own) < lrs[name] < max(own)
    decided = {row["parameter"]: row for row in rows(tmp_path / "decisions.csv")}
    assert set(decided) == {"optimizer.name", "lr", "lr_min"}
    chosen = decided["optimizer.name"]["value"]
    assert float(decided["lr"]["value"]) == lrs[chosen]
    assert "each at its own LR" in decided["optimizer.name"]["reason"]
    assert "time" in decided["optimizer.name"]["reason"]
    assert run(["train", "--out", str(tmp_path), *SMALL, "--quiet"]) == 0
    (final,) = (r for r in rows(tmp_path / "results.csv") if r["stage"] == "train")
    assert (final["optimizer"], float(final["lr"])) == (chosen, lrs[chosen])
    capsys.readouterr()
    assert run(["show", str(tmp_path)]) == 0
    assert "missing" not in capsys.readouterr().out


def test_a_scale_of_the_steps_is_bracketed_around_the_decided_lr(tmp_path: Path):
    settings = ["--set", "hyper_parameters.lr=0.1", "--set", "optimizer.args.nesterov=false"]
    compared = sweep("optimizer.args.dampening", "0,0.95", tmp_path, *settings)
    lrs = {one["label"]: one["values"]["lr"] for one in compared["candidates"]}
    assert lrs["0.95"] > 3 * lrs["0"]
    assert not [r for r in rows(tmp_path / "results.csv") if r["stage"] == "lr-range"]


def test_what_does_not_move_the_lr_is_swept_at_one(tmp_path: Path):
    lr = ["--set", "hyper_parameters.lr=0.1"]
    compared = sweep("training.label_smoothing", "0,0.1", tmp_path, *lr)
    assert {row["lr"] for row in rows(tmp_path / "results.csv")} == {"0.1"}
    assert len(compared["candidates"]) == 2


def test_a_value_with_which_every_lr_breaks_comes_last(tmp_path: Path, monkeypatch):
    (tmp_path / "opt_broken.py").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    compared = sweep("optimizer.name", "opt_broken:Broken,sgd", tmp_path / "out")
    ends = {one["label"]: one["status"] for one in compared["candidates"]}
    assert ends == {"opt_broken:Broken": "diverged", "sgd": "complete"}
    assert compared["chosen"] == "sgd"


class Law:
    """Stands in for a Runner: a trial ends as a law says of its iterations and its seed."""

    pauses = True

    def __init__(self, loss: Any, speed: float) -> None:
        self.loss, self.speed, self.ran = loss, speed, list[Any]()

    def run(self, trials):
        self.ran += trials
        return [replace(result(self.loss(t), seed=t.seed), trial=t) for t in trials]

    def affords(self, trials):
        return True

    def examples_per_second(self, trial):
        return self.speed


def at_its_lr(loss: Any, speed: float = 1.0) -> AtItsLr:
    context: Any = SimpleNamespace(runner=Law(loss, speed))
    return AtItsLr(context, result(0.5).trial, [], [], {})


def test_the_slower_value_has_fewer_iterations_in_the_same_time():
    found = {
        "quick": at_its_lr(lambda t: 0.5, 100),
        "as quick": at_its_lr(lambda t: 0.6, 95),
        "slow": at_its_lr(lambda t: 0.3 if t.iterations == 40 else 0.7, 50),
    }
    candidates, speeds = compared_at_their_lrs(found, 2), relative_speeds(found)
    shorter = in_equal_time(found, candidates, speeds)
    assert {label: [r.trial.iterations for r in rs] for label, rs in shorter.items()} == {
        "slow": [20, 20]
    }
    decision = decide_value("model.name", list(found), candidates, shorter, speeds)
    assert decision.value == "slow"  # by iterations
    assert "in equal time (speed quick 1, as quick 0.95, slow 0.5) quick is best" in decision.reason


def test_of_those_that_tie_the_best_in_equal_time_is_taken():
    noise = (0.02, -0.02, 0.015, -0.015, 0.02, -0.02, 0.01)
    found = {
        "slow": at_its_lr(lambda t: 0.5 if t.iterations == 40 else 0.7, 50),
        "quick": at_its_lr(lambda t: 0.502 + noise[t.seed], 100),
    }
    candidates, speeds = compared_at_their_lrs(found, 2), relative_speeds(found)
    shorter = in_equal_time(found, candidates, speeds)
    decision = decide_value("model.name", list(found), candidates, shorter, speeds)
    assert decision.value == "quick"
    assert "slow was best" in decision.reason and "tied, so quick" in decision.reason


def test_values_that_tie_are_repeated_until_one_wins():
    noise = (0.02, -0.02, 0.015, -0.015, 0.02, -0.02, 0.01)
    found = {
        "a": at_its_lr(lambda t: 0.5),
        "b": at_its_lr(lambda t: 0.5 + noise[t.seed]),
        "worse": at_its_lr(lambda t: 1.5),
    }
    candidates = compared_at_their_lrs(found, 2)
    assert {k: len(rs) for k, rs in candidates.items()} == {
        "a": MOST_SEEDS,
        "b": MOST_SEEDS,
        "worse": 2,
    }
