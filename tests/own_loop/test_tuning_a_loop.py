"""Loops of a user's own through the procedure: what is compared, what is said, what is run again."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from own_loops import BATCH_SIZE, PER_EPOCH, loader, net, read, train, tune
from torch import nn

import hptune
from hptune.cli import run as shell_run

ONCE = {"iterations_per_epoch": PER_EPOCH, "batch_size": BATCH_SIZE, "epochs": 3, "lr": 0.1}


def rows(out: Path) -> pd.DataFrame:
    """Return the trials of a run directory, without what differs from one time to the next."""
    table = pd.read_csv(out / "results.csv")
    times = ["seconds", "examples_per_second", "peak_memory_mb", "started"]
    return table.drop(columns=[name for name in times if name in table])


def plain(trial: hptune.Trial) -> None:
    """Constant batch size, Adam without schedule but its own cosine."""
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=trial.lr)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, trial.iterations)
    for _ in trial:
        x, y = torch.randn(16, 4), torch.arange(16) % 2
        loss = nn.functional.cross_entropy(model(x + y[:, None]), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        cosine.step()
        trial.log(train_loss=loss)
        if trial.evaluate_now:
            read(trial, model)


def test_a_loop_is_tuned_by_the_whole_procedure_and_its_outcome_can_be_used(tmp_path: Path):
    how = {"settings": {"procedure.budget": 60}, "out": tmp_path}
    how |= {"stages": ["lr-range", "momentum", "weight-decay", "batch-size"]}
    tuned = tune(train, **how)
    decided = {d.parameter for d in tuned.decisions}
    assert {"lr", "lr_min", "momentum", "weight_decay", "batch_size", "val_accuracy"} <= decided
    compared = {c.parameter for c in tuned.comparisons}
    assert {"lr", "momentum", "weight_decay", "batch_size"} <= compared
    assert tuned.metrics["val_accuracy"] > 0.85
    assert tuned.optimizer == "sgd"
    model = net(dropout=0.2)
    model.load_state_dict(tuned.saved()["model"])
    with pytest.raises(hptune.InputError, match=r"is your own; .* use saved"):
        tuned.state_dict()
    # Nothing is run twice, and nothing was lost.
    before = rows(tmp_path)
    again = tune(train, **how)
    pd.testing.assert_frame_equal(rows(tmp_path), before)
    assert again.lr == tuned.lr


def test_beaten_trials_of_a_loop_that_saves_are_stopped_at_a_rung(tmp_path: Path):
    hptune.sweep(
        train, "weight_decay", [1e-4, 1e-3, 3.0], out=tmp_path, progress=False,
        iterations_per_epoch=PER_EPOCH, batch_size=BATCH_SIZE, epochs=12, lr=0.1,
    )  # fmt: skip
    table = rows(tmp_path)
    stopped = table[table["status"] == "pruned"]
    assert len(stopped)
    curves = [len(pd.read_csv(tmp_path / "curves" / f"{name}.csv")) for name in stopped["trial"]]
    assert max(curves) < table["iterations"].max()


def test_where_whole_runs_diverge_at_both_lrs_of_the_duel_the_final_runs_go_lower(tmp_path: Path):
    def breaks(trial: hptune.Trial) -> None:
        bears = trial.lr < 0.03 or trial.iterations < 60
        for k, _ in enumerate(trial, 1):
            loss = 0.5 + abs(math.log10(trial.lr / 0.09)) + 2 * (1 - k / trial.iterations)
            trial.log(train_loss=loss if bears or k < 50 else math.nan)
            if trial.evaluate_now:
                trial.log(val_loss=loss)

    tuned = hptune.tune(
        breaks, iterations_per_epoch=20, epochs=5, seeds=2, out=tmp_path, progress=False
    )
    assert tuned.lr == pytest.approx(0.09 / 4)
    table = rows(tmp_path)
    broke = table[table["status"] == "diverged"]
    assert sorted(set(broke["lr"])) == pytest.approx([0.045, 0.09]) and set(broke["stage"]) == {
        "final"
    }


def test_what_a_loop_does_not_read_is_said_and_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    tuned = tune(plain, out=tmp_path, progress=True, settings={"procedure.budget": 12})
    told = capsys.readouterr().err
    assert "no LR range test, for the loop sets its LR itself" in told
    table = rows(tmp_path)
    assert "lr-range" not in set(table["policy"])
    assert set(table[["batch_size", "momentum", "weight_decay"]].nunique(dropna=False)) == {1}
    assert len(set(table["lr"])) > 2
    left_out = "momentum, weight-decay, batch-size"
    assert f"the training loop does not take their values: {left_out}" in told
    assert {"momentum", "weight-decay", "batch-size"}.isdisjoint({d.stage for d in tuned.decisions})


def test_an_argument_of_the_loop_is_swept(tmp_path: Path):
    swept = hptune.sweep(train, "loop.args.width", [1, 8], out=tmp_path, progress=False, **ONCE)
    assert swept.value in (1, 8)
    assert {c.label for c in swept.comparison.candidates} == {"1", "8"}
    widths = rows(tmp_path)["loop.args.width"]
    assert set(widths) == {1, 8}
    settings = {"loop.args.width": 3}
    seen: list[dict[str, Any]] = []

    def telling(trial: hptune.Trial) -> None:
        seen.append(trial.args)
        train(trial)

    hptune.train(telling, progress=False, settings=settings, **ONCE)
    assert seen and all(args == {"width": 3} for args in seen)


def test_processes_give_what_one_does(tmp_path: Path):
    for jobs in (1, 2):
        hptune.sweep(
            train, "weight_decay", [0.0, 0.1], jobs=jobs, out=tmp_path / str(jobs), progress=False, **ONCE
        )  # fmt: skip
    pd.testing.assert_frame_equal(rows(tmp_path / "1"), rows(tmp_path / "2"))
    assert "processes" in (tmp_path / "2" / "manifest.json").read_text()


def test_final_runs_take_the_seeds_and_are_the_same_in_any_order(tmp_path: Path):
    drawn = {}

    def telling(trial: hptune.Trial) -> None:
        drawn.setdefault(trial.seed, []).append(torch.rand(2).tolist())
        train(trial)

    torch.manual_seed(5)
    before = torch.get_rng_state()
    hptune.train(telling, seeds=2, progress=False, seed=3, **ONCE)
    assert torch.equal(torch.get_rng_state(), before)
    # The rehearsal has the first seed, too.
    assert sorted(drawn) == [3, 4] and all(len(set(map(tuple, d))) == 1 for d in drawn.values())
    assert drawn[3][0] != drawn[4][0]


def test_trials_are_run_again_where_the_code_or_its_data_have_changed(tmp_path: Path):
    data, calls = torch.arange(40.0), []

    def with_factor(factor: float) -> Any:
        def train(trial: hptune.Trial) -> None:
            calls.append(trial)
            weight = nn.Parameter(torch.ones(()))
            optimizer = torch.optim.SGD([weight], lr=trial.lr)
            trial.schedule(optimizer)
            for x in trial.batches(data.split(8)):
                loss = (weight * x).square().mean() * factor
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                if trial.evaluate_now:
                    trial.log(val_loss=weight.detach() ** 2)

        return train

    def runs(factor: float) -> int:
        calls.clear()
        hptune.train(with_factor(factor), out=tmp_path, **ONCE | {"lr": 1e-4})
        return len(calls)

    assert runs(1.0) == 2  # a rehearsal and the trial
    assert runs(1.0) == 0
    assert runs(2.0) == 2
    data[3] = 4.0
    assert runs(2.0) == 2
    assert runs(2.0) == 0
    assert len(rows(tmp_path)) == 3


SCRIPT = """
import torch, hptune

