"""Sharpness-aware steps: against steps by hand, with what they leave alone, and what they cost."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from factories import CPU, mlp_task, mlp_trial, trained
from torch import nn

from hptune.results.records import Trial
from hptune.results.settings import PolicySpec, TrainingSettings
from hptune.training.device import seeded
from hptune.training.loop import Lanes, batches_from
from hptune.training.trial_run import Job, TrialRun


def sharp(rho: float, **settings: object) -> Trial:
    return mlp_trial(settings=TrainingSettings(evaluations=8, sam=rho, **settings))


def by_hand(net: nn.Module, batch: tuple[torch.Tensor, ...], rho: float) -> float:
    """Leave the gradients of Foret's algorithm 1 at a net; return the loss."""
    x, y = batch
    loss = nn.functional.cross_entropy(net(x), y)
    gradients = torch.autograd.grad(loss, list(net.parameters()))
    norm = torch.cat([g.flatten() for g in gradients]).norm()
    worst = copy.deepcopy(net)
    with torch.no_grad():
        for parameter, gradient in zip(worst.parameters(), gradients, strict=True):
            parameter += rho * gradient / norm
    nn.functional.cross_entropy(worst(x), y).backward()
    for parameter, other in zip(net.parameters(), worst.parameters(), strict=True):
        parameter.grad = other.grad
    return loss.item()


def test_steps_are_those_by_hand():
    task = mlp_task(0.0)
    trial = sharp(0.3).change(
        lr_min=None, momentum=0.0, momentum_min=None, policy=PolicySpec(name="constant")
    )
    with seeded(0, CPU.torch_device):
        run = TrialRun(task, Job(trial), CPU)
        lanes, net = Lanes([run]), copy.deepcopy(run.model)
        batches = batches_from(task.train, trial, 0, CPU.ranks)
        for iteration in range(8):
            run.optimizer.set(*run.rates[iteration])
            expected = by_hand(net, next(batches), 0.3)
            with torch.no_grad():
                for p in net.parameters():
                    p -= 0.1 * (p.grad + trial.weight_decay * p)
            assert lanes.step().item() == pytest.approx(expected, rel=1e-5)
    for name, value in run.model.state_dict().items():  # running averages among them, counted once
        torch.testing.assert_close(value, net.state_dict()[name])


def test_a_tiny_radius_trains_as_none_does_with_dropout_and_batch_norm_too():
    none, tiny, wide = (trained(mlp_task(0.5), sharp(rho)).curve for rho in (0.0, 1e-7, 0.5))
    for name in ("train_loss", "val_loss"):
        np.testing.assert_allclose(getattr(tiny, name), getattr(none, name), rtol=2e-3)
    assert tiny.train_loss[0] == none.train_loss[0] == wide.train_loss[0]
    assert np.abs(wide.train_loss - none.train_loss).max() > 0.05


def test_parts_of_a_batch_share_one_radius():
    task = mlp_task(0.0, norm=False)
    whole, parts = (trained(task, sharp(0.3, accumulate=n)).curve for n in (1, 4))
    np.testing.assert_allclose(whole.train_loss, parts.train_loss, rtol=1e-4)


def test_what_is_clipped_is_the_gradient_that_the_optimizer_gets():
    trial = sharp(0.3, clip_norm=0.01).change(weight_decay=0.0, momentum=0.0, momentum_min=None)
    with seeded(0, CPU.torch_device):
        run = TrialRun(mlp_task(0.0), Job(trial), CPU)
        before = [p.detach().clone() for p in run.model.parameters()]
        Lanes([run]).step()
        moved = [p.detach() - b for p, b in zip(run.model.parameters(), before, strict=True)]
    lr = run.rates[0][0]
    assert float(torch.stack([m.norm() for m in moved]).norm()) == pytest.approx(
        0.01 * lr, rel=0.01
    )


def test_a_gradient_of_nothing_moves_nothing():
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Return logits that no weight changes."""
            logits: torch.Tensor = self.layer(x) * 0.0
            return logits

    curve = trained(mlp_task().change(make_model=Flat), sharp(0.3)).curve
    np.testing.assert_allclose(curve.train_loss, np.log(3), rtol=1e-6)


def test_a_step_costs_two_passes_and_without_a_radius_one():
    task, passes = mlp_task(), list[int]()

    class Counting(type(task.step)):
        def __call__(self, model: nn.Module, batch: object) -> object:
            passes.append(1)
            return super().__call__(model, batch)

    counting = task.change(step=Counting(nn.functional.cross_entropy))
    for rho, expected in ((0.0, 1), (0.1, 2)):
        passes.clear()
        with seeded(0, CPU.torch_device):
            Lanes([TrialRun(counting, Job(sharp(rho)), CPU)]).step()
        assert len(passes) == expected


def test_a_first_pass_that_overflows_in_float16_leaves_its_step_out():
    half = replace(CPU, dtype=torch.float16)
    with seeded(0, CPU.torch_device):
        run = TrialRun(mlp_task(0.0, norm=False), Job(sharp(0.1)), half)
        run.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
        before = [p.detach().clone() for p in run.model.parameters()]
        Lanes([run]).step()
    assert run.scaler.get_scale() == 2.0**39
    for parameter, kept in zip(run.model.parameters(), before, strict=True):
        assert torch.equal(parameter, kept)
