"""Branches from a snapshot: what they share is computed once and is the same to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from factories import CPU, mlp_task, mlp_trial, trained

from hptune.analysis.fitting import on_plateau
from hptune.errors import HptuneError, StageError
from hptune.procedure.compare import PairedRuns
from hptune.procedure.weight_decay import decide_weight_decay, run_weight_decay
from hptune.results.records import Curve
from hptune.results.run_dir import RunDir
from hptune.stages import WEIGHT_DECAY
from hptune.task import Task
from hptune.trials.branches import branch_point
from hptune.trials.budget import Budget
from hptune.trials.paired import run_paired
from hptune.trials.progress import Silent
from hptune.trials.run import Runner

PARENT = mlp_trial(stage=WEIGHT_DECAY, seed=1)


def task() -> Task:
    return mlp_task(dropout=0.1)


@pytest.fixture
def runner(tmp_path: Path):
    with RunDir.open(tmp_path) as run_dir:
        yield Runner(task(), run_dir, CPU, Silent())


def test_a_branch_with_the_parents_own_values_ends_as_the_parent_would_have(runner: Runner):
    name = branch_point(runner, PARENT, lambda curve: len(curve) >= 15)
    assert name == f"{PARENT.digest}@15"
    changes = {"own": {"weight_decay": 1e-3}, "other": {"weight_decay": 0.1}}
    found = run_paired(runner, PARENT.change(snapshot=name), changes, seeds=1)
    alone = trained(task(), PARENT).curve
    own, other = found["own"][0].curve, found["other"][0].curve
    for column in ("iteration", "lr", "momentum", "weight_decay", "train_loss", "val_loss"):
        assert np.array_equal(getattr(own, column), getattr(alone, column), equal_nan=True)
    assert np.array_equal(other.train_loss[:16], alone.train_loss[:16])
    assert not np.array_equal(other.train_loss[16:], alone.train_loss[16:])
    assert other.weight_decay.tolist() == [1e-3] * 15 + [0.1] * 25
    assert runner.budget.spent == pytest.approx((15 + 25 + 25) / 4)


def test_the_branch_point_is_found_again_and_at_the_latest_in_the_middle(runner: Runner):
    name = branch_point(runner, PARENT, lambda curve: False)
    assert name == f"{PARENT.digest}@20"
    assert branch_point(runner, PARENT, lambda curve: pytest.fail("asked again")) == name


def test_weight_decays_from_a_snapshot_cost_less_and_agree(runner: Runner):
    grid = [1e-2, 1e-3, 1e-4]
    found = run_weight_decay(
        PairedRuns(runner), PARENT, values=grid, refine=False, from_snapshot=True
    )
    assert {float(label) for label in found} == set(grid)
    assert runner.budget.spent < 0.75 * 30
    assert decide_weight_decay(found, usual=1e-3).value in grid


def test_branches_stay_within_the_budget_and_cost_the_same_after_a_resume(tmp_path: Path):
    def spent(allowed: float) -> tuple[float, list[str]]:
        with RunDir.open(tmp_path) as run_dir:
            runner = Runner(task(), run_dir, CPU, Silent(), Budget(allowed))
            grid = [1e-2, 1e-3, 1e-4, 1e-5]
            found = run_weight_decay(
                PairedRuns(runner), PARENT, values=grid, refine=True, from_snapshot=True
            )
            return runner.budget.spent, list(found)

    first = spent(20.0)
    assert first[0] <= 20.0 and 1 < len(first[1]) < 4
    assert spent(20.0) == first  # everything is there now


def test_a_parent_that_diverges_is_told(runner: Runner):
    with pytest.raises(StageError, match="the run to branch from diverged"):
        branch_point(runner, PARENT.change(lr=1e9), on_plateau)


def test_a_branch_without_its_snapshot_is_refused(runner: Runner):
    with pytest.raises(HptuneError, match="is not the snapshot 00000000@5 to branch from"):
        runner.run([PARENT.change(snapshot="00000000@5")])


def falling(values: list[float]) -> Curve:
    n = len(values)
    nothing, loss = np.full(n, np.nan), np.array(values)
    return Curve(np.arange(n), nothing, nothing, nothing, nothing, loss, loss, {}, nothing)


def test_a_plateau_is_where_the_last_readings_fall_no_more():
    assert not on_plateau(falling([2.0, 1.5, 1.1, 0.8, 0.6, 0.45]))
    assert on_plateau(falling([2.0, 1.0, 0.5, 0.41, 0.40, 0.41, 0.40, 0.41, 0.40]))
    assert not on_plateau(falling([2.0, 1.0, 0.5]))
    assert not on_plateau(falling([-1.0, -2.0, -3.0, -3.5, -4.0, -4.5]))
