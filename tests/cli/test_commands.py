"""The commands end to end: by hand and in one go, JSON, streams, resuming."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest

from hptune.cli import COMMANDS, group, run

QUICK = [
    *("--set", "training.epochs=6", "--set", "procedure.final.seeds=2"),
    *("--set", "procedure.budget=40", "--device", "cpu"),
]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory of the whole procedure on digits."""
    out = tmp_path_factory.mktemp("whole") / "digits"
    assert run(["run", "--out", str(out), *QUICK, "--quiet"]) == 0
    return out


def test_run_leaves_the_contracts_files(whole: Path):
    names = {path.name for path in whole.iterdir()}
    assert names >= {
        "experiment.yaml", "manifest.json", "results.csv", "curves", "decisions.csv", "tuned.yaml",
        "timings.json", "checkpoints",
    }  # fmt: skip
    stages = [row["stage"] for row in rows(whole / "results.csv")]
    assert set(stages) == {"lr-range", "momentum", "weight-decay", "batch-size", "refine", "final"}
    for row in rows(whole / "results.csv"):
        curve = rows(whole / "curves" / f"{row['trial']}.csv")
        assert len(curve) == int(row["iterations"])


def test_every_decision_has_its_rule_reason_and_trials(whole: Path):
    trials = {row["trial"] for row in rows(whole / "results.csv")}
    decisions = rows(whole / "decisions.csv")
    assert {"lr", "lr_min", "momentum", "momentum_min", "weight_decay", "batch_size"} <= {
        d["parameter"] for d in decisions
    }
    for d in decisions:
        assert d["value"] and d["rule"] and d["reason"]
        assert set(d["trials"].split()) <= trials
        assert d["trials"] or d["rule"].startswith("kept")


def test_the_search_keeps_to_its_budget_and_accounts_for_it(whole: Path, tmp_path: Path):
    tight = ["--set", "procedure.budget=3", "--out", str(tmp_path), "--quiet", *QUICK[:4]]
    assert run(["run", "--device", "cpu", *tight]) == 0
    for folder, budget in ((whole, 40), (tmp_path, 3)):
        # A rival of the final run belongs to the search; what counts has read the test set.
        search = [r for r in rows(folder / "results.csv") if not r["test_accuracy"]]
        epochs = sum(float(row["epochs"]) for row in search)
        assert epochs <= budget * 6
        final = rows(folder / "decisions.csv")[-1]["reason"]
        assert f"the search cost {epochs:.3g} epochs, {epochs / 6:.2f} times" in final
    kept = [d for d in rows(tmp_path / "decisions.csv") if d["stage"] == "momentum"]
    assert kept[0]["value"] == "0.95" and "raise procedure.budget" in kept[0]["reason"]


def test_the_test_set_is_read_by_the_final_runs_that_count_alone(whole: Path):
    tested = [row for row in rows(whole / "results.csv") if row["test_accuracy"]]
    assert [(row["stage"], row["seed"]) for row in tested] == [("final", "0"), ("final", "1")]
    assert len({row["lr"] for row in tested}) == 1


def test_trials_of_a_stage_are_paired(whole: Path):
    by_seed: dict[str, set[str]] = {}
    for row in rows(whole / "results.csv"):
        if row["stage"] == "momentum":
            first = rows(whole / "curves" / f"{row['trial']}.csv")[0]["train_loss"]
            by_seed.setdefault(row["seed"], set()).add(first)
    # Fused kernels give the first loss before any step: the same weights, the same batch.
    assert by_seed and all(len(losses) == 1 for losses in by_seed.values())


def test_run_again_reuses_everything_and_changes_nothing(whole: Path, capsys):
    before = {p: p.read_bytes() for p in whole.rglob("*.csv")}
    assert run(["run", "--out", str(whole), *QUICK]) == 0
    assert {p: p.read_bytes() for p in whole.rglob("*.csv")} == before
    assert "from the run directory" in capsys.readouterr().err


def test_tuned_yaml_trains_as_it_is(whole: Path, tmp_path: Path):
    out = ["--out", str(tmp_path / "again"), "--quiet"]
    assert run(["train", str(whole / "tuned.yaml"), *out]) == 0
    final = next(r for r in rows(whole / "results.csv") if r["test_accuracy"])
    again = rows(tmp_path / "again" / "results.csv")[0]
    for name in ("lr", "momentum", "weight_decay", "batch_size", "iterations", "test_accuracy"):
        assert again[name] == final[name]


def test_experiment_yaml_runs_again_to_the_same_curves(whole: Path, tmp_path: Path):
    out = tmp_path / "again"
    out.mkdir()
    (out / "timings.json").write_bytes((whole / "timings.json").read_bytes())
    command = [
        "run",
        str(whole / "experiment.yaml"),
        "--out",
        str(out),
        "--quiet",
        "--device",
        "cpu",
    ]
    assert run(command) == 0
    for path in sorted((whole / "curves").iterdir()):
        first, second = rows(path), rows(out / "curves" / path.name)
        for a, b in zip(first, second, strict=True):
            assert {k: v for k, v in a.items() if k != "seconds"} == {
                k: v for k, v in b.items() if k != "seconds"
            }


