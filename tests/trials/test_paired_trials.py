"""Paired candidates: the dominated stop early, and neither that nor a kill changes the others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from factories import CPU, mlp_task, mlp_trial, same_curve, trained

from hptune.analysis.ranking import dominated
from hptune.data.sources.memory import TensorSource
from hptune.results.records import Status
from hptune.results.run_dir import RunDir
from hptune.stages import MOMENTUM, SWEEP, TRAIN, WEIGHT_DECAY
from hptune.task import Task
from hptune.training import loop, trial_run
from hptune.trials.budget import Budget
from hptune.trials.paired import run_paired
from hptune.trials.progress import Silent
from hptune.trials.run import Runner

BASE = mlp_trial(stage=WEIGHT_DECAY, seed=1)
CHANGES = {f"{v:g}": {"weight_decay": v} for v in (1e-3, 1e-4, 3.0)}  # the last one learns nothing


def task() -> Task:
    return mlp_task(dropout=0.1, norm=False)


@pytest.fixture
def runner(tmp_path: Path):
    with RunDir.open(tmp_path) as run_dir:
        yield Runner(task(), run_dir, CPU, Silent(), Budget())


def whole(changes) -> dict:
    return {k: trained(task(), BASE.change(**c)) for k, c in changes.items()}


def test_the_dominated_stop_early_and_the_others_end_as_if_alone(runner: Runner):
    found = run_paired(runner, BASE, CHANGES, seeds=1, dominated=dominated)
    alone = whole(CHANGES)
    assert [found[label][0].status for label in CHANGES] == [
        Status.COMPLETE, Status.COMPLETE, Status.PRUNED,
    ]  # fmt: skip
    for label in ("0.001", "0.0001"):
        assert same_curve(found[label][0].curve, alone[label].curve)
    lost = found["3"][0]
    assert len(lost.curve) == 20 and same_curve(lost.curve, alone["3"].curve.until(20))
    assert lost.val_loss == alone["3"].curve.val_loss[19]
    rows = {row["trial"]: row for row in runner.run_dir.rows()}
    assert rows[lost.trial.id]["status"] == "pruned" and rows[lost.trial.id]["iterations"] == 20
    assert not list((runner.run_dir.path / "snapshots").iterdir())
    assert runner.budget.spent == pytest.approx(10 + 10 + 5)


def test_a_search_that_is_run_again_finds_everything(runner: Runner, monkeypatch):
    first = run_paired(runner, BASE, CHANGES, seeds=2, dominated=dominated)
    monkeypatch.setattr("hptune.trials.executors.group.run_trial", None)  # nothing is trained again
    again = run_paired(runner, BASE, CHANGES, seeds=2, dominated=dominated)
    for label, results in first.items():
        assert [r.trial.id for r in again[label]] == [r.trial.id for r in results]
        assert [r.status for r in again[label]] == [r.status for r in results]
        assert [r.val_loss for r in again[label]] == pytest.approx([r.val_loss for r in results])


@pytest.mark.parametrize("stop", [17, 23, 33])
def test_a_kill_between_the_rungs_changes_nothing(runner: Runner, monkeypatch, stop: int):
    class Kill(BaseException):
        pass

    monkeypatch.setattr(trial_run, "SNAPSHOT_SECONDS", 0.0)
    monkeypatch.setattr(trial_run, "SNAPSHOT_SHARE", float("inf"))
    monkeypatch.setattr(loop, "BLOCK", 1)
    update = trial_run.TrialRun.update
    done = 0

    def killed(self):
        nonlocal done
        if self.trial.weight_decay == 1e-4:
            done += 1
            if done == stop:
                raise Kill
        update(self)

    monkeypatch.setattr(trial_run.TrialRun, "update", killed)
    with pytest.raises(Kill):
        run_paired(runner, BASE, CHANGES, seeds=1, dominated=dominated)
    found = run_paired(runner, BASE, CHANGES, seeds=1, dominated=dominated)
    alone = whole(CHANGES)
    assert [found[label][0].status for label in CHANGES] == [
        Status.COMPLETE, Status.COMPLETE, Status.PRUNED,
    ]  # fmt: skip
    assert same_curve(found["0.0001"][0].curve, alone["0.0001"].curve)
    assert len(found["3"][0].curve) == 20


def test_what_one_stage_ran_no_other_runs_again(runner: Runner):
    (first,) = runner.run([BASE])
    found = run_paired(runner, BASE.change(stage=MOMENTUM), CHANGES, seeds=1)
    assert found["0.001"][0].trial.id == first.trial.id and first.trial.id.startswith(
        "weight-decay"
    )
    assert len(runner.run_dir.rows()) == 3
    assert runner.budget.spent == pytest.approx(30)


def test_what_a_stage_dropped_another_runs_to_its_end(runner: Runner):
    run_paired(runner, BASE, CHANGES, seeds=1, dominated=dominated)
    (result,) = runner.run([BASE.change(stage=SWEEP, weight_decay=3.0)])
    assert result.status is Status.COMPLETE and result.trial.stage == SWEEP


def test_the_budget_leaves_out_the_last_candidates_and_what_is_known_is_free(runner: Runner):
    runner.run([BASE.change(stage=MOMENTUM, weight_decay=3.0)])
    runner.budget.allowed = 21.0
    found = run_paired(runner, BASE, CHANGES, seeds=1, least=1)
    assert list(found) == ["0.001", "3"]
    assert runner.budget.spent <= 21


def test_the_test_set_is_read_from_the_weights_once_and_only_where_asked(tmp_path: Path):
    reads = []

    class Counted(TensorSource):
        def batches(self, *args, **kwargs):
            reads.append(1)
            return super().batches(*args, **kwargs)

    own = task().change(test=Counted(torch.randn(20, 6), torch.arange(20) % 3))
    with RunDir.open(tmp_path) as run_dir:
        runner = Runner(own, run_dir, CPU, Silent(), Budget())
        (result,) = runner.run([BASE.change(stage=TRAIN)])
        assert not reads and result.test_loss is None
        (tested,) = runner.read_test([result])
        (again,) = runner.read_test(runner.run([BASE.change(stage=TRAIN)]))
        assert len(reads) == 1 and tested.test_loss == again.test_loss is not None
        assert set(tested.test_metrics) == {"accuracy"}
        run_dir.checkpoint(result.trial.id).write_bytes(b"torn")
        assert runner.read_test([result])[0].test_loss == pytest.approx(tested.test_loss)
