"""The bench of judgement: its grids, its plain loop, and what is said of equal candidates."""

from __future__ import annotations

import importlib
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch

import hptune
from hptune.procedure.defaults import usual_lr
from scripts.quality import ablation, grid, identical, judge, rivals, score, store, table
from scripts.quality.problems import PROBLEMS
from scripts.quality.score import Score

WINE = "wine-adamw"


@pytest.fixture(autouse=True)
def _results(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "RESULTS", tmp_path)
    monkeypatch.setattr(table, "PAGE", tmp_path / "judgement.md")
    for cached in (score.grid, score.grid_rows, score.gridded):
        cached.cache_clear()


def _row(name: str, optimizer: str, lr: float, seed: int, loss: object) -> dict[str, object]:
    return {
        "problem": name, "optimizer": optimizer, "lr": lr, "seed": seed, "val_loss": loss,
        "test_loss": loss, "test_accuracy": 0.9, "seconds": 1.0,
    }  # fmt: skip


@pytest.fixture
def counted(monkeypatch) -> list[float]:
    """Replace training by a parabola in log LR that breaks above 1, and list the LRs trained at."""
    trained: list[float] = []

    def _trained(name: str, lr: float, seed: int, *, optimizer: str) -> store.Row:
        trained.append(lr)
        return _row(
            name, optimizer, lr, seed, 0.2 + 0.05 * math.log(lr / 0.3) ** 2 if lr < 1 else ""
        )

    monkeypatch.setattr(grid, "trained", _trained)
    monkeypatch.setattr(
        grid, "_untrained", lambda name, optimizer, seed: _row(name, optimizer, 0.0, seed, 1.0)
    )
    return trained


@pytest.mark.parametrize(
    "part", sorted(p.stem for p in Path(store.__file__).parent.glob("[a-z]*.py"))
)
def test_every_part_of_the_bench_can_be_started(part):
    assert importlib.import_module(f"scripts.quality.{part}").__doc__


