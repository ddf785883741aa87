"""Scripts that are not touched: swept by placeholders, read by what they print or write."""

from __future__ import annotations

import csv
import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hptune.cli import run
from hptune.own_loop.output import readings

LAW = [sys.executable, str(Path(__file__).with_name("law.py"))]
WHOLE = [*LAW, "--lr", "{lr}", "--wd", "{weight_decay}", "--epochs", "{epochs}", "--seed", "{seed}"]


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open() as file:
        return list(csv.DictReader(file))


def decided(out: Path) -> dict[str, str]:
    with (out / "decisions.csv").open() as file:
        return {row["parameter"]: row["value"] for row in csv.DictReader(file)}


def hptune(out: Path, *words: str) -> int:
    options = list(words)
    place = options.index("--") if "--" in options else len(options)
    return run([*options[:place], "--quiet", "--out", str(out), *options[place:]])


def test_a_sweep_finds_the_lr_and_the_weight_decay_of_an_untouched_script(tmp_path: Path):
    assert hptune(tmp_path, "sweep", "wd", "--epochs", "12", "--", *WHOLE) == 0
    found = decided(tmp_path)
    assert 0.02 < float(found["lr"]) < 0.06  # the law's best is 0.032
    assert float(found["weight_decay"]) in (3e-5, 1e-4, 3e-4)
    trials = rows(tmp_path)
    assert {row["status"] for row in trials} == {"complete"}
    # What the script sets itself is nothing that hptune could say.
    assert {row["momentum"] for row in trials} == {row["batch_size"] for row in trials} == {""}
    log = (tmp_path / "logs" / f"{trials[0]['trial']}.txt").read_text()
    assert json.loads(log.splitlines()[-1])["val_loss"] == float(trials[0]["val_loss"])


def test_the_whole_procedure_runs_on_it_and_goes_on_where_it_was(tmp_path: Path, capsys):
    words = ["run", "--epochs", "12", "--", *WHOLE]
    assert hptune(tmp_path, *words) == 0
    before = rows(tmp_path)
    final = [row for row in before if row["stage"] == "final"]
    assert {row["seed"] for row in final} == {"0", "1", "2", "3"}
    assert {row["test_accuracy"] for row in final if row["lr"] == final[-1]["lr"]} == {"0.5"}
    assert {"momentum", "batch_size"}.isdisjoint(decided(tmp_path))
    assert run([*words[:3], "--out", str(tmp_path), *words[3:]]) == 0
    assert "left out, for the training loop does not take their values: momentum, batch-size" in (
        capsys.readouterr().err
    )
    assert rows(tmp_path) == before


def test_tuned_yaml_runs_the_same_command_again(tmp_path: Path):
    assert hptune(tmp_path / "a", "sweep", "wd", "--epochs", "12", "--", *WHOLE) == 0
    tuned = tmp_path / "a" / "tuned.yaml"
    assert hptune(tmp_path / "b", "train", str(tuned), "--seeds", "2") == 0
    found, trained = decided(tmp_path / "a"), rows(tmp_path / "b")
    assert {row["lr"] for row in trained} == {found["lr"]}
    assert {row["weight_decay"] for row in trained} == {found["weight_decay"]}


def test_a_command_stands_in_yaml_as_it_is_typed(tmp_path: Path):
    config = tmp_path / "own.yaml"
    config.write_text(f"command: {' '.join(WHOLE)}\ntraining: {{epochs: 12}}\n")
    assert hptune(tmp_path / "out", "train", str(config), "--lr", "0.03") == 0
    assert rows(tmp_path / "out")[0]["lr"] == "0.03"


