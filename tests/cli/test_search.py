"""The joint search: it keeps to its budget, repeats, resumes, and leaves values to train with."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from hptune.cli import run
from hptune.trials.space import Choice, Range, grid

pytest.importorskip("optuna", reason="the extra search is not installed")
SHORT = ["--set", "training.epochs=3", "--device", "cpu", "--quiet"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_a_search_keeps_to_its_budget_and_decides(sampler: str, tmp_path: Path):
    command = ["search", "--sampler", sampler, "--budget", "5", "--out", str(tmp_path), *SHORT]
    assert run(command) == 0
    trials = rows(tmp_path / "results.csv")
    assert {t["stage"] for t in trials} == {"search"} and len(trials) >= 4
    assert sum(float(t["epochs"]) for t in trials) <= 5 * 3 + 3
    done = [t for t in trials if t["status"] == "complete"]
    best = min(done, key=lambda t: float(t["val_loss"]))
    decided = {d["parameter"]: d["value"] for d in rows(tmp_path / "decisions.csv")}
    for name in ("lr", "momentum", "weight_decay", "batch_size"):
        assert float(decided[name]) == float(best[name])
    before = (tmp_path / "results.csv").read_bytes()
    assert run(command) == 0
    assert (tmp_path / "results.csv").read_bytes() == before
    assert run(["train", "--out", str(tmp_path), *SHORT]) == 0
    trained = rows(tmp_path / "results.csv")[-1]
    assert trained["stage"] == "train" and trained["lr"] == best["lr"]


def test_a_grid_is_searched_to_its_last_point_and_no_point_twice(tmp_path: Path):
    words = ["--sampler", "grid", "--budget", "10", "--set", "search.batch_size=[64]"]
    command = ["search", *words, "--set", "training.epochs=1", "--out", str(tmp_path), "--quiet"]
    assert run([*command, "--device", "cpu"]) == 0
    trials = rows(tmp_path / "results.csv")
    points = {(t["lr"], t["momentum"], t["weight_decay"]) for t in trials}
    assert len(trials) == len(points) == 2**3


def test_hyperband_stops_trials_early_and_what_is_lost_is_a_row(tmp_path: Path):
    command = ["search", "--budget", "12", "--out", str(tmp_path), *SHORT]
    assert run(command) == 0
    trials = rows(tmp_path / "results.csv")
    pruned = [t for t in trials if t["status"] == "pruned"]
    assert pruned and all(float(t["epochs"]) < 3 for t in pruned)
    assert (
        run(
            [
                *command[:-1],
                "--quiet",
                "--out",
                str(tmp_path / "whole"),
                "--set",
                "search.prune=false",
            ]
        )
        == 0
    )
    assert {t["status"] for t in rows(tmp_path / "whole" / "results.csv")} <= {
        "complete",
        "diverged",
    }


def test_ends_that_fall_are_refused(tmp_path: Path, capsys):
    words = ["search", "--set", "search.lr=[1,0.1]", "--out", str(tmp_path), *SHORT]
    assert run(words) == 2
    assert "must rise from the lowest to the highest" in capsys.readouterr().err


def test_a_grid_has_the_same_points_along_every_range():
    space = {"lr": Range(0.01, 1.0, log=True), "m": Range(0.8, 1.0), "b": Choice([32, 64])}
    points = list(grid(space, 18))
    assert len(points) == 18
    assert sorted({p["lr"] for p in points}) == [0.01, 0.1, 1.0]
    assert sorted({p["m"] for p in points}) == [0.8, 0.9, 1.0]