def train(trial):
    weight = torch.nn.Parameter(torch.ones(()))
    optimizer = torch.optim.SGD([weight], lr=trial.lr)
    schedule = trial.schedule(optimizer)
    for x in trial.batches(torch.arange(40.0).split(8)):
        (weight * x).square().mean().backward()
        optimizer.step(); optimizer.zero_grad(); schedule.step()
        if trial.evaluate_now:
            trial.log(val_loss=weight.detach() ** 2)

if __name__ == "__main__":
    hptune.train(train, iterations_per_epoch=5, lr=1e-4, epochs=2, out="run", progress=False)
    hptune.Trial.from_file("run/tuned.yaml")
"""


def test_the_shell_trains_and_tunes_a_function_of_a_script_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", sys.path.copy())
    Path("own_script.py").write_text(SCRIPT)
    subprocess.run([sys.executable, "own_script.py"], capture_output=True, check=True)
    written = yaml.safe_load(Path("run/tuned.yaml").read_text())
    assert written["function"] == "own_script:train"
    assert written["loop"]["iterations_per_epoch"] == 5 and written["loop"]["batch_size"] == 64

    def shell(*words: str) -> dict[str, Any]:
        assert shell_run([*words, "--json", "--jobs", "1"]) == 0
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    (row,) = shell("train", "run/tuned.yaml", "--out", "again")["trials"]
    (expected,) = rows(Path("run")).to_dict("records")
    assert row["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-9)
    assert row["iterations"] == 10
    Path("exp.yaml").write_text(
        "function: own_script:train\nloop: {iterations_per_epoch: 5}\ntraining: {epochs: 3}\n"
        "procedure: {final: {seeds: 1}, lr_range: {epochs: 4}}\n"
    )
    assert "lr" in {d["parameter"] for d in shell("run", "exp.yaml", "--out", "whole")["decisions"]}


def test_a_decided_batch_size_keeps_the_length_of_an_epoch(tmp_path: Path):
    swept = hptune.sweep(
        train, "batch_size", [8, 16], lr=0.05, epochs=4, out=tmp_path, progress=False,
        iterations_per_epoch=PER_EPOCH, batch_size=BATCH_SIZE,
    )  # fmt: skip
    written = yaml.safe_load((tmp_path / "tuned.yaml").read_text())
    assert written["hyper_parameters"]["batch_size"] == swept.value
    assert written["loop"] | {"args": {}} == written["loop"]
    assert (written["loop"]["iterations_per_epoch"], written["loop"]["batch_size"]) == (10, 16)
    trial = hptune.Trial.from_file(tmp_path / "tuned.yaml")
    assert trial.iterations_per_epoch == 160 // swept.value
    assert trial.iterations == 4 * trial.iterations_per_epoch
    assert loader(trial).batch_size == swept.value
