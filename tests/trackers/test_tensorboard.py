"""TensorBoard's event files, read back."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from hptune.cli import run

pytest.importorskip("tensorboard", reason='needs pip install "hptune[tensorboard]"')

TRAIN = ["--set", "training.epochs=2", "--device", "cpu", "--quiet", "--track", "tensorboard"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def events(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_trial_has_its_curve_hyper_parameters_and_results(here: Path):
    assert run(["train", "--lr", "0.1", *TRAIN]) == 0
    row = rows(here / "runs/digits/results.csv")[0]
    curve = rows(here / f"runs/digits/curves/{row['trial']}.csv")
    read = events(here / "runs/digits/tensorboard" / row["trial"])
    losses = read.Scalars("train_loss")
    assert [e.step for e in losses] == [int(line["iteration"]) for line in curve]
    assert [e.value for e in losses] == pytest.approx([float(c["train_loss"]) for c in curve])
    shown = [float(line["val_accuracy"]) for line in curve if line["val_accuracy"]]
    assert [e.value for e in read.Scalars("val_accuracy")] == pytest.approx(shown)
    times = [e.wall_time for e in losses]
    assert times == sorted(times)
    spent = read.Scalars("val_accuracy")[-1].wall_time - times[0]
    assert 0 < spent < float(curve[-1]["seconds"])
    assert read.Scalars("result/test_accuracy")[-1].value == pytest.approx(
        float(row["test_accuracy"])
    )
    assert hyper_parameters(read)["lr"] == 0.1
    assert hyper_parameters(read)["model"] == "mlp"


def hyper_parameters(read: Any) -> dict[str, object]:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    content = read.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    given = HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: getattr(v, v.WhichOneof("kind")) for name, v in given.items()}


def test_every_trial_and_every_decision_of_a_stage(here: Path):
    assert run(["lr-find", *TRAIN]) == 0
    folder = here / "runs/digits/tensorboard"
    trials = {row["trial"] for row in rows(here / "runs/digits/results.csv")}
    assert {path.name for path in folder.iterdir()} == {*trials, "decisions-lr-range"}
    read = events(folder / "decisions-lr-range")
    decided = {row["parameter"]: row for row in rows(here / "runs/digits/decisions.csv")}
    assert {tag.removesuffix("/text_summary") for tag in read.Tags()["tensors"]} == {
        f"decision/{name}" for name in decided
    }
    text = read.Tensors("decision/lr/text_summary")[0].tensor_proto.string_val[0].decode()
    assert decided["lr"]["reason"] in text


def test_a_reused_trial_is_written_once_and_a_repeated_one_anew(here: Path):
    words = ["train", "--lr", "0.1", *TRAIN]
    assert run(words[:-2]) == 0
    assert run(words) == 0
    row = rows(here / "runs/digits/results.csv")[0]
    folder = here / "runs/digits/tensorboard" / row["trial"]
    first = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert first, "a trial that was run before it was tracked is handed over too"
    assert run(words) == 0
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == first
    assert run([*words, "--restart"]) == 0
    steps = [e.step for e in events(folder).Scalars("train_loss")]
    assert len(steps) == len(set(steps))
