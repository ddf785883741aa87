"""Looks at a run directory, by the commands."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from hptune.cli import run

SMALL = [
    *("--set", "training.epochs=2", "--set", "model.args.hidden=[16]", "--lr", "0.05"),
    *("--device", "cpu", "--quiet"),
]
CHEAP = ["--examples", "100", "--quiet", "--device", "cpu"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of a small net on digits, with all looks at them and the report."""
    pytest.importorskip("curvlinops")
    out = tmp_path_factory.mktemp("landscape") / "digits"
    assert run(["train", "--seeds", "2", "--out", str(out), *SMALL]) == 0
    for look in (
        ["hessian", "--steps", "8", "--top", "2"],
        ["sharpness", "--directions", "5"],
        ["line", "--points", "5", "--match"],
        ["walk"],
        ["plane", "--side", "3"],
    ):
        assert run(["landscape", *look, str(out), *CHEAP]) == 0
    assert run(["report", str(out)]) == 0
    return out


def test_every_look_is_a_table_and_part_of_the_page(trained: Path):
    best, *_ = sorted(rows(trained / "results.csv"), key=lambda row: float(row["val_loss"]))
    trial, folder = best["trial"], trained / "landscape"
    spectrum = {row["quantity"]: row["value"] for row in rows(folder / f"hessian-{trial}.csv")}
    assert float(spectrum["trace"]) > 0 and spectrum["batch_norm"] == "batch"
    measures = [row["measure"] for row in rows(folder / f"sharpness-{trial}.csv")]
    assert measures == ["sam", "box", "box", "subspace", "subspace"]
    line = rows(folder / f"line-start-{trial}.csv")
    end = next(row for row in line if float(row["position"]) == 1)
    begin = next(row for row in line if float(row["position"]) == 0)
    assert float(end["train_loss"]) < float(begin["train_loss"])
    assert "test_loss" not in end  # which nobody asked for
    (between,) = (rows(path) for path in folder.glob("line-train-*-train-*.csv"))
    for row in between:  # from the same net, to another order of the same net
        at_an_end = float(row["position"]) in (0, 1)
        same = float(row["matched_train_loss"]) == pytest.approx(float(row["train_loss"]), abs=1e-4)
        assert same == at_an_end
    assert "matched_train_loss" not in end  # of one run
    places = rows(folder / f"places-{trial}.csv")
    assert places[0]["name"] == trial and len(places) == 26
    page = (trained / "report.html").read_text()
    assert 'id="landscape"' in page and "Look for a bump between the ends" in page
    plots = {path.name for path in (trained / "plots").iterdir()}
    for name in ("density", "line-start", "plane", "walk"):
        assert f"{name}-{trial}.png" in plots


def test_the_start_of_a_line_is_where_its_run_began(trained: Path):
    line = rows(next((trained / "landscape").glob("line-start-*.csv")))
    begin = next(row for row in line if float(row["position"]) == 0)
    trial = next((trained / "landscape").glob("walk-*.csv")).stem.removeprefix("walk-")
    first = rows(trained / "curves" / f"{trial}.csv")[0]["train_loss"]
    assert float(begin["train_loss"]) == pytest.approx(float(first), rel=0.1)  # of its first batch


def test_a_walk_repeats_its_run_and_says_nothing_then(
    trained: Path, capsys: pytest.CaptureFixture[str]
):
    assert run(["landscape", "walk", str(trained), "--device", "cpu"]) == 0
    told = capsys.readouterr().err
    assert "iterations again" in told and "to the last digit" not in told


def test_a_budget_of_batches_makes_a_walk_no_shorter(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("hptune.console.meter.PLAIN_SECONDS", 0)
    monkeypatch.setattr("hptune.training.trial_run.PROGRESS_SECONDS", 0)
    assert run(["landscape", "walk", str(trained), "--device", "cpu", "--budget", "14"]) == 0
    shown = capsys.readouterr()
    count = int(shown.err.split(" iterations again")[0].split()[-1])
    assert f"2 of {count} steps measured" in shown.out
    assert f"of about {count} iterations" in shown.err


def test_a_walked_run_teaches_where_another_ones_weights_jump(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file, out = tmp_path / "evolution.pt", tmp_path / "jumps"
    assert run(["landscape", "introspection", str(trained), "--to", str(file), "--json"]) == 0
    learned = json.loads(capsys.readouterr().out)
    assert learned["file"] == str(file) and learned["histories"] == 1
    assert 0 < learned["error"] < learned["stays"]
    jumps = ["--set", f"training.introspection={file}", "--seed", "5"]
    assert run(["train", "--out", str(out), *SMALL, *jumps]) == 0
    assert len(rows(out / "results.csv")) == 1
    file.unlink()
    assert run(["train", "--out", str(out), *SMALL, *jumps]) == 2
    assert "error: training.introspection: " in capsys.readouterr().err
    only = Path(shutil.copytree(out, tmp_path / "only"))
    assert "hptune landscape walk" in refused(["introspection", str(only)], capsys)


def test_json_is_one_document(trained: Path, capsys: pytest.CaptureFixture[str]):
    for look in (["hessian", "--steps", "0"], ["sharpness"], ["line", "--test", "--points", "3"]):
        assert run(["landscape", *look, str(trained), *CHEAP, "--json"]) == 0
        shown = capsys.readouterr()
        document = json.loads(shown.out)
        assert document["run_dir"] == str(trained) and not shown.err
        assert all(Path(file).exists() for file in document["files"])


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["landscape", *words]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith("error: ")
    return told


def test_what_cannot_be_looked_at_is_one_line(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert "no such run directory" in refused(["hessian", str(tmp_path / "none")], capsys)
    only = tmp_path / "range"
    assert run(["lr-find", "--out", str(only), *SMALL[:4], "--device", "cpu", "--quiet"]) == 0
    assert "run `hptune train`" in refused(["walk", str(only)], capsys)
    assert "choose of train-" in refused(
        ["sharpness", str(trained), "--trial", "train-00000000"], capsys
    )
    assert "must be once or three times" in refused(
        ["plane", str(trained), "--trial", "a", "--trial", "b"], capsys
    )
    for look in ("hessian", "walk"):
        assert "--budget: 1 batches" in refused(
            [look, str(trained), "--budget", "1", "--device", "cpu"], capsys
        )
    assert "--examples" in refused(["line", str(trained), "--examples", "0"], capsys)


def test_a_run_without_its_weights_or_of_another_task_is_one_line(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    bare = Path(shutil.copytree(trained, tmp_path / "bare"))
    table = (bare / "results.csv").read_text()
    (bare / "results.csv").write_text(table.replace(",digits,", ",array,"))
    assert "put together in Python" in refused(["hessian", str(bare)], capsys)
    (bare / "results.csv").write_text(table)
    shutil.rmtree(bare / "checkpoints")
    assert "no checkpoint" in refused(["hessian", str(bare)], capsys)
    (bare / "experiment.yaml").unlink()
    (bare / "tuned.yaml").unlink()
    assert "no experiment.yaml" in refused(["hessian", str(bare)], capsys)


def test_a_damaged_table_costs_its_picture_alone(trained: Path, tmp_path: Path):
    copy = Path(shutil.copytree(trained, tmp_path / "copy"))
    for path in (copy / "landscape").glob("*.csv"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert run(["report", str(copy)]) == 0
