"""The loop against a hand-written one, and its promises: determinism, resume, no side effects."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hptune.data.sources.memory import TensorSource
from hptune.errors import InputError
from hptune.results.records import Status, Trial
from hptune.results.settings import OptimizerSpec, PolicySpec, TrainingSettings
from hptune.stages import TRAIN
from hptune.step import LossOf
from hptune.task import Accuracy, MetricSpec, Task
from hptune.training import loop
from hptune.training.device import Device
from hptune.training.lengths import evaluation_points
from hptune.training.loop import run_trial

CPU = Device(torch.device("cpu"))


def make_task(dropout: float = 0.2, examples: int = 96) -> Task:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(examples, 6, generator=generator)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()

    def make_model() -> nn.Module:
        return nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3)
        )

    return Task(
        make_model=make_model,
        train=TensorSource(x[:64], y[:64]),
        validation=TensorSource(x[64:80], y[64:80]),
        test=TensorSource(x[80:], y[80:]),
        step=LossOf(nn.functional.cross_entropy),
        metrics={"accuracy": MetricSpec(Accuracy)},
        classes=3,
        fingerprint="test",
    )


def make_trial(**changes: object) -> Trial:
    values: dict[str, object] = {
        "stage": TRAIN,
        "task": "test",
        "seed": 3,
        "iterations": 40,
        "batch_size": 16,
        "lr": 0.1,
        "lr_min": 0.01,
        "momentum": 0.95,
        "momentum_min": 0.85,
        "weight_decay": 1e-3,
        "settings": TrainingSettings(evaluations=8),
    }
    return Trial(**(values | changes))  # type: ignore[arg-type]


def same_curve(a, b) -> bool:
    names = ("iteration", "epoch", "lr", "momentum", "train_loss", "val_loss")
    same = all(np.array_equal(getattr(a, n), getattr(b, n), equal_nan=True) for n in names)
    return same and all(
        np.array_equal(a.metrics[n], b.metrics[n], equal_nan=True) for n in a.metrics
    )


def test_the_same_trial_twice_gives_the_same_curve_to_the_bit():
    first = run_trial(make_task(), make_trial(), CPU)
    second = run_trial(make_task(), make_trial(), CPU)
    assert same_curve(first.curve, second.curve)
    assert first.test_loss == second.test_loss is None


def test_another_seed_gives_another_curve():
    first = run_trial(make_task(), make_trial(), CPU)
    second = run_trial(make_task(), make_trial(seed=4), CPU)
    assert not same_curve(first.curve, second.curve)


def test_training_equals_a_hand_written_loop_with_torch_optim_and_onecycle_values():
    task, trial = make_task(dropout=0.0), make_trial()
    result = run_trial(task, trial, CPU)
    torch.manual_seed(trial.seed)
    model = task.make_model()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.01, momentum=0.95, nesterov=True, weight_decay=1e-3, foreach=False
    )
    losses = []
    for i in range(trial.iterations):
        epoch, k = divmod(i, 4)
        batches = list(task.train.batches(16, seed=trial.seed, epoch=epoch))
        x, y = batches[k]
        optimizer.param_groups[0]["lr"] = result.curve.lr[i]
        optimizer.param_groups[0]["momentum"] = result.curve.momentum[i]
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    np.testing.assert_allclose(result.curve.train_loss, losses, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("stop_after", [5, 16, 23])
def test_a_trial_resumed_from_its_snapshot_ends_as_if_it_had_not_stopped(
    stop_after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = run_trial(make_task(), make_trial(), CPU)
    monkeypatch.setattr(loop, "SNAPSHOT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "SNAPSHOT_SHARE", float("inf"))
    snapshot = tmp_path / "snapshot.pt"
    steps = 0
    original = loop.TrialRun.step

    def killed(self, batches):
        nonlocal steps
        if steps == stop_after:
            raise KeyboardInterrupt
        steps += 1
        return original(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(loop.TrialRun, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            run_trial(make_task(), make_trial(), CPU, snapshot=snapshot)
    resumed_at = []

    def counting(self, batches):
        resumed_at.append(self.first_iteration)
        return original(self, batches)

    monkeypatch.setattr(loop.TrialRun, "step", counting)
    resumed = run_trial(make_task(), make_trial(), CPU, snapshot=snapshot)
    assert len(resumed_at) < 40
    assert same_curve(whole.curve, resumed.curve)


def test_a_damaged_snapshot_or_one_of_another_trial_is_not_used(tmp_path: Path):
    whole = run_trial(make_task(), make_trial(), CPU)
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(b"not a snapshot")
    assert same_curve(
        run_trial(make_task(), make_trial(), CPU, snapshot=damaged).curve, whole.curve
    )


def test_the_callers_random_states_are_left_alone():
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    expected = torch.rand(3), random.random(), np.random.rand()
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    run_trial(make_task(), make_trial(), CPU)
    assert torch.equal(torch.rand(3), expected[0])
    assert random.random() == expected[1]
    assert np.random.rand() == expected[2]


def test_candidates_that_differ_in_weight_decay_start_from_the_same_weights_and_batch():
    first = run_trial(make_task(), make_trial(weight_decay=0.0), CPU)
    second = run_trial(make_task(), make_trial(weight_decay=1e-2), CPU)
    assert first.curve.train_loss[0] == second.curve.train_loss[0]
    assert first.curve.train_loss[-1] != second.curve.train_loss[-1]


def test_a_loss_that_becomes_nan_ends_the_trial_as_diverged_where_it_happened():
    task = make_task()
    calls = 0

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        value = nn.functional.cross_entropy(outputs, targets)
        return value * float("nan") if calls == 8 else value

    broken = Task(
        make_model=task.make_model,
        train=task.train,
        validation=task.validation,
        step=LossOf(loss),
        fingerprint="nan",
    )
    result = run_trial(broken, make_trial(settings=TrainingSettings(evaluations=1)), CPU)
    assert result.status is Status.DIVERGED
    assert len(result.curve) == 8
    assert np.isnan(result.curve.train_loss[-1])
    assert "iteration 7" in result.message


def test_a_learning_rate_far_too_large_diverges_early():
    result = run_trial(
        make_task(), make_trial(lr=1e6, policy=PolicySpec(name="constant"), iterations=400), CPU
    )
    assert result.status is Status.DIVERGED
    assert len(result.curve) < 400


def test_losses_below_zero_do_not_count_as_divergence():
    task = make_task()
    shifted = Task(
        make_model=task.make_model,
        train=task.train,
        validation=task.validation,
        step=LossOf(lambda outputs, targets: nn.functional.cross_entropy(outputs, targets) - 10.0),
        fingerprint="shifted",
    )
    assert run_trial(shifted, make_trial(), CPU).status is Status.COMPLETE


def test_early_stopping_ends_a_run_that_no_longer_improves():
    settings = TrainingSettings(evaluations=100, early_stopping=5)
    result = run_trial(make_task(), make_trial(iterations=400, lr=0.3, settings=settings), CPU)
    assert result.status is Status.COMPLETE
    assert len(result.curve) < 400
    assert "stopped early" in result.message


def test_gradient_accumulation_gives_what_the_whole_batch_gives():
    def without_batch_norm() -> Task:
        task = make_task()
        return Task(
            make_model=lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)),
            train=task.train,
            validation=task.validation,
            step=task.step,
            fingerprint="plain",
        )

    whole = run_trial(without_batch_norm(), make_trial(), CPU)
    parts = run_trial(
        without_batch_norm(),
        make_trial(settings=TrainingSettings(accumulate=4, evaluations=8)),
        CPU,
    )
    np.testing.assert_allclose(whole.curve.train_loss, parts.curve.train_loss, rtol=1e-4)


def test_gradient_clipping_bounds_the_norm_of_the_gradient(monkeypatch: pytest.MonkeyPatch):
    norms = []
    original = loop.ScheduledOptimizer.step

    def measured(self):
        grads = [p.grad for g in self.torch.param_groups for p in g["params"]]
        norms.append(torch.cat([g.flatten() for g in grads]).norm().item())
        original(self)

    monkeypatch.setattr(loop.ScheduledOptimizer, "step", measured)
    settings = TrainingSettings(clip_norm=1e-3, evaluations=8)
    run_trial(make_task(), make_trial(settings=settings), CPU)
    assert len(norms) == 40 and max(norms) <= 1.001e-3 and min(norms) > 0.9e-3


def test_a_batch_larger_than_the_data_is_an_input_error():
    with pytest.raises(
        InputError, match="batch_size: 65; must not exceed the 64 training examples"
    ):
        run_trial(make_task(), make_trial(batch_size=65), CPU)


def test_adam_takes_momentum_as_beta1():
    trial = make_trial(optimizer=OptimizerSpec(name="adamw"), lr=1e-2, lr_min=1e-3)
    result = run_trial(make_task(), trial, CPU)
    assert result.status is Status.COMPLETE
    assert result.val_loss < result.curve.train_loss[0]


@pytest.mark.parametrize(
    ("iterations", "evaluations"), [(10, 3), (100, 20), (5, 9), (1, 1), (7, 0)]
)
def test_evaluations_are_evenly_spaced_and_end_with_the_run(iterations: int, evaluations: int):
    due = evaluation_points(iterations, evaluations)
    assert due[-1] == iterations
    assert len(due) == min(max(evaluations, 1), iterations)
    gaps = np.diff([0, *due])
    assert gaps.max() - gaps.min() <= 1
