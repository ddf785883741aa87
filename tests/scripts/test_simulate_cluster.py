"""Simulated clusters: what is laid out on workers takes what it must, and the script's table comes of it."""

from __future__ import annotations

import math

import pytest

from scripts import simulate_cluster
from scripts.simulate_cluster import Costs, makespan


def test_rounds_take_what_their_workers_need():
    rounds = [[3.0, 1.0, 1.0, 1.0], [2.0]]
    assert makespan(rounds, 1, Costs(), move=0) == 8
    assert makespan(rounds, 2, Costs(), move=0) == 5
    assert makespan(rounds, math.inf, Costs(), move=0) == 5


def test_a_worker_starts_once_and_a_driver_hands_out_one_trial_after_another():
    costs = Costs(start=10, trial=1, driver=0.5)
    # Two workers start and fetch the data, and the second round finds them there.
    assert makespan([[4, 4], [4]], 2, costs, move=2) == pytest.approx(
        (0.5 + 12 + 5 + 0.5) + (5 + 0.5)
    )


def test_more_workers_than_candidates_bring_nothing_and_the_table_says_why(capsys):
    small = ["--workers", "1", "4", "64", "--budgets", "2", "--set", "training.epochs=1"]
    simulate_cluster.main([*small, "procedure.stages=[lr-range, final]"])
    rows = [
        line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line[0] == "|"
    ]
    names, _, *rows = ([cell.strip() for cell in row] for row in rows)
    found = [dict(zip(names, row, strict=True)) for row in rows]
    one, few, many = (float(row["hours"]) for row in found)
    assert one > few >= 0.95 * many
    assert [row["what limits it"] for row in found] == [
        "one worker", "trials that follow each other", "trials that follow each other",
    ]  # fmt: skip