@pytest.mark.parametrize(
    ("options", "does"),
    [
        (["--metric", r"val_loss=val loss = ([\d.]+)", "--metric", r"val_accuracy=acc = ([\d.]+)"], "text"),
        (["--results-file", "{trial}.jsonl"], "rows"),
        (["--results-file", "{trial}.csv"], "csv"),
    ],
)  # fmt: skip
def test_values_are_read_from_text_json_lines_and_csv(
    options: list[str], does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    file = options[-1] if does != "text" else ""
    words = [*WHOLE, "--does", does, "--file", file]
    lr = ["--set", "hyper_parameters.lr=0.03"]
    assert (
        hptune(tmp_path / "out", "train", "--epochs", "4", "--lr", "0.03", *options, "--", *words)
        == 0
    )
    assert (
        hptune(tmp_path / "out", "sweep", "wd", "--epochs", "12", *lr, *options, "--", *words) == 0
    )
    for row in rows(tmp_path / "out"):
        curve = (tmp_path / "out" / "curves" / f"{row['trial']}.csv").read_text().splitlines()
        read = [line.split(",")[6] for line in curve[1:]]
        assert len(read) == float(row["epochs"]) and all(read)  # a reading an epoch
        assert float(row["val_loss"]) == float(read[-1])


def test_a_nested_document_is_read(tmp_path: Path):
    words = [*WHOLE, "--does", "nested"]
    assert hptune(tmp_path, "train", "--lr", "0.03", "--epochs", "4", "--", *words) == 0
    assert rows(tmp_path)[0]["val_f1"] == "0.5"


def test_own_hyper_parameters_are_swept_too(tmp_path: Path):
    words = [*WHOLE, "--width", "{width}"]
    own = ["--set", "loop.args.width=16", "--set", "hyper_parameters.lr=0.03", "--epochs", "12"]
    code = hptune(tmp_path, "sweep", "loop.args.width", "--values", "16,32,64", *own, "--", *words)
    assert code == 0
    assert decided(tmp_path)["loop.args.width"] == "32"


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("is-killed", "ended by SIGKILL, as the system does when memory runs out"),
        ("hangs", "took longer than 1 s"),
        ("says-nothing", "no value of the validation set"),
        ("says-loss", "no value of the validation set"),
    ],
)
def test_a_script_that_does_not_do_is_a_row_and_a_line(
    does: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = [*WHOLE, "--does", does]
    options = ["--lr", "0.03", "--epochs", "4", "--trial-timeout", "1" if does == "hangs" else "30"]
    assert hptune(tmp_path, "train", *options, "--", *words) == 1
    error = capsys.readouterr().err.strip()
    assert told in error and "\n" not in error
    assert [row["status"] for row in rows(tmp_path)] == ["failed"]


def test_trials_that_fail_or_end_as_nan_do_not_end_the_sweep(tmp_path: Path):
    for does, status in (("fails-above", "failed"), ("is-nan", "diverged")):
        out = tmp_path / does
        assert hptune(out, "lr-find", "--epochs", "12", "--", *WHOLE, "--does", does) == 0
        assert {row["status"] for row in rows(out)} == {"complete", status}
        assert 0.005 < float(decided(out)["lr"]) <= 0.02


def test_the_last_lines_of_a_script_that_fails_are_told(tmp_path: Path, capsys):
    words = [*WHOLE, "--does", "fails-above"]
    assert hptune(tmp_path, "train", "--lr", "0.1", "--epochs", "4", "--", *words) == 1
    assert "exit code 1; its last lines:" in (error := capsys.readouterr().err)
    assert "RuntimeError: the loss is too high" in error
    log = next((tmp_path / "logs").iterdir()).read_text()
    assert "Traceback" in log


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["sweep", "wd", "--", *LAW, "--lr", "{learning}"], "command: {learning}; must be of lr, "),
        (["sweep", "wd", "--", *LAW, "--wd", "{weight_decay}"], "lr: the command has no {lr};"),
        (["sweep", "momentum", "--", *LAW, "--lr", "{lr}"], "momentum: the training loop does not take it;"),
        (["train", "--lr", "1", "--", "no-such-program", "{lr}"], "'no-such-program'; cannot be started"),
        (["train", "--lr", "1", "--", *LAW], "loop.iterations_per_epoch: not given;"),
        (["train", "--lr", "1", "--metric", "val_loss", "--", *WHOLE], "'val_loss'; must be NAME=REGEX"),
        (["train", "--lr", "1", "--metric", "val_loss=([0-9", "--", *WHOLE], "must be a regular expression"),
        (["train", "--lr", "1", "--metric", "val_loss=[0-9]+", "--", *WHOLE], "must have one group"),
        (["train", "--lr", "1", "--metric", "loss=([0-9]+)", "--", *WHOLE], "write val_loss"),
        (["train", "--lr", "1", "--"], "--: no command after it"),
        (["run", "--time", "5m", "--", *WHOLE], "--time: with a command of placeholders"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert hptune(tmp_path, *words) == 2
    error = capsys.readouterr().err.strip()
    assert told in error and "\n" not in error
    assert not (tmp_path / "results.csv").exists()


def test_an_edited_script_makes_new_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("part.py").write_text("ADDED = 0.0\n")
    script = Path("own.py")
    script.write_text(
        "import json, sys\nfrom part import ADDED\n"
        "print(json.dumps({'val_loss': ADDED + float(sys.argv[1])}))\n"
    )
    words = ["train", "--lr", "0.5", "--epochs", "2", "--", sys.executable, "own.py", "{lr}"]
    assert hptune(tmp_path / "out", *words) == 0
    Path("part.py").write_text("# nothing but a comment\nADDED = 0.0\n")
    assert hptune(tmp_path / "out", *words) == 0
    assert len(rows(tmp_path / "out")) == 1
    Path("part.py").write_text("ADDED = 1.0\n")
    assert hptune(tmp_path / "out", *words) == 0
    assert [row["val_loss"] for row in rows(tmp_path / "out")] == ["0.5", "1.5"]


def test_several_run_beside_each_other(tmp_path: Path):
    assert (
        hptune(
            tmp_path / "a", "train", "--lr", "0.03", "--seeds", "3", "--epochs", "3", "--", *WHOLE
        )
        == 0
    )
    words = ["train", "--lr", "0.03", "--seeds", "3", "--epochs", "3", "--jobs", "2", "--", *WHOLE]
    assert hptune(tmp_path / "b", *words) == 0
    one, two = rows(tmp_path / "a"), rows(tmp_path / "b")
    assert [row["val_loss"] for row in one] == [row["val_loss"] for row in two]


def test_an_interrupt_ends_the_process_with_all_that_it_started(tmp_path: Path):
    marker = tmp_path / "pid"
    inner = f"import os, time; open({str(marker)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    # A shell with a child of its own, because the user asks for one.
    words = ["sh", "-c", f'{sys.executable} -c "{inner}" {{lr}}; true']
    command = [sys.executable, "-m", "hptune", "train", "--lr", "1", "--out", str(tmp_path / "out")]
    process = subprocess.Popen([*command, "--", *words], stderr=subprocess.DEVNULL)
    while not marker.exists() or not marker.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    state = Path(f"/proc/{marker.read_text()}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"  # ended, whoever has to know


def test_several_devices_of_hptune_are_not_for_a_loop_of_ones_own(tmp_path: Path, capsys):
    words = ["train", "--lr", "1", "--devices-per-trial", "2", "--device", "cpu", "--", *WHOLE]
    assert hptune(tmp_path, *words) == 2
    assert "--devices-per-trial: 2; divides hptune's own loop alone" in capsys.readouterr().err


def test_an_lr_that_the_script_sets_itself_is_compared_nowhere(tmp_path: Path):
    script = [*LAW, "--wd", "{weight_decay}", "--epochs", "{epochs}", "--seed", "{seed}"]
    words = ["run", "--epochs", "12", "--budget", "8", "--set", "hyper_parameters.lr=0.01"]
    assert hptune(tmp_path, *words, "--", *script) == 0
    assert set(decided(tmp_path)) == {"weight_decay", "test_accuracy"}
    trials = rows(tmp_path)
    assert {row["stage"] for row in trials} == {"weight-decay", "final"}
    assert {row["lr"] for row in trials} == {""}
    assert sorted(row["seed"] for row in trials if row["stage"] == "final") == ["0", "1", "2", "3"]


def test_blank_cells_of_a_csv_are_no_values(tmp_path: Path):
    log, table = tmp_path / "log.txt", tmp_path / "metrics.csv"
    log.write_text("")
    table.write_text("step,train_loss,val_loss\n1,2.0,\n1,,1.5\n2,1.0,\n2,,1.25\n3,0.5,\n")
    read = readings(log, table, {})
    assert [values["val_loss"] for values in read if "val_loss" in values] == [1.5, 1.25]
    assert [values["train_loss"] for values in read if "train_loss" in values] == [2.0, 1.0, 0.5]
    table.write_text("step,val_loss\n1,1.5\n2,nan\n")
    assert math.isnan(readings(log, table, {})[-1]["val_loss"])
