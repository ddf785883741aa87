"""Running averages gathered anew: what they become, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from hptune.data.sources.memory import TensorSource
from hptune.results.records import Trial
from hptune.results.settings import PolicySpec, TrainingSettings
from hptune.step import LossOf
from hptune.task import Task
from hptune.training.device import resolve_device
from hptune.training.loop import run_trial
from hptune.training.statistics import fresh_statistics, running_modules, statistics_batches
from hptune.training.trial_run import Job

CPU = resolve_device("cpu", "fp32")


class OwnNorm(nn.Module):
    """A user's norm: averages in buffers, and a momentum, but none of torch's classes."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(features))
        self.momentum = 0.01

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            mean = x.mean(0)
            self.running_mean: Tensor
            self.running_mean += self.momentum * (mean.detach() - self.running_mean)
        return x - self.running_mean


def task_of(net: nn.Module) -> Task:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 5, generator=generator) * 3 + 7
    y = torch.randint(0, 3, (400,), generator=generator)
    source = TensorSource(x, y)
    return Task(
        make_model=lambda: net,
        train=source,
        validation=source,
        step=LossOf(nn.functional.cross_entropy),
        fingerprint="t",
    )


def digits_task(make: Callable[[], nn.Module]) -> Task:
    x, y = load_digits(return_X_y=True)
    images, labels = torch.from_numpy(x).float() / 8 - 1, torch.from_numpy(y)
    return Task(
        make_model=make,
        train=TensorSource(images[:1200], labels[:1200]),
        validation=TensorSource(images[1200:], labels[1200:]),
        step=LossOf(nn.functional.cross_entropy),
        fingerprint="t",
    )


def fresh(net: nn.Module) -> tuple[list[Tensor], Tensor]:
    """Return the averages while they are fresh, and the mean of the first two batches' means."""
    task = task_of(net)
    batches = statistics_batches(task.train, 200, seed=3)
    with fresh_statistics(task, net, batches, CPU):
        found = [module.running_mean.clone() for module in running_modules(net)]
    return found, torch.stack([batch[0].mean(0) for batch in batches]).mean(0)


def test_fresh_averages_are_the_plain_mean_over_the_batches_whatever_was_there_before() -> None:
    for norm in (nn.BatchNorm1d(5), nn.BatchNorm1d(5, momentum=None), OwnNorm(5)):
        norm.running_mean.fill_(float("inf"))
        (found,), expected = fresh(nn.Sequential(norm, nn.Linear(5, 3)))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_nothing_else_changes() -> None:
    net = nn.Sequential(
        nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 3), nn.BatchNorm1d(3, momentum=0.3)
    )
    before = {name: value.clone() for name, value in net.state_dict().items()}
    random = torch.random.get_rng_state()
    fresh(net)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), random)
    assert [m.momentum for m in net if isinstance(m, nn.BatchNorm1d)] == [0.1, 0.3]
    assert all(module.training for module in net.modules())


def test_a_net_without_averages_has_nothing_to_gather() -> None:
    net = nn.Sequential(
        nn.Linear(5, 3), nn.LayerNorm(3), nn.BatchNorm1d(3, track_running_stats=False)
    )
    assert running_modules(net) == []


def test_a_small_batch_is_made_up_for_by_more_of_them() -> None:
    source = task_of(nn.Linear(5, 3)).train
    assert [len(statistics_batches(source, size, seed=0)) for size in (16, 64, 200)] == [8, 4, 2]


def test_a_range_test_of_a_batch_norm_net_is_not_fooled_by_averages_that_lag_behind() -> None:
    """The loss with the averages as they are breaks where the training loss still falls."""
    make = lambda: nn.Sequential(  # noqa: E731
        nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.BatchNorm1d(64),
        nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    task = digits_task(make)
    trial = Trial(
        stage="lr-range", task="t", seed=0, iterations=100, batch_size=64, lr=30.0, lr_min=1e-2,
        momentum=0.9, weight_decay=0.0, policy=PolicySpec(name="lr-range"),
        settings=TrainingSettings(evaluations=25, fresh_statistics=True, divergence_factor=1e9),
    )  # fmt: skip
    curve = run_trial(task, Job(trial), CPU).curve
    read = np.isfinite(curve.val_loss)
    as_is, fresh_loss = curve.metrics["loss_as_is"][read], curve.val_loss[read]
    gap = np.abs(fresh_loss - curve.train_loss[read])
    assert np.median(gap) < 0.5 * np.median(np.abs(as_is - curve.train_loss[read]))
    without = run_trial(
        task, Job(trial.change(settings=trial.settings.change(fresh_statistics=False))), CPU
    )
    np.testing.assert_array_equal(without.curve.val_loss[read], as_is)
    np.testing.assert_array_equal(without.curve.train_loss, curve.train_loss)
