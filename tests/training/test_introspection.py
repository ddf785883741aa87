"""Jumps of the weights: to where the net says, once, the same after a resume and side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from factories import CPU, candidates, jobs_in, mlp_task, mlp_trial, net_task
from torch import nn

from hptune.errors import InputError
from hptune.procedure.range_test import reading_settings
from hptune.results.records import Trial
from hptune.results.settings import TrainingSettings
from hptune.training.introspection import Evolution, Jumps, load_evolution, save_evolution
from hptune.training.loop import run_lanes, run_trial
from hptune.training.trial_run import Job


@pytest.fixture
def straight(tmp_path: Path) -> str:
    """A file of a net by which weights go straight on, as from 0.7 t to t."""
    evolution = Evolution()
    with torch.no_grad():
        for own in evolution.parameters():
            own.zero_()
        for unit, sign in enumerate((1.0, -1.0)):
            evolution.hidden.weight[unit] = sign * torch.tensor([0.0, 0.0, -1.0, 1.0])
            evolution.out.weight[0, unit] = sign / 0.3
    save_evolution(tmp_path / "straight.pt", evolution)
    return str(tmp_path / "straight.pt")


def jumping(file: str, **changes: object) -> Trial:
    settings = TrainingSettings(evaluations=8, introspection=file, introspection_at=(0.25, 0.5))
    return mlp_trial(settings=settings, **changes)


def test_weights_jump_to_where_the_net_says_and_what_has_not_moved_stays(straight: str):
    speed = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    moving, still = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.full((3,), 0.7))
    jumps = Jumps([moving, still], straight, [0.5], iterations=40)
    jumps.after(0)
    for done in range(1, 41):
        with torch.no_grad():
            moving += speed
        jumps.after(done)
        at = done + 20 * (done >= 20)  # of twice as many iterations from there on
        torch.testing.assert_close(moving.detach(), 1 + at * speed, rtol=1e-4, atol=1e-4)
    assert (still == 0.7).all() and not jumps.state()


def test_a_trial_is_another_from_its_jump_on(straight: str):
    task = mlp_task()
    plain = run_trial(task, Job(mlp_trial()), CPU).curve.train_loss
    jumped = run_trial(task, Job(jumping(straight)), CPU).curve.train_loss
    assert (plain[:10] == jumped[:10]).all() and plain[10] != jumped[10]


@pytest.mark.parametrize("until", [5, 10, 15])
def test_a_trial_that_was_paused_jumps_all_the_same(straight: str, until: int, tmp_path: Path):
    whole = run_trial(mlp_task(), Job(jumping(straight)), CPU)
    job = Job(jumping(straight), snapshot=tmp_path / "snapshot.pt")
    run_trial(mlp_task(), Job(job.trial, snapshot=job.snapshot, until=until), CPU)
    assert (run_trial(mlp_task(), job, CPU).curve.train_loss == whole.curve.train_loss).all()


def test_trials_side_by_side_jump_each_by_itself(straight: str, tmp_path: Path):
    settings = TrainingSettings(evaluations=2, introspection=straight)
    trials = [trial.change(iterations=24, settings=settings) for trial in candidates(2)]
    task, jobs = net_task(), jobs_in(tmp_path, trials)
    together = {job.trial.id: result for job, result in run_lanes(task, jobs, CPU, how="stacked")}
    for trial in trials:
        alone = run_trial(task, Job(trial), CPU).curve.train_loss
        assert together[trial.id].curve.train_loss == pytest.approx(alone, rel=1e-3)


def test_a_trial_is_what_its_file_says_and_without_one_what_it_was(straight: str, tmp_path: Path):
    assert not [name for name in TrainingSettings().identity() if "introspection" in name]
    later = mlp_trial(settings=TrainingSettings(evaluations=8, introspection_at=(0.5,)))
    assert later.id == mlp_trial().id
    before, copy = jumping(straight).id, tmp_path / "copy.pt"
    copy.write_bytes(Path(straight).read_bytes())
    assert jumping(str(copy)).id == before != mlp_trial().id
    save_evolution(copy, Evolution())
    assert jumping(str(copy)).id != before


def test_what_cannot_jump_is_one_line(straight: str, tmp_path: Path):
    with pytest.raises(InputError, match=r"introspection: no.pt; cannot be read \(No such file"):
        _ = jumping("no.pt").id
    (tmp_path / "other.pt").write_bytes(b"other")
    with pytest.raises(InputError, match="must be a file of `hptune landscape introspection`"):
        load_evolution(str(tmp_path / "other.pt"))
    with pytest.raises(InputError, match=r"introspection_at: 0.25 of 8 iterations"):
        run_trial(mlp_task(), Job(jumping(straight, iterations=8)), CPU)
    branch = jumping(straight, snapshot="0a1b2c3d@20")
    with pytest.raises(InputError, match="branch from a snapshot"):
        run_trial(mlp_task(), Job(branch, parent=tmp_path / "parent.pt"), CPU)


def test_an_lr_range_test_does_not_jump(straight: str):
    assert reading_settings(jumping(straight), 100).introspection is None