def test_the_four_commands_by_hand_share_a_directory(tmp_path: Path, capsys):
    out = ["--out", str(tmp_path), *QUICK]
    assert run(["lr-find", *out]) == 0
    assert run(["sweep", "momentum", *out]) == 0
    assert "(decided by lr-range)" in capsys.readouterr().err
    assert run(["sweep", "wd", *out, "--values", "1e-2,1e-4"]) == 0
    assert "(decided by momentum)" in capsys.readouterr().err
    assert run(["train", "--policy", "1cycle", *out]) == 0
    assert "(decided by weight-decay)" in capsys.readouterr().err
    decided = {d["parameter"]: d["value"] for d in rows(tmp_path / "decisions.csv")}
    trained = rows(tmp_path / "results.csv")[-1]
    assert trained["stage"] == "train" and trained["test_accuracy"]
    for name in ("lr", "momentum", "weight_decay"):
        assert float(trained[name]) == float(decided[name])


def test_a_flag_beats_a_decision_and_a_decision_beats_the_file(tmp_path: Path):
    out = ["--out", str(tmp_path), "--quiet", *QUICK, "--set", "hyper_parameters.weight_decay=0.5"]
    assert (
        run(["sweep", "wd", *out, "--values", "1e-3,1e-4", "--set", "hyper_parameters.lr=0.1"]) == 0
    )
    decided = {d["parameter"]: d["value"] for d in rows(tmp_path / "decisions.csv")}
    assert run(["train", *out, "--lr", "0.02"]) == 0
    trained = rows(tmp_path / "results.csv")[-1]
    assert float(trained["lr"]) == 0.02
    assert float(trained["weight_decay"]) == float(decided["weight_decay"]) != 0.5


def test_a_sweep_of_any_key_is_used_by_train(tmp_path: Path):
    out = ["--out", str(tmp_path), "--quiet", *QUICK, "--set", "hyper_parameters.lr=0.1"]
    assert run(["sweep", "dropout", "--values", "0,0.9", *out]) == 0
    header = (tmp_path / "results.csv").read_text().splitlines()[0].split(",")
    assert "dropout" in header
    assert [row["dropout"] for row in rows(tmp_path / "results.csv")] == ["0", "0.9"]
    assert run(["train", *out]) == 0
    assert "dropout: 0" in (tmp_path / "tuned.yaml").read_text()


@pytest.mark.parametrize("policy", ["constant", "step", "inv", "cosine", "clr", "1cycle-cosine"])
def test_train_with_other_policies(policy: str, tmp_path: Path):
    out = ["--out", str(tmp_path), "--quiet", "--epochs", "2", "--lr", "0.02"]
    assert run(["train", "--policy", policy, *out]) == 0
    assert rows(tmp_path / "results.csv")[0]["policy"] == policy


def test_a_policy_that_does_not_cycle_keeps_its_own_minimum(tmp_path: Path):
    out = ["--out", str(tmp_path), "--quiet", "--epochs", "2", "--lr", "0.02"]
    assert run(["train", "--policy", "cosine", *out]) == 0
    trained = rows(tmp_path / "results.csv")[0]
    curve = rows(tmp_path / "curves" / f"{trained['trial']}.csv")
    assert trained["lr_min"] == "" and float(curve[-1]["lr"]) < 0.001


def test_adamw_goes_through_the_procedure(tmp_path: Path):
    out = ["--out", str(tmp_path), "--quiet", *QUICK, "--set", "optimizer.name=adamw"]
    assert run(["run", *out]) == 0
    lr = next(d for d in rows(tmp_path / "decisions.csv") if d["parameter"] == "lr")
    assert 1e-5 < float(lr["value"]) < 1
    final = [r for r in rows(tmp_path / "results.csv") if r["test_accuracy"]]
    assert np.mean([float(r["test_accuracy"]) for r in final]) > 0.9


def test_csv_regression_goes_through_the_procedure(tmp_path: Path):
    from sklearn.datasets import load_diabetes

    frame = load_diabetes(as_frame=True).frame
    frame.to_csv(tmp_path / "diabetes.csv", index=False)
    data = ["--set", "data.name=csv", "--set", f"data.path={tmp_path / 'diabetes.csv'}"]
    data += ["--set", "data.target=target", "--set", "model.args.hidden=[16]"]
    out = ["--out", str(tmp_path / "run"), "--quiet", *QUICK, *data]
    assert run(["run", *out]) == 0
    header = (tmp_path / "run" / "results.csv").read_text().splitlines()[0]
    assert "val_r2_score,best_val_loss,best_val_r2_score,test_loss,test_r2_score" in header


# Output


