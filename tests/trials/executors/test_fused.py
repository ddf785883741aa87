"""Fused trials: the curves of each alone, whatever becomes of the others, and when not to fuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import CPU, NET_TRIAL, Deaf, candidates, jobs_in, net_task, results_of, trained
from torch import nn

import hptune
from hptune import models
from hptune.results.records import Status
from hptune.results.run_dir import RunDir
from hptune.results.settings import OptimizerSpec, ParameterRule, TrainingSettings
from hptune.step import LossOf, OwnStep
from hptune.training.device import resolve_device
from hptune.training.passes import Stack
from hptune.trials.executors import group
from hptune.trials.executors.execution import Execution
from hptune.trials.executors.fused import group_seconds
from hptune.trials.executors.group import Group, grouped
from hptune.trials.executors.inline import Inline
from hptune.trials.executors.processes import Processes
from hptune.trials.progress import Silent
from hptune.trials.run import Runner

BUNDLED = ["mlp", "three-layer", "lenet", "resnet-20", "wide-resnet-8-2"]


class Fused(Inline):
    """Fuses, and fails where it would fall back to one after another."""

    def run(self, task, jobs, listener):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(group, "run_trial", None)
            yield from super().run(task, jobs, listener)


@pytest.fixture
def together() -> Fused:
    return Fused(CPU, 1, Group(8))


def gentle(count: int) -> list:
    """Candidates whose LR does not amplify the last bits: at ten times as much, what differs by
    1e-6 in a net with BatchNorm after three iterations differs by 0.4 % after six."""
    return [t.change(lr=t.lr / 10, lr_min=t.lr / 100) for t in candidates(count)]


def assert_close(alone: dict, fused: dict, **tolerance: float) -> None:
    assert set(alone) == set(fused)
    for trial, first in alone.items():
        second = fused[trial]
        assert first.status is second.status and len(first.curve) == len(second.curve)
        for name in ("iteration", "epoch", "lr", "momentum", "weight_decay"):
            np.testing.assert_array_equal(getattr(first.curve, name), getattr(second.curve, name))
        for name in ("train_loss", "val_loss"):
            np.testing.assert_allclose(
                getattr(first.curve, name), getattr(second.curve, name),
                **({"rtol": 1e-3, "atol": 1e-5} | tolerance),
            )  # fmt: skip


@pytest.mark.parametrize("net", BUNDLED)
def test_every_net_learns_in_a_stack_as_it_does_alone(net: str, together, tmp_path: Path):
    task, jobs = net_task(net), jobs_in(tmp_path, gentle(4))
    assert_close(results_of(Inline(CPU, 1), task, jobs), results_of(together, task, jobs))


def test_a_net_without_dropout_between_its_convolutions_fuses_too(together, tmp_path: Path):
    args = {"input_shape": (3, 16, 16), "outputs": 3}
    task = net_task(make_model=lambda: models.build("densenet-10-4", {}, **args))
    jobs = jobs_in(tmp_path, candidates(3))
    assert_close(results_of(Inline(CPU, 1), task, jobs), results_of(together, task, jobs))


@pytest.mark.parametrize(
    "spec",
    [
        OptimizerSpec(name="sgd", args={"nesterov": False, "dampening": 0.1}),
        OptimizerSpec(name="adamw"),
        OptimizerSpec(name="rmsprop"),
        OptimizerSpec(
            name="sgd",
            decay_biases_and_norms=False,
            rules=(
                ParameterRule(match="1.*", lr=0.0),
                ParameterRule(match="4.*", lr=0.5, weight_decay=0.1),
            ),
        ),
    ],
    ids=str,
)
def test_every_optimizer_and_rule_steps_as_it_does_alone(spec, together, tmp_path: Path):
    trials = [
        NET_TRIAL.change(optimizer=spec, lr=lr, lr_min=lr / 10, momentum=m, weight_decay=wd)
        for lr, m, wd in [(0.01, 0.95, 0.0), (0.003, 0.95, 0.1), (0.01, 0.85, 0.01)]
    ]
    task, jobs = net_task(), jobs_in(tmp_path, trials)
    assert_close(results_of(Inline(CPU, 1), task, jobs), results_of(together, task, jobs))


@pytest.mark.parametrize("settings", [
    TrainingSettings(evaluations=3, clip_norm=0.1),
    TrainingSettings(evaluations=40, early_stopping=1),
    TrainingSettings(evaluations=3, average="ema", sam=0.1, gradient_noise={"eta": 0.1}),
])  # fmt: skip
def test_clipping_early_stopping_averages_radii_and_noise_are_each_trials_own(
    settings, together, tmp_path: Path
):
    trials = [t.change(settings=settings, iterations=40) for t in candidates(4)]
    task, jobs = net_task(), jobs_in(tmp_path, trials)
    alone = results_of(Inline(CPU, 1), task, jobs)
    assert_close(alone, results_of(together, task, jobs))
    if settings.early_stopping:
        assert len({len(result.curve) for result in alone.values()}) > 1


def test_a_trial_that_diverges_neither_stops_nor_moves_the_others(together, tmp_path: Path):
    trials = [NET_TRIAL.change(iterations=60, lr=lr, lr_min=lr) for lr in (0.01, 1e6, 0.02, 1e30)]
    for net in ("mlp", "resnet-20"):
        folder = tmp_path / net
        task, jobs = net_task(net), jobs_in(folder, trials)
        found = results_of(together, task, jobs)
        assert [found[trial.id].status for trial in trials] == [
            Status.COMPLETE, Status.DIVERGED, Status.COMPLETE, Status.DIVERGED,
        ]  # fmt: skip
        fine = [jobs[0], jobs[2]]
        alone = results_of(Inline(CPU, 1), task, fine)
        assert_close(
            alone, {job.trial.id: found[job.trial.id] for job in fine}, rtol=0.02, atol=1e-3
        )


def test_a_group_pauses_and_goes_on_from_snapshots_in_a_stack_or_alone(together, tmp_path: Path):
    task, jobs = net_task("resnet-20"), jobs_in(tmp_path, gentle(3))
    paused = results_of(together, task, [replace(job, until=3) for job in jobs])
    assert all(r.status is Status.PRUNED and len(r.curve) == 3 for r in paused.values())
    kept = {job.snapshot: job.snapshot.read_bytes() for job in jobs}
    whole = results_of(Inline(CPU, 1), task, jobs_in(tmp_path / "whole", gentle(3)))
    assert_close(whole, results_of(together, task, jobs))
    for snapshot, content in kept.items():
        snapshot.write_bytes(content)
    alone = {}
    for job in jobs:
        result = trained(task, job.trial, snapshot=job.snapshot)
        alone[job.trial.id] = result
    assert_close(whole, alone)


def test_only_trials_of_one_kind_are_grouped(tmp_path: Path):
    trials = [
        *candidates(5),
        NET_TRIAL.change(seed=2),
        NET_TRIAL.change(batch_size=4),
        NET_TRIAL.change(iterations=7),
        NET_TRIAL.change(settings=TrainingSettings(accumulate=2)),
        NET_TRIAL.change(snapshot="x@3"),
    ]
    jobs = jobs_in(tmp_path, trials)
    sizes = [len(group) for group in grouped(jobs, 4)]
    assert sizes == [4, 1, 1, 1, 1, 1, 1]
    assert [len(group) for group in grouped(jobs, 1)] == [1] * 10
    both = [NET_TRIAL.change(settings=TrainingSettings(accumulate=2), lr=lr) for lr in (0.1, 0.2)]
    assert [len(group) for group in grouped(jobs_in(tmp_path, both), 8)] == [1, 1]


class Branching(nn.Module):
    """Looks at its values, which a batched pass cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 16 * 16, 3)

    def forward(self, x):
        out = self.linear(x.flatten(1))
        return out if out.sum().item() > 0 else out * 1.0


