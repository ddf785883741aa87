"""The balance of regularisation: what is lowered, by how much, and what is decided."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from factories import mlp_task
from test_stages import result
from torch import nn

from hptune.cli import run
from hptune.procedure.balance import NOW, Effects
from hptune.results.records import Status, TrialResult
from hptune.training.model import dropout_rate

SMALL = [
    "--set",
    "data.subset=400",
    "--set",
    "training.epochs=12",
    "--jobs",
    "1",
    "--device",
    "cpu",
]

NOW_AT = [
    f"--set=hyper_parameters.{own}" for own in ("lr=0.05", "weight_decay=0.001", "batch_size=32")
]


def ended(gap: float, **changes: Status) -> TrialResult:
    return replace(result(0.5), train_loss=0.5 - gap, **changes)


def test_each_is_lowered_until_it_cancels_out_what_the_lr_adds():
    found = {
        NOW: [ended(0.30), ended(0.34)],
        "LR 0.2": [ended(0.24), ended(0.28)],  # 0.06 narrower
        "weight decay 1": [ended(0.32), ended(0.36)],  # 0.02 wider: three steps
        "dropout 1": [ended(0.31), ended(0.34)],  # 0.005 wider: twelve, at most four
        "crop 1": [ended(0.29), ended(0.33)],  # no wider: one
        "batch size 1": [ended(0.5), ended(0.5, status=Status.DIVERGED)],  # not known: one
        "flip 1": [ended(0.62), ended(0.66)],  # a fifth of a step, at least half of one
    }
    names = {"weight_decay", "dropout", "crop", "batch_size", "flip"}
    effects = Effects(found, "LR 0.2", {n: f"{n.replace('_', ' ')} 1" for n in names})
    assert effects.lr == pytest.approx(0.06)
    wanted = {"weight_decay": 3.0, "dropout": 4.0, "crop": 1.0, "batch_size": 1.0, "flip": 0.5}
    assert {name: effects.steps(name) for name in names} == pytest.approx(wanted)
    found["LR 0.2"][1] = ended(0.28, status=Status.DIVERGED)
    assert Effects(found, "LR 0.2", {}).lr is None


def test_only_dropout_that_can_be_set_is_lowered():
    class WordDropout(nn.Module):
        p = 0.3

    def rate(*layers: nn.Module) -> float | None:
        return dropout_rate(replace(mlp_task(), make_model=lambda: nn.Sequential(*layers)))

    assert rate(nn.Linear(2, 2), WordDropout()) is None
    assert rate(nn.Dropout(0.1), nn.AlphaDropout(0.2), WordDropout()) == 0.2


def test_a_larger_lr_that_does_not_regularise_leaves_a_step_each():
    found = {NOW: [ended(0.3)], "LR 0.2": [ended(0.4)], "dropout 0.1": [ended(0.5)]}
    assert Effects(found, "LR 0.2", {"dropout": "dropout 0.1"}).steps("dropout") == 1


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_sweep_of_the_balance(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    command = [
        "sweep", "balance", "--values", "0.2", "--seeds", "2", "--out", str(tmp_path), *SMALL, *NOW_AT,
        "--set", "model.dropout=0.2", "--set", "procedure.budget=3",
    ]  # fmt: skip
    assert run(command) == 0
    shown = capsys.readouterr()
    assert "left out, beyond the budget: batch size" in shown.err
    compared = json.loads((tmp_path / "comparisons.json").read_text())
    (own,) = [one for one in compared if one.get("parameter") == "balance"]
    labels = [one["label"] for one in own["candidates"]]
    assert labels[:5] == [NOW, "LR 0.2", "weight decay 0.00032", "dropout 0.1", "epochs 17"]
    assert len(labels) == 8 and all(label.startswith("LR 0.2, ") for label in labels[5:])
    assert all(one["seeds"] == [0, 1] for one in own["candidates"])
    trials = rows(tmp_path / "results.csv")
    at = {
        one["label"]: [t for t in trials if t["trial"] in one["trials"]]
        for one in own["candidates"]
    }
    assert {row["model.dropout"] for row in at["dropout 0.1"]} == {"0.1"}
    longer = int(at["epochs 17"][0]["iterations"]) / int(at[NOW][0]["iterations"])
    assert longer == pytest.approx(17 / 12, rel=0.02)
    assert {row["lr"] for row in at[NOW]} == {"0.05"} and {row["lr"] for row in at["LR 0.2"]} == {
        "0.2"
    }
    decided = rows(tmp_path / "decisions.csv")
    first = next(row for row in decided if row["parameter"] == "balance")
    assert "moves the gap of validation and training loss by" in first["reason"]
    assert "at LR 0.2 the best to lower is" in first["reason"]
    assert ("0.2" in [r["value"] for r in decided if r["parameter"] == "lr"]) == (
        first["value"].startswith("LR 0.2")
    )
    assert run(["report", str(tmp_path), "--quiet"]) == 0
    assert (tmp_path / "plots" / "sweep-balance.png").exists()
    # What is there already is taken, to the same decision.
    assert run([*command, "--quiet"]) == 0
    assert len(rows(tmp_path / "results.csv")) == len(trials)


def test_an_lr_that_is_not_raised_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for values in ("0.05", "0.2,0.3", "high"):
        words = ["sweep", "balance", "--values", values, "--out", str(tmp_path), *NOW_AT]
        assert run([*words, *SMALL, "--quiet"]) == 2
        (told,) = capsys.readouterr().err.strip().splitlines()
        assert told.startswith("error: --values: ") and "above the present one, 0.05" in told
