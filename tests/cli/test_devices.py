"""`--devices-per-trial`: from the command to the tables, and what is refused before anything runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from hptune.cli import run
from hptune.errors import InputError
from hptune.training.device import Device, resolve_device
from hptune.training.ranks import Ranks
from hptune.trials.executors.execution import teams

TRAIN = ["train", "--lr", "0.05", "--epochs", "2", "--device", "cpu", "--batch-size", "64"]
PLAIN = ["--set", "model.name=mlp", "--set", "model.args.hidden=[16]"]


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_command_trains_on_two_devices_what_one_trains(tmp_path: Path, capsys):
    out, one = tmp_path / "two", tmp_path / "one"
    assert run([*TRAIN, *PLAIN, "--out", str(out), "--devices-per-trial", "2"]) == 0
    told = capsys.readouterr().err
    assert "each trial on 2 x cpu: 32 of its 64 examples a step on each" in told
    assert run([*TRAIN, *PLAIN, "--out", str(one)]) == 0
    (apart,), (whole,) = rows(out), rows(one)
    # No number depends on the devices, so that either run takes up what the other has.
    assert apart["trial"] == whole["trial"] and apart["batch_size"] == "64"
    assert apart["device"] == "2 x cpu"
    for name in ("val_loss", "test_loss", "val_accuracy", "test_accuracy"):
        assert float(apart[name]) == pytest.approx(float(whole[name]), abs=1e-4)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["executors"] == "2 devices a trial" and manifest["device"] == "2 x cpu"
    before = (out / "results.csv").read_bytes()
    assert run([*TRAIN, *PLAIN, "--out", str(out)]) == 0
    assert (out / "results.csv").read_bytes() == before
    assert "were run with device 2 x cpu, now it is cpu" in capsys.readouterr().err


def test_batch_norms_and_dropout_make_it_another_trial(tmp_path: Path, capsys):
    def trial(*more: str) -> str:
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        assert run([*TRAIN, "--epochs", "1", *more, "--out", str(out)]) == 0
        return rows(out)[0]["trial"]

    two, dropout = ("--devices-per-trial", "2"), ("--set", "model.dropout=0.2")
    assert trial(*dropout) != trial(*dropout, *two)
    resnet = ("--set", "model.name=resnet-8", "--set", "data.subset=256")
    assert trial(*resnet) != trial(*resnet, *two)
    told = "batch norm over the 32 examples on each device (training.batch_norm)"
    assert told in capsys.readouterr().err


def test_check_measures_on_the_devices_and_runs_nothing(tmp_path: Path, capsys):
    command = ["check", *PLAIN, "--device", "cpu", "--json", "--out", str(tmp_path / "r")]
    assert run([*command, "--devices-per-trial", "2"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["devices_per_trial"] == 2 and shown["device"] == "2 x cpu"
    assert shown["input_shape"][0] == shown["batch_size"] / 2
    assert shown["seconds"] > 0 and not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            ["--devices-per-trial", "3"],
            "batch_size: 64; must divide by the 3 devices of a trial; choose 63 or another",
        ),
        (
            ["--devices-per-trial", "2", "--executor", "fused"],
            "--executor: fused with --devices-per-trial 2, which has an executor of its own",
        ),
        (
            ["--devices-per-trial", "2", "--set", "training.batch_norm=sync"],
            "training.batch_norm: sync on cpu; torch's SyncBatchNorm needs CUDA devices; choose",
        ),
        (["--devices-per-trial", "2", "--set", "training.accumulate=3"], "choose 60 or another"),
    ],
)
def test_what_cannot_be_divided_is_one_line(options: list[str], line: str, tmp_path: Path, capsys):
    assert run([*TRAIN, *PLAIN, *options, "--out", str(tmp_path)]) == 2
    assert line in capsys.readouterr().err
    assert not rows(tmp_path) if (tmp_path / "results.csv").exists() else True


@pytest.fixture
def four_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch say that there are four GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    current = ["cuda:0"]
    # Of the four one knows bf16.
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **how: current[-1] == "cuda:2")
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: current.append(str(device)))
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda precision: None)


def test_a_named_gpu_is_the_current_one_before_it_is_asked_for_anything(four_cards: None):
    assert resolve_device("cuda:2").dtype is torch.bfloat16
    assert resolve_device("cuda:3").dtype is torch.float32


def test_gpus_are_divided_among_trials(four_cards: None):
    def places(device: Device, jobs: int | None) -> list[list[str]]:
        return [[str(place.torch_device) for place in team] for team in teams(device, jobs)]

    two = resolve_device("cuda", devices=2)
    assert not two.needs_probe
    assert places(two, None) == [["cuda:0", "cuda:1"]]
    assert places(two, 8) == [["cuda:0", "cuda:1"], ["cuda:2", "cuda:3"]]
    assert places(resolve_device("cuda:all", devices=3), 4) == [["cuda:0", "cuda:1", "cuda:2"]]
    assert [place.ranks for place in teams(two, 1)[0]] == [Ranks(2, 0), Ranks(2, 1)]
    with pytest.raises(InputError, match="5; this machine has 4 usable CUDA devices; choose no mo"):
        resolve_device("cuda", devices=5)
    with pytest.raises(InputError, match="2; cuda:1 is one device; leave it out, or choose"):
        resolve_device("cuda:1", devices=2)