def test_what_cannot_be_fused_is_trained_one_after_another(tmp_path: Path):
    jobs = jobs_in(tmp_path, candidates(3))
    for changes in (
        {"make_model": Branching},
        {"step": OwnStep(lambda net, b: nn.functional.cross_entropy(net(b[0]), b[1]))},
    ):
        task = net_task(**changes)
        assert group_seconds(task, NET_TRIAL, CPU, 4, "stacked") is None
        alone = results_of(Inline(CPU, 1), task, jobs)
        assert_close(alone, results_of(Inline(CPU, 1, Group(4)), task, jobs), rtol=0)


def test_a_stack_that_fails_is_told_once_and_its_trials_run_alone(tmp_path: Path):
    class Noting(Deaf):
        def __init__(self) -> None:
            self.told: list[str] = []

        def message(self, text: str) -> None:
            self.told.append(text)

    noting, jobs = Noting(), jobs_in(tmp_path, candidates(3))
    done = list(Inline(CPU, 1, Group(4)).run(net_task(make_model=Branching), jobs, noting))
    assert len(done) == 3 and all(r.status is Status.COMPLETE for _, r in done)
    assert len(noting.told) == 1 and "cannot be trained as one" in noting.told[0]


def test_who_listens_to_a_group_does_not_move_its_random_numbers(together, tmp_path: Path):
    trials = [t.change(lr=lr, lr_min=lr, iterations=20) for t, lr in zip(
        candidates(2), (0.01, 1e30), strict=True)]  # fmt: skip
    task, quiet, loud = net_task(), {}, {}
    for told, draws in ((quiet, 0), (loud, 3)):
        torch.manual_seed(0)
        for job, result in together.run(task, jobs_in(tmp_path / str(draws), trials), Deaf()):
            told[job.trial.id] = result
            assert torch.rand(draws).shape == (draws,)
    assert_close(quiet, loud, rtol=0, atol=0)


