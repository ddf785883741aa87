"""What stages can be asked for beyond their defaults: snapshots, baselines, metrics, memory."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from statistics import mean

import pytest

from hptune.cli import run
from hptune.procedure.session import fit

SHORT = ["--set", "training.epochs=4", "--device", "cpu", "--quiet"]
LR = ["--set", "hyper_parameters.lr=0.1"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_lr_find_shows_its_interval(tmp_path: Path, capsys):
    assert run(["lr-find", "--out", str(tmp_path), *SHORT, "--json"]) == 0
    reason = json.loads(capsys.readouterr().out)["decisions"][0]["reason"]
    assert "plausible" in reason


def test_weight_decay_from_a_snapshot(tmp_path: Path):
    command = ["sweep", "wd", "--from-snapshot", "--out", str(tmp_path), *SHORT, *LR]
    assert run(command) == 0
    before = (tmp_path / "results.csv").read_bytes()
    trials = [r for r in rows(tmp_path / "results.csv") if r["stage"] == "weight-decay"]
    first = rows(tmp_path / "curves" / f"{trials[0]['trial']}.csv")
    last = rows(tmp_path / "curves" / f"{trials[-1]['trial']}.csv")
    at = int(next((tmp_path / "snapshots").iterdir()).stem.split("@")[1])
    assert [r["train_loss"] for r in first[:at]] == [r["train_loss"] for r in last[:at]]
    assert run(command) == 0
    assert (tmp_path / "results.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep", "momentum", "--from-snapshot"], "only weight decays"),
        (["sweep", "wd", "--from-snapshot", "--seeds", "2"], "share its seed"),
        (["train", "--baseline", "stop"], "'stop' is not one of 'step'"),
        (["lr-find", "--set", "procedure.rank_by=f2"], "must be loss or a metric of the task"),
    ],
)
def test_what_does_not_go_together_is_told_in_a_line(words, message, tmp_path: Path, capsys):
    assert run([*words, "--out", str(tmp_path), *SHORT, *LR]) == 2
    assert message in capsys.readouterr().err


def test_a_baseline_is_trained_at_its_own_length_and_compared(tmp_path: Path):
    command = ["train", "--baseline", "step", "--seeds", "2", "--out", str(tmp_path), *SHORT, *LR]
    assert run(command) == 0
    trials = rows(tmp_path / "results.csv")
    assert [float(r["epochs"]) for r in trials] == [4, 4, 16, 16]
    assert [(r["policy"], float(r["lr"]), r["momentum_min"]) for r in trials[2:]] == [
        ("step", 0.01, "")
    ] * 2
    decision = rows(tmp_path / "decisions.csv")[-1]
    assert decision["parameter"] == "baseline_test_accuracy"
    assert "super-convergence ratio" in decision["reason"]
    errors = [float(r["test_accuracy"]) for r in trials[2:]]
    assert float(decision["value"]) == pytest.approx(sum(errors) / 2)


def test_candidates_can_be_judged_by_a_metric(tmp_path: Path, capsys):
    by = ["--set", "procedure.rank_by=accuracy", "--json"]
    assert run(["sweep", "wd", "--out", str(tmp_path), *SHORT, *LR, *by]) == 0
    document = json.loads(capsys.readouterr().out)
    decision = document["decisions"][0]
    assert decision["rule"].startswith("highest validation accuracy")
    trials = [t for t in document["trials"] if t["stage"] == "weight-decay"]
    of_each = {
        decay: [t["val_accuracy"] for t in trials if t["weight_decay"] == decay]
        for decay in {t["weight_decay"] for t in trials}
    }
    best = max(map(mean, of_each.values()))
    assert f"{best:.4g}" in decision["reason"]


GREEDY = """
import torch
from torch import nn

class Greedy(nn.Module):
    '''Takes 128 MiB for every example of a batch of more than 16, and never touches it.'''
    def __init__(self, inputs=64, outputs=10):
        super().__init__()
        self.net = nn.Linear(inputs, outputs)
    def forward(self, x):
        if self.training and len(x) > 16:
            taken = torch.empty(len(x), 2**25)
        return self.net(x.flatten(1))
"""


def test_a_batch_size_that_does_not_fit_is_left_out_by_trial(tmp_path: Path, monkeypatch, capsys):
    (tmp_path / "greedy.py").write_text(GREEDY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(fit, "available_memory", lambda device: 4 * 2**30)
    monkeypatch.setattr(fit, "SURE", 0.0)
    model = ["--set", "model.name=greedy:Greedy", "--set", "hyper_parameters.batch_size=8"]
    command = ["sweep", "batch-size", "--values", "4,8,16,96", "--out", "out", *model]
    short = ["--set", "procedure.trial_epochs=0.08", "--set", "training.epochs=1", *LR]
    assert run([*command, *short, "--device", "cpu"]) == 0
    assert "batch sizes from 96 on: left out" in capsys.readouterr().err
    timings = json.loads((tmp_path / "out" / "timings.json").read_text())
    fits = {int(k.split("/")[-1]): v for k, v in timings.items() if k.startswith("fits/")}
    assert fits == {16: True, 96: False}


def test_what_is_far_below_the_limit_is_not_tried(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(fit, "_fits", lambda *args: pytest.fail("a fresh process was started"))
    assert run(["sweep", "batch-size", "--out", str(tmp_path), *SHORT, *LR]) == 0


def test_the_budget_is_shared_out_by_the_plan(tmp_path: Path, capsys):
    def searched(budget: str) -> float:
        words = ["run", "--budget", budget, "--dry-run", "--json", "--out", str(tmp_path)]
        assert run([*words, "--jobs", "1", *SHORT[:4]]) == 0
        plan = json.loads(capsys.readouterr().out)["plan"]
        return sum(stage["epochs"] for stage in plan if stage["stage"] != "final")

    assert searched("3") < searched("9") <= 9 * 4


def test_a_time_chooses_lengths_that_the_plan_shows(tmp_path: Path, capsys):
    words = ["run", "--time", "1h", "--dry-run", "--out", str(tmp_path)]
    assert run([*words, "--jobs", "1", *SHORT[:4]]) == 0
    shown = capsys.readouterr()
    assert "4 epochs, search 12 times, 4 seeds take about" in shown.err
    assert "final" in shown.out


@pytest.mark.parametrize(
    ("written", "line"),
    [
        ("30", "--time: 30; must be a time with its unit, s, m or h; write 30m"),
        ("0.1s", "--time: 0.1 s; must be about"),
    ],
)
def test_a_time_that_is_none_or_too_short_is_one_line(written, line, tmp_path: Path, capsys):
    assert run(["run", "--time", written, "--out", str(tmp_path), "--jobs", "1", *SHORT]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and line in errors[0]