def test_json_is_one_document_on_stdout_and_nothing_else(whole: Path, capsys):
    out = ["--out", str(whole), *QUICK, "--json"]
    for command in (["lr-find"], ["run"], ["train", "--lr", "0.1"]):
        assert run([*command, *out]) == 0
        shown = capsys.readouterr()
        document = json.loads(shown.out)
        assert set(document) == {"run_dir", "decisions", "trials"} and shown.err == ""
        assert all(isinstance(t["lr"], float) for t in document["trials"])
    assert run(["check", *out]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 85002
    assert run(["show", str(whole), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"run_dir", "decisions", "trials"}


def test_show_lists_decisions_and_trials(whole: Path, capsys):
    assert run(["show", str(whole)]) == 0
    shown = capsys.readouterr().out
    assert "weight decay" in shown and "final-" in shown
    assert run(["show", "--out", str(whole)]) == 0
    assert capsys.readouterr().out == shown


def test_check_and_dry_run_show_the_plan(tmp_path: Path, capsys):
    assert run(["check", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "parameters" in shown and "momentum" in shown and "total" in shown
    assert run(["run", "--dry-run", "--json", "--out", str(tmp_path)]) == 0
    plan = json.loads(capsys.readouterr().out)
    # At the default budget, the stages in between could not tell their candidates apart.
    trains = {
        stage["stage"]: stage["trials"] > 0 and stage["seconds"] > 0 for stage in plan["plan"]
    }
    assert [name for name, does in trains.items() if does] == ["lr-range", "final"]
    assert len(trains) == 6
    parts = [plan["start_seconds"], plan["report_seconds"], *(s["seconds"] for s in plan["plan"])]
    assert plan["seconds"] == pytest.approx(sum(parts))
    assert not rows(tmp_path / "results.csv") if (tmp_path / "results.csv").exists() else True


def test_policies_are_listed_and_printed(capsys):
    assert run(["policies"]) == 0
    listing = capsys.readouterr().out
    assert "1cycle-three-phase" in listing and "stepsize" in listing
    series = (
        "policies 1cycle --iterations 12 --lr 10 --lr-min 1 --momentum 0.95 --momentum-min 0.85"
    )
    assert run([*series.split(), "--set", "stepsize=4", "--csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "iteration,lr,momentum" and len(lines) == 13
    assert lines[5].startswith("4,10.0,0.85")


@pytest.mark.parametrize(("name", "what"), COMMANDS.items())
def test_the_list_of_commands_says_what_their_help_says(name: str, what: str):
    command = group.get_command(click.Context(group), name)
    assert command is not None
    assert command.get_short_help_str(limit=80) == what


@pytest.mark.parametrize("command", [[], *[[name] for name in COMMANDS]])
def test_help_of_every_command(command: list[str], capsys):
    assert run([*command, "--help"]) == 0
    assert "Usage: hptune" in capsys.readouterr().out


def test_the_config_of_the_folder_is_taken_and_named(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("hptune.yaml").write_text(
        "name: mine\ntraining: {epochs: 1}\nhyper_parameters: {lr: 0.1}\n"
    )
    assert run(["train"]) == 0
    assert "mine: hptune.yaml, results in runs/mine" in capsys.readouterr().err
    assert (tmp_path / "runs" / "mine" / "results.csv").exists()


# Faults


def test_ctrl_c_ends_with_130_and_the_run_goes_on_afterwards(tmp_path: Path):
    # A test runner in the background hands an ignored SIGINT down; a terminal does not.
    as_in_a_terminal = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from hptune.cli import main; main()"
    )
    command = [sys.executable, "-c", as_in_a_terminal, "run", "--out", str(tmp_path)]
    environment = os.environ | {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
    )
    while not (tmp_path / "results.csv").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from there" in shown and "Traceback" not in shown
    done = len(rows(tmp_path / "results.csv"))
    assert done >= 1
    assert run(["run", "--out", str(tmp_path), "--device", "cpu", "--stages", "lr-range"]) == 0
    assert len(rows(tmp_path / "results.csv")) >= done


def test_a_model_that_fails_in_one_trial_is_a_row(tmp_path: Path, monkeypatch):
    (tmp_path / "moody.py").write_text(
        "from torch import nn\n"
        "class Moody(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__(); self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)); self.n = 0\n"
        "    def forward(self, x):\n"
        "        self.n += 1\n"
        "        if self.n > 30 and self.net[1].weight.abs().max() > 0.9: raise RuntimeError('out of mood')\n"
        "        return self.net(x)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    out = [
        "--out",
        str(tmp_path / "r"),
        "--quiet",
        "--set",
        "model.name=moody:Moody",
        "--set",
        "training.epochs=6",
    ]
    assert (
        run(["sweep", "lr", "--values", "0.01,30", *out, "--set", "hyper_parameters.lr=0.1"]) == 0
    )
    status = {float(row["lr"]): row["status"] for row in rows(tmp_path / "r" / "results.csv")}
    assert status == {0.01: "complete", 30.0: "failed"}


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path, monkeypatch, capsys):
    import errno

    from hptune.results import atomic

    out = ["--out", str(tmp_path), "--quiet", "--epochs", "2", "--lr", "0.1"]
    assert run(["train", *out]) == 0
    before = (tmp_path / "results.csv").read_bytes()

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    assert run(["train", *out, "--momentum", "0.8"]) == 1
    assert "the disk is full" in capsys.readouterr().err
    assert (tmp_path / "results.csv").read_bytes() == before