def test_the_measurement_refuses_what_learns_differently_in_a_stack():
    assert group_seconds(net_task("mlp"), NET_TRIAL, CPU, 4, "stacked") is not None
    # Its dropout draws in the order in which channels-last images lie in memory.
    assert group_seconds(net_task("densenet-10-4"), NET_TRIAL, CPU, 4, "stacked") is None


def test_groups_are_spread_over_workers(tmp_path: Path):
    task, jobs = net_task(), jobs_in(tmp_path, candidates(7))
    executor = Processes([CPU, CPU], group=Group(16))
    try:
        told = [job.trial.id for job, _ in executor.run(task, jobs, Deaf())]
    finally:
        executor.close()
    assert sorted(told) == sorted(job.trial.id for job in jobs)


def test_the_models_own_parameters_and_buffers_are_views_of_the_stack():
    torch.manual_seed(0)
    net = [nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)) for _ in range(3)]
    stack = Stack(net, LossOf(nn.functional.cross_entropy), CPU)
    x, y = torch.randn(8, 4), torch.randint(3, (8,))
    losses = stack.gradients((x, y))
    assert losses.shape == (3,)
    for k, model in enumerate(net):
        assert model[0].weight.data_ptr() == stack.parameters["0.weight"][k].data_ptr()
        assert model[1].num_batches_tracked == 1
        alone = nn.functional.cross_entropy(model(x), y)
        torch.testing.assert_close(losses[k], alone.detach())
        (gradient,) = torch.autograd.grad(alone, model[0].weight)
        torch.testing.assert_close(model[0].weight.grad, gradient, atol=1e-6, rtol=1e-4)


def test_concurrent_trials_learn_as_each_alone(tmp_path: Path):
    task, jobs = net_task("resnet-20"), jobs_in(tmp_path, candidates(3))
    alone = results_of(Inline(CPU, 1), task, jobs)
    assert_close(alone, results_of(Fused(CPU, 1, Group(8, "concurrent")), task, jobs), rtol=0)


def test_the_measurement_refuses_concurrent_trials_that_draw_in_turn():
    assert group_seconds(net_task("resnet-20"), NET_TRIAL, CPU, 4, "concurrent") is not None
    # Paired trials drop the same activations; one after another they draw others.
    assert group_seconds(net_task("mlp"), NET_TRIAL, CPU, 4, "concurrent") is None


@pytest.mark.parametrize("net", ["mlp", "densenet-10-4"])
def test_hptunes_task_gives_fused_what_it_gives_inline(net: str, tmp_path: Path):
    # The MLP drops and normalizes in a stack as alone; what a DenseNet drops depends on how its
    # images lie in memory, so its trials are not stacked, and that is told.
    def make_model() -> nn.Module:
        made = models.build(net, {"dropout": 0.2}, input_shape=(3, 16, 16), outputs=3)
        return nn.Sequential(nn.BatchNorm2d(3), made)

    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(48, 3, 16, 16, generator=generator), torch.arange(48) % 3
    task, told = hptune.Task(make_model, train=(x[:32], y[:32]), validation=(x[32:], y[32:])), []
    assert task.step.stackable
    found = []
    for name in ("inline", "fused"):
        with RunDir.open(tmp_path / name) as run_dir:
            execution = Execution(CPU, run_dir, executor=name, tell=told.append)
            runner = Runner(task, run_dir, CPU, Silent(), execution=execution)
            trials = [t.change(task=task.fingerprint) for t in gentle(3)]
            found.append({r.trial.id: r for r in runner.run(trials)})
            assert ("fused" in execution.choose(task, trials).in_words) == (
                name == "fused" and net == "mlp"
            )
            execution.close()
    assert_close(*found)
    assert len(told) == (net != "mlp")


@pytest.mark.gpu
@pytest.mark.parametrize("how", ["stacked", "concurrent"])
def test_trials_on_a_gpu_learn_together_as_each_alone(how, tmp_path: Path):
    device = replace(resolve_device("cuda", "fp32"), graph_from_iteration=0, needs_probe=False)
    task, jobs = net_task("resnet-20"), jobs_in(tmp_path, candidates(4))
    alone = results_of(Inline(device), task, jobs)
    together = results_of(Fused(device, None, Group(8, how)), task, jobs)
    assert_close(alone, together, rtol=0.05, atol=1e-3)
