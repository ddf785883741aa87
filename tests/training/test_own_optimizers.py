"""Optimizers that are not torch's: what they get, their modes, and which are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from factories import CPU, mlp_task, mlp_trial, same_curve, trained

from hptune.errors import InputError
from hptune.results.records import Trial
from hptune.results.settings import OptimizerSpec, TrainingSettings
from hptune.training.check_batch import BatchCheck, check_batch
from hptune.training.evaluation import evaluate
from hptune.training.loop import run_trial
from hptune.training.model import make_model
from hptune.training.optimizer import ScheduledOptimizer
from hptune.training.snapshot import load_state
from hptune.training.trial_run import Job


def own(name: str, **args: object) -> OptimizerSpec:
    return OptimizerSpec(name=f"own_optimizers:{name}", args=args)


def averaged(**changes: object) -> Trial:
    values = {"optimizer": own("Averaged"), "momentum": 0.9, "momentum_min": None}
    return mlp_trial(**(values | changes))


def checked(name: str) -> BatchCheck:
    spec = own(name) if name.istitle() else OptimizerSpec(name=name)
    return check_batch(mlp_task(), CPU, batch_size=16, optimizer=spec, seed=0)


def test_a_class_gets_what_it_has_by_the_names_that_it_has():
    net, other = (torch.nn.Linear(3, 2) for _ in range(2))
    other.load_state_dict(net.state_dict())
    values = {"lr": 0.1, "momentum": 0.8, "weight_decay": 1e-2}
    ours = ScheduledOptimizer(net, own("Passing", dampening=0.5, nesterov=False), **values)
    theirs = torch.optim.SGD(other.parameters(), dampening=0.5, **values)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    for lr, momentum in ((0.1, 0.8), (0.3, 0.7)):
        ours.set(lr, momentum)
        theirs.param_groups[0].update(lr=lr, momentum=momentum)
        for model, optimizer in ((net, ours), (other, theirs)):
            model.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(net.weight, other.weight)
    optimizer = ScheduledOptimizer(net, own("Averaged"), **values)
    optimizer.set(0.1, 0.7)
    assert {group["beta1"] for group in optimizer.torch.param_groups} == {0.7}


@pytest.mark.parametrize(
    ("name", "momentum", "betas", "decay"),
    [
        ("Sign", False, False, False),
        ("Averaged", True, True, True),
        ("Passing", True, False, True),
        ("torch.optim:NAdam", True, True, True),
        ("adagrad", False, False, True),
        ("rmsprop", True, False, True),
    ],
)
def test_what_an_optimizer_has_is_found(name: str, momentum: bool, betas: bool, decay: bool):
    found = checked(name)
    assert (found.has_momentum, found.has_betas, found.has_weight_decay) == (momentum, betas, decay)


def test_what_is_read_and_what_is_kept_are_the_weights_to_evaluate(tmp_path: Path):
    task, trial = mlp_task(norm=False), averaged()
    result = trained(task, trial, checkpoint=tmp_path / "weights.pt")
    state = load_state(tmp_path / "weights.pt")
    assert state is not None
    model = make_model(task, CPU)
    model.load_state_dict(state["model"])
    read = evaluate(task, model, task.validation, CPU).loss
    assert read == pytest.approx(result.val_loss, rel=1e-6)
    # Readings do not disturb the training, which goes on where it was.
    once = trained(task, averaged(settings=TrainingSettings(evaluations=1)))
    assert once.val_loss == pytest.approx(result.val_loss, rel=1e-4)
    assert once.curve.train_loss == pytest.approx(result.curve.train_loss, rel=1e-4)


def test_an_interrupted_trial_goes_on_in_its_mode(tmp_path: Path):
    task, trial, snapshot = mlp_task(), averaged(), tmp_path / "snapshot.pt"
    run_trial(task, Job(trial, snapshot=snapshot, until=20), CPU)
    assert snapshot.exists()
    resumed, whole = trained(task, trial, snapshot=snapshot), trained(task, trial)
    assert same_curve(resumed.curve, whole.curve)


def test_a_branch_goes_on_with_the_counts_of_its_parent(tmp_path: Path):
    """Schedule-Free counts its steps in the groups; a branch takes all but LR and weight decay."""
    task, trial, snapshot = mlp_task(), averaged(weight_decay=0.0), tmp_path / "parent.pt"
    run_trial(task, Job(trial, snapshot=snapshot, until=20), CPU)
    branch = replace(trial, weight_decay=1e-3, snapshot=f"{trial.digest}@20")
    whole = trained(task, trial)
    same = trained(task, replace(branch, weight_decay=0.0), parent=snapshot)
    assert same.val_loss == whole.val_loss
    assert trained(task, branch, parent=snapshot).val_loss != whole.val_loss


def test_sign_descent_learns():
    trial = mlp_trial(optimizer=own("Sign"), lr=0.01, lr_min=0.001, weight_decay=0.0)
    result = trained(mlp_task(), trial)
    assert result.curve.train_loss[-8:].mean() < 0.7 * result.curve.train_loss[:4].mean()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Closing", "its step needs a closure"),
        ("torch.optim:LBFGS", "its step needs a closure"),
        ("Asking", "its step fails (AssertionError: needs a closure)"),
        ("torch.optim:SparseAdam", "its step fails"),
        ("Narrow", "refuses them"),
        ("own_optimizers:make", "must be a class derived from torch.optim.Optimizer"),
        ("Missing", "has no 'Missing'"),
        ("nowhere:Mine", "cannot be imported"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(name: str, told: str):
    with pytest.raises(InputError) as caught:
        checked(name)
    assert told in str(caught.value) and "\n" not in str(caught.value)
