"""Noise on gradients: its variance, its seed, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import CPU, mlp_task, mlp_trial, same_curve, trained
from torch import nn

from hptune.results.records import Trial
from hptune.results.settings import NoiseSpec, TrainingSettings
from hptune.training.device import seeded
from hptune.training.gradient_noise import GradientNoise
from hptune.training.loop import Lanes
from hptune.training.trial_run import Job, TrialRun


def noisy(eta: float = 0.3, **settings: object) -> Trial:
    noise = {"eta": eta, "gamma": 0.55}
    return mlp_trial(settings=TrainingSettings(evaluations=8, gradient_noise=noise, **settings))


def drawn(trial: Trial, iteration: int) -> torch.Tensor:
    """The noise on a net of 20,200 weights, of which some have no gradient."""
    net = nn.Sequential(nn.Linear(100, 200), nn.Linear(7, 7))
    for parameter in net[0].parameters():
        parameter.grad = torch.full_like(parameter, 2.0)
    GradientNoise(net, trial).add(iteration)
    assert all(parameter.grad is None for parameter in net[1].parameters())
    return torch.cat([p.grad.flatten() - 2.0 for p in net[0].parameters()])


@pytest.mark.parametrize("iteration", [0, 1, 99])
def test_its_variance_is_eta_over_one_plus_t_to_gamma(iteration: int):
    noise = drawn(noisy(0.3), iteration)
    # The standard error of a variance of 20,200 normal numbers is 1 % of it.
    assert float(noise.var()) == pytest.approx(0.3 / (1 + iteration) ** 0.55, rel=0.04)
    assert abs(float(noise.mean())) < 4 * float(noise.std()) / len(noise) ** 0.5
    sizes = noise / noise.std()
    assert float((sizes.abs() < 1).float().mean()) == pytest.approx(0.683, abs=0.015)


def test_it_follows_from_seed_and_iteration_alone():
    trial = noisy()
    first = drawn(trial, 5)
    torch.manual_seed(99)
    assert torch.equal(first, drawn(trial.change(lr=1.0, batch_size=8), 5))
    for other in (drawn(trial.change(seed=4), 5), drawn(trial, 6)):
        together = torch.stack([first, other])
        assert abs(float(torch.corrcoef(together)[0, 1])) < 0.03


def test_it_is_added_to_the_clipped_and_unscaled_gradient_of_a_step():
    plain = {"momentum": 0.0, "lr_min": None, "momentum_min": None, "weight_decay": 0.0}
    task, moves = mlp_task(0.0, norm=False), list[torch.Tensor]()
    for device in (CPU, replace(CPU, dtype=torch.float16)):
        for eta in (0.0, 0.3):
            trial = noisy(eta, clip_norm=1e-6).change(**plain)
            with seeded(0, CPU.torch_device):
                run = TrialRun(task, Job(trial), device)
                before = [p.detach().clone() for p in run.model.parameters()]
                Lanes([run]).step()
                after = run.model.parameters()
                moved = [(b - p.detach()).flatten() for p, b in zip(after, before, strict=True)]
            moves.append(torch.cat(moved) / run.rates[0][0])
    none, full, _, half = moves
    assert float(none.norm()) < 2e-6
    expected = [torch.zeros_like(p) for p in run.model.parameters()]
    for parameter, grad in zip(run.model.parameters(), expected, strict=True):
        parameter.grad = grad
    GradientNoise(run.model, trial).add(0)
    noise = torch.cat([grad.flatten() for grad in expected])
    for moved in (full, half):
        torch.testing.assert_close(moved, noise, atol=1e-5, rtol=1e-4)


def test_dropout_drops_what_it_would_without():
    curves = [trained(mlp_task(0.5), noisy(eta)).curve for eta in (0.0, 1e-14, 0.3)]
    np.testing.assert_allclose(curves[0].train_loss, curves[1].train_loss, rtol=1e-4)
    assert curves[0].train_loss[0] == curves[2].train_loss[0]
    assert np.abs(curves[0].train_loss - curves[2].train_loss).max() > 0.05


def test_a_resumed_trial_goes_on_with_its_noise(tmp_path: Path):
    task, trial = mlp_task(), noisy()
    trained(task, trial, snapshot=tmp_path / "s.pt", until=15)
    parts, whole = trained(task, trial, snapshot=tmp_path / "s.pt"), trained(task, trial)
    assert same_curve(parts.curve, whole.curve)


def test_without_variance_its_decay_is_no_part_of_a_trials_identity():
    decays = [
        mlp_trial(settings=TrainingSettings(gradient_noise=NoiseSpec(gamma=g))) for g in (1, 2)
    ]
    assert len({trial.id for trial in decays}) == 1
    assert noisy().id != noisy(0.1).id != mlp_trial().id