@pytest.mark.parametrize("name", [name for name in PROBLEMS if "wine" in name or "digits" in name])
def test_a_seed_repeats_its_split_and_another_has_another(name):
    make = PROBLEMS[name].make
    first, again, other = (next(iter(make(s).test.batches(8)))[0] for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_grid_reaches_beyond_its_best_lr_on_both_sides_in_steps_of_a_half(counted):
    grid.run_grid(WINE)  # whose first grid ends far below the best
    curve = grid.grid_curve(WINE)
    assert abs(math.log(curve.best_lr / 0.3)) < math.log(1.5)
    best = curve.lr.index(curve.best_lr)
    around = curve.lr[best - grid.NEAR : best + grid.NEAR + 1]
    assert len(around) == 2 * grid.NEAR + 1
    assert all(b / a == pytest.approx(1.5, rel=0.01) for a, b in pairwise(around))


def test_what_is_stored_is_not_trained_again(counted):
    grid.run_grid(WINE)
    before = len(counted)
    grid.run_grid(WINE)
    assert len(counted) == before == len(set(counted)) * PROBLEMS[WINE].seeds


def test_a_grid_is_interpolated_in_log_lr_and_a_broken_run_counts_as_untrained():
    curve = grid.GridCurve([0.01, 0.1, 1.0], [0.6, 0.2, 1.0], start=1.0)
    assert curve.at(0.1) == pytest.approx(0.2)
    assert curve.at(math.sqrt(0.001)) == pytest.approx(0.4)
    assert curve.at(1e-5) == pytest.approx(0.6)
    assert [curve.lost(curve.at(lr)) for lr in (0.1, 0.01, 1.0)] == pytest.approx([0, 0.5, 1])
    assert curve.lost(math.inf) == 1


def test_the_mean_curve_takes_only_lrs_that_every_seed_was_run_at():
    for seed, losses in enumerate([{0.1: 0.5, 0.2: 0.3}, {0.1: 0.7}]):
        for lr, loss in {0.0: 1.0, **losses}.items():
            store.add("grid", _row(WINE, "adamw", lr, seed, loss))
    curve = grid.grid_curve(WINE)
    assert (curve.lr, curve.loss) == ([0.1], [pytest.approx(0.6)])


def test_the_plain_loop_trains_as_hptune_does():
    task = PROBLEMS[WINE].make(0)
    values = {"lr": 3e-3, "momentum": 0.95, "weight_decay": 0.1, "batch_size": 8}
    run = rivals._cycle(WINE, task, values, seed=0)
    ours = hptune.train(
        task, **values, momentum_min=0.85, epochs=PROBLEMS[WINE].epochs, seed=0,
        optimizer="adamw", precision="fp32", device="cpu", progress=False,
    )  # fmt: skip
    assert list(run.readings()) == [pytest.approx(ours.metrics["val_loss"], rel=1e-3)]


def test_recipes_warm_up_and_fall_over_the_whole_run():
    _, nadamw = rivals.RECIPES["nadamw"]
    lr = nadamw(100)
    assert len(lr) == 100
    assert lr[:2] == [0.5, 1.0]
    assert all(a >= b for a, b in pairwise(lr[1:]))
    assert lr[-1] < 0.01


@pytest.mark.parametrize("sampler", rivals.SEARCHES)
def test_a_search_stays_within_its_epochs(sampler, monkeypatch):
    task, iterations = PROBLEMS[WINE].make(0), []
    monkeypatch.setattr(
        rivals.Training, "_step", lambda run, k, batch: iterations.append(1 / len(run.lr))
    )
    rivals._searched(WINE, task, sampler, seed=0, budget=2.0)
    assert 1.5 < sum(iterations) <= 2.0 + 1e-6


def test_what_was_judged_is_judged_against_the_grid_and_not_again(counted):
    grid.run_grid(WINE)
    for _ in range(2):
        judge.run_judge(WINE, 0, budget=3.0, stages=["lr-range"], label="test")
    (row,) = store.read("judge")
    assert row["stages"] == "lr-range"
    assert float(row["search_epochs"]) > 0
    table.write_table()
    page = table.PAGE.read_text()
    assert "hptune test, budget 3, lr-range" in page
    assert f"| {WINE} | 0 | {float(row['lr']):.2g} |" in page


def test_what_an_optimizer_in_the_place_of_the_own_reached_is_stored_apart(counted):
    grid.run_grid(WINE)
    for _ in range(2):
        judge.run_judge(
            WINE, 0, budget=1.0, stages=["lr-range"], label="test", optimizer="auto"
        )  # fmt: skip
    (row,) = store.read("optimizers")
    assert (row["optimizer"], row["decided"]) == ("auto", "nadamw")
    assert not store.read("judge")
    table.write_table()
    assert "| auto, test, budget 1, lr-range | 1 |" in table.PAGE.read_text()


def test_a_part_of_the_plan_is_left_out_and_its_cost_with_it(counted):
    grid.run_grid(WINE, optimizer="nadamw")
    for plan in ("the bracket alone", "the usual LR alone"):
        for seed in (0, 1):
            ablation.run_arm(plan, WINE, seed, 3.0)
            ablation.run_arm("the whole plan", WINE, seed, 3.0)
    bracket, whole, usual = (
        store.chosen(store.read("ablation"), label=label, seed=0)
        for label in ("the bracket alone", "the whole plan", "the usual LR alone")
    )
    assert [len(rows) for rows in (bracket, whole, usual)] == [1, 1, 1]
    cost = [float(rows[0]["search_epochs"]) for rows in (usual, bracket, whole)]
    assert cost[0] == 0 < cost[1] < cost[2] - PROBLEMS[WINE].epochs / 2  # less the duel, and more
    assert float(usual[0]["lr"]) == usual_lr(440)
    shown = {line[1]: line for line in ablation.table()}
    assert set(shown) == {"the whole plan", "the bracket alone", "the usual LR alone"}
    assert (
        shown["the whole plan"][5] == "+0.00 ± 0.00" and shown["the usual LR alone"][-1] == "0.00"
    )


def test_a_score_is_the_share_of_the_fall_and_the_points_of_error_on_the_same_split(counted):
    grid.run_grid(WINE)
    curve = grid.grid_curve(WINE)
    half = (curve.start + min(curve.loss)) / 2
    row = {"problem": WINE, "seed": "0", "val_loss": str(half), "test_accuracy": "0.87"}
    score = Score.of(row)
    assert score.lost == pytest.approx(0.5)
    assert score.regret == pytest.approx(3.0)


def test_a_much_better_candidate_is_found_among_equal_ones(monkeypatch):
    monkeypatch.setattr(identical, "BETTER", 30.0)
    draws = torch.Generator().manual_seed(0)
    for seed in range(30):
        loss = 0.5 + 0.02 * float(torch.randn((), generator=draws))
        store.add("identical", {
            "problem": WINE, "share": 1.0, "seed": seed, "examples": 5000, "status": "complete",
            "iteration": "0 50 99", "train_loss": "2 1 0.5", "val_loss": f"nan 0.8 {loss}",
        })  # fmt: skip
    found = identical.rates(WINE, 1.0, candidates=3, seeds=3)
    assert found.found == 1
    assert 0 <= found.named <= 1
