"""The loop against a hand-written one, and its promises: determinism, resume, no side effects."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import CPU, mlp_task, mlp_trial, same_curve, trained
from torch import Tensor, nn

from hptune.errors import InputError
from hptune.results.records import Status
from hptune.results.settings import OptimizerSpec, PolicySpec, TrainingSettings
from hptune.step import LossOf
from hptune.task import Task
from hptune.training import loop, trial_run
from hptune.training.lengths import evaluation_points


def test_the_same_trial_twice_gives_the_same_curve_to_the_bit():
    first = trained(mlp_task(), mlp_trial(), CPU)
    second = trained(mlp_task(), mlp_trial(), CPU)
    assert same_curve(first.curve, second.curve)
    assert first.test_loss == second.test_loss is None


def test_another_seed_gives_another_curve():
    first = trained(mlp_task(), mlp_trial(), CPU)
    second = trained(mlp_task(), mlp_trial(seed=4), CPU)
    assert not same_curve(first.curve, second.curve)


def test_training_equals_a_hand_written_loop_with_torch_optim_and_the_papers_1cycle():
    task, trial = mlp_task(dropout=0.0), mlp_trial()
    result = trained(task, trial)
    torch.manual_seed(trial.seed)
    model = task.make_model()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.01, momentum=0.95, nesterov=True, weight_decay=1e-3, foreach=False
    )
    losses, rates, momenta = [], [], []
    for i in range(40):
        epoch, k = divmod(i, 4)
        x, y = list(task.train.batches(16, seed=trial.seed, epoch=epoch))[k]
        # Smith 2018 with a stepsize of 18 iterations, 0.45 of the run: LR from 0.01 up to 0.1 and
        # down to a thousandth of where it began, momentum from 0.95 down to 0.85 and back. After
        # the cycle LR stays; his momentum goes on, half as deep.
        if i <= 18:
            lr, momentum = 0.01 + 0.09 * i / 18, 0.95 - 0.10 * i / 18
        elif i < 36:
            lr, momentum = max(0.1 * (36 - i) / 18, 1e-5), 0.85 + 0.10 * (i - 18) / 18
        else:
            lr, momentum = 1e-5, 0.95 - 0.05 * (i - 36) / 18
        optimizer.param_groups[0].update(lr=lr, momentum=momentum)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        rates.append(lr)
        momenta.append(momentum)
    np.testing.assert_allclose(result.curve.lr, rates, rtol=1e-9)
    np.testing.assert_allclose(result.curve.momentum, momenta, rtol=1e-9)
    np.testing.assert_allclose(result.curve.train_loss, losses, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("stop_after", [5, 16, 23])
def test_a_trial_resumed_from_its_snapshot_ends_as_if_it_had_not_stopped(
    stop_after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = trained(mlp_task(), mlp_trial(), CPU)
    monkeypatch.setattr(trial_run, "SNAPSHOT_SECONDS", 0.0)
    monkeypatch.setattr(trial_run, "SNAPSHOT_SHARE", float("inf"))
    snapshot = tmp_path / "snapshot.pt"
    steps = 0
    original = loop.Lanes.step

    def killed(self: loop.Lanes) -> Tensor:
        nonlocal steps
        if steps == stop_after:
            raise KeyboardInterrupt
        steps += 1
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Lanes, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(mlp_task(), mlp_trial(), snapshot=snapshot)
    steps, stop_after = 0, 40
    monkeypatch.setattr(loop.Lanes, "step", killed)
    resumed = trained(mlp_task(), mlp_trial(), snapshot=snapshot)
    assert 0 < steps < 40
    assert same_curve(whole.curve, resumed.curve)


@pytest.mark.parametrize("content", ["damaged", "of another trial", "of this trial"])
def test_a_damaged_snapshot_or_one_of_another_trial_is_not_used(content: str, tmp_path: Path):
    snapshot = tmp_path / "snapshot.pt"
    if content == "damaged":
        snapshot.write_bytes(b"not a snapshot")
    else:
        other = mlp_trial(weight_decay=0.1) if content == "of another trial" else mlp_trial()
        trained(mlp_task(), other, snapshot=snapshot, until=20)
        # Losses that a trial which goes on from here would keep.
        state = torch.load(snapshot, weights_only=True)
        state["recorder"]["losses"][0] = 123.0
        torch.save(state, snapshot)
    whole = trained(mlp_task(), mlp_trial()).curve
    found = trained(mlp_task(), mlp_trial(), snapshot=snapshot).curve
    if content == "of this trial":
        assert found.train_loss[0] == 123.0
    else:
        assert same_curve(found, whole)


def test_the_callers_random_states_are_left_alone():
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    expected = torch.rand(3), random.random(), np.random.rand()
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    trained(mlp_task(), mlp_trial(), CPU)
    assert torch.equal(torch.rand(3), expected[0])
    assert random.random() == expected[1]
    assert np.random.rand() == expected[2]


def test_candidates_that_differ_in_weight_decay_start_from_the_same_weights_and_batch():
    first = trained(mlp_task(), mlp_trial(weight_decay=0.0), CPU)
    second = trained(mlp_task(), mlp_trial(weight_decay=1e-2), CPU)
    assert first.curve.train_loss[0] == second.curve.train_loss[0]
    assert first.curve.train_loss[-1] != second.curve.train_loss[-1]


def test_a_loss_that_becomes_nan_ends_the_trial_as_diverged_where_it_happened():
    task = mlp_task()
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
    result = trained(broken, mlp_trial(settings=TrainingSettings(evaluations=1)), CPU)
    assert result.status is Status.DIVERGED
    assert len(result.curve) == 8
    assert np.isnan(result.curve.train_loss[-1])
    assert "iteration 7" in result.message


def test_a_learning_rate_far_too_large_diverges_early():
    result = trained(
        mlp_task(), mlp_trial(lr=1e6, policy=PolicySpec(name="constant"), iterations=400), CPU
    )
    assert result.status is Status.DIVERGED
    assert len(result.curve) < 400


def test_losses_below_zero_do_not_count_as_divergence():
    task = mlp_task()
    shifted = Task(
        make_model=task.make_model,
        train=task.train,
        validation=task.validation,
        step=LossOf(lambda outputs, targets: nn.functional.cross_entropy(outputs, targets) - 10.0),
        fingerprint="shifted",
    )
    assert trained(shifted, mlp_trial(), CPU).status is Status.COMPLETE


def test_early_stopping_ends_a_run_that_no_longer_improves():
    settings = TrainingSettings(evaluations=100, early_stopping=5)
    result = trained(mlp_task(), mlp_trial(iterations=400, lr=0.3, settings=settings), CPU)
    assert result.status is Status.COMPLETE
    assert len(result.curve) < 400
    assert "stopped early" in result.message


def test_gradient_accumulation_gives_what_the_whole_batch_gives():
    def without_batch_norm() -> Task:
        task = mlp_task()
        return Task(
            make_model=lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)),
            train=task.train,
            validation=task.validation,
            step=task.step,
            fingerprint="plain",
        )

    whole = trained(without_batch_norm(), mlp_trial(), CPU)
    parts = trained(
        without_batch_norm(),
        mlp_trial(settings=TrainingSettings(accumulate=4, evaluations=8)),
        CPU,
    )
    np.testing.assert_allclose(whole.curve.train_loss, parts.curve.train_loss, rtol=1e-4)


def test_gradient_clipping_bounds_the_norm_of_the_gradient(monkeypatch: pytest.MonkeyPatch):
    norms = []
    original = trial_run.ScheduledOptimizer.step

    def measured(self):
        grads = [p.grad for g in self.torch.param_groups for p in g["params"]]
        norms.append(torch.cat([g.flatten() for g in grads]).norm().item())
        original(self)

    monkeypatch.setattr(trial_run.ScheduledOptimizer, "step", measured)
    settings = TrainingSettings(clip_norm=1e-3, evaluations=8)
    trained(mlp_task(), mlp_trial(settings=settings), CPU)
    assert len(norms) == 40 and max(norms) <= 1.001e-3 and min(norms) > 0.9e-3


def test_fp16_scales_the_loss_and_clips_what_is_unscaled(monkeypatch: pytest.MonkeyPatch):
    norms, scales = [], []
    original = torch.amp.GradScaler.step

    def measured(self: torch.amp.GradScaler, optimizer: torch.optim.Optimizer) -> object:
        grads = [p.grad for g in optimizer.param_groups for p in g["params"]]
        norms.append(torch.cat([g.flatten() for g in grads]).norm().item())
        scales.append(self.get_scale())
        return original(self, optimizer)

    monkeypatch.setattr(torch.amp.GradScaler, "step", measured)
    trial = mlp_trial(settings=TrainingSettings(clip_norm=0.05, evaluations=8))
    half = trained(mlp_task(), trial, replace(CPU, dtype=torch.float16))
    assert len(norms) == 40 and min(scales) > 1000
    # A first step whose scaled gradients overflow is left out, and the scale halved.
    assert all(0 < norm <= 0.0501 for norm in norms if np.isfinite(norm))
    assert sum(map(np.isfinite, norms)) >= 35
    whole = trained(mlp_task(), trial)
    np.testing.assert_allclose(half.curve.train_loss, whole.curve.train_loss, atol=0.02)


def test_a_batch_larger_than_the_data_is_an_input_error():
    with pytest.raises(
        InputError, match="batch_size: 65; must not exceed the 64 training examples"
    ):
        trained(mlp_task(), mlp_trial(batch_size=65), CPU)


def test_adam_takes_momentum_as_beta1():
    trial = mlp_trial(optimizer=OptimizerSpec(name="adamw"), lr=1e-2, lr_min=1e-3)
    result = trained(mlp_task(), trial, CPU)
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
