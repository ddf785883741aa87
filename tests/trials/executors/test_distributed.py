"""A trial on several devices: the curve of one process, and what becomes of failures and deaths.

Two processes on the CPU, which exchange gradients through gloo as GPUs do through NCCL.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from factories import (
    CPU,
    NET_TRIAL,
    candidates,
    jobs_in,
    mlp_task,
    mlp_trial,
    net_task,
    results_of,
    same_curve,
)  # fmt: skip
from torch import Tensor, nn

from hptune.config.metrics import find_metrics
from hptune.data.sources.augment import Augment
from hptune.data.sources.memory import TensorSource
from hptune.data.sources.normalize import Normalize
from hptune.data.sources.stream import StreamSource
from hptune.errors import HptuneError, InputError, TrialError
from hptune.results.records import Status, Trial, TrialResult
from hptune.results.settings import OptimizerSpec, TrainingSettings
from hptune.step import LossOf, PassesOver
from hptune.task import Task
from hptune.training import ranks
from hptune.training.device import resolve_device
from hptune.training.ranks import Ranks
from hptune.training.trial_run import Job
from hptune.trials.executors import processes, team
from hptune.trials.executors.distributed import Distributed
from hptune.trials.executors.execution import teams
from hptune.trials.executors.inline import Inline

TWO = replace(CPU, ranks=Ranks(2))


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Distributed]:
    monkeypatch.setattr(ranks, "PATIENCE", 20.0)  # so that no test waits for long
    monkeypatch.setattr(team, "AFTER_A_FAILURE", 0.3)
    executor = Distributed(teams(TWO, 1))
    yield executor
    executor.close()


def on_two(executor: Distributed, task: Task, trial: Trial, **files: Any) -> TrialResult:
    (result,) = results_of(executor, task, [Job(trial, **files)]).values()
    return result


def alone(task: Task, trial: Trial, **files: Any) -> TrialResult:
    (result,) = results_of(Inline(CPU, 1), task, [Job(trial, **files)]).values()
    return result


def assert_same(first: TrialResult, second: TrialResult, tolerance: float = 1e-5) -> None:
    assert first.status is second.status is not Status.FAILED, first.message + second.message
    assert first.message == second.message and len(first.curve) == len(second.curve)
    for name, values in first.curve.columns().items():
        if name != "seconds":
            np.testing.assert_allclose(values, second.curve.columns()[name], atol=tolerance)


def pictures(streamed: bool = False) -> dict[str, Any]:
    """Random images, mirrored and cut, held in memory or read by a loader."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (53, 3, 16, 16), generator=generator, dtype=torch.uint8)
    y = torch.randint(3, (53,), generator=generator)
    made = {"normalize": Normalize(torch.tensor(1 / 64), torch.tensor(-2.0))}
    sources = {
        "train": (x[:40], y[:40], Augment(flip=True, crop=2)),
        "validation": (x[40:], y[40:]),
    }
    if not streamed:
        return {
            split: TensorSource(*data[:2], augment=data[2] if data[2:] else Augment(), **made)
            for split, data in sources.items()
        }
    return {
        split: StreamSource(
            list(zip(*data[:2], strict=True)), workers=0,
            augment=data[2] if data[2:] else Augment(), **made,
        )
        for split, data in sources.items()
    }  # fmt: skip


@pytest.mark.parametrize(
    ("net", "streamed", "changes"),
    [
        ("three-layer", False, {}),
        (
            "three-layer",
            True,
            {"optimizer": OptimizerSpec(name="adamw"), "lr": 1e-3, "lr_min": 1e-4},
        ),
        (
            "lenet",
            False,
            {"settings": TrainingSettings(evaluations=3, clip_norm=0.5, accumulate=2)},
        ),
        ("mlp", False, {"settings": TrainingSettings(evaluations=4, evaluate_limit=8)}),
        (
            "lenet",
            False,
            {
                "lr": 5e-3,
                "lr_min": 5e-4,
                "settings": TrainingSettings(
                    evaluations=3, average="ema", sam=0.1, gradient_noise={"eta": 1e-4}
                ),
            },
        ),
    ],
    ids=["three-layer", "streamed-adamw", "clipped-accumulating", "limited", "every-method"],
)
def test_two_devices_have_the_curve_of_one(
    net: str, streamed: bool, changes: dict[str, Any], pair: Distributed
):
    task = net_task(net, **({"make_model": plain} if net == "mlp" else {}))
    task = task.change(**pictures(streamed))
    trial = NET_TRIAL.change(**({"iterations": 17} | changes))
    apart, whole = on_two(pair, task, trial), alone(task, trial)
    assert_same(apart, whole)
    assert apart.device == "2 x cpu" and apart.curve.train_loss[-1] != apart.curve.train_loss[0]


def plain() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.mark.slow
@pytest.mark.parametrize("net", ["three-layer", "lenet"])
def test_two_devices_have_the_curve_of_one_for_long(net: str, pair: Distributed):
    trial = NET_TRIAL.change(iterations=300, lr=0.01, lr_min=0.001)  # rounding does not grow
    task = net_task(net).change(**pictures())
    assert_same(on_two(pair, task, trial), alone(task, trial), 1e-4)


def in_two_parts(trial: Trial) -> Trial:
    """A trial whose batches one process takes in two parts, as two devices have one each."""
    return trial.change(settings=trial.settings.change(accumulate=2))


def test_metrics_and_ignored_targets_are_those_of_all_examples(pair: Distributed):
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(80, 6, generator=generator), torch.arange(80) % 3
    y[::4] = -100
    step = PassesOver(LossOf(nn.functional.cross_entropy), -100)
    metrics = find_metrics(["accuracy", "f1_score"], kind="classification", outputs=3, ignored=-100)
    task = mlp_task(0.0, norm=False).change(
        train=TensorSource(x[:40], y[:40]), validation=TensorSource(x[40:77], y[40:77]),
        step=step, metrics=metrics, ignored=-100,
    )  # fmt: skip
    # Of two examples of which one is ignored, a device has none that counts.
    trial = mlp_trial(batch_size=2, iterations=12, settings=TrainingSettings(evaluations=4))
    apart = on_two(pair, task, trial)
    assert_same(apart, alone(task, in_two_parts(trial)))
    assert {"val_f1_score", "val_accuracy"} <= set(apart.curve.columns())


def test_batch_norms_see_what_is_on_their_device(pair: Distributed):
    task = mlp_task(0.0)
    trial = mlp_trial(iterations=20, settings=TrainingSettings(evaluations=2))
    apart, parts = on_two(pair, task, trial), alone(task, in_two_parts(trial))
    np.testing.assert_array_equal(apart.curve.train_loss, parts.curve.train_loss)
    whole = alone(task, trial)
    assert abs(apart.curve.train_loss - whole.curve.train_loss).max() > 1e-3
    # The averages are the first device's, as those of each part are over half of the examples.
    assert abs(apart.val_loss - parts.val_loss) < 0.1  # type: ignore[operator]


class Sometimes(nn.Module):
    """A layer that is never used beside one that is."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = plain(), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.used(x)
        return logits


def test_what_a_model_does_not_use_stays_as_it_is(pair: Distributed, tmp_path: Path):
    task = net_task(make_model=Sometimes)
    trial, path = NET_TRIAL.change(iterations=4), tmp_path / "weights.pt"
    assert_same(on_two(pair, task, trial, checkpoint=path), alone(task, trial))
    torch.manual_seed(trial.seed)
    kept = torch.load(path, weights_only=True)["model"]["unused.weight"]
    assert torch.equal(kept, Sometimes().unused.weight)


def test_a_trial_of_two_devices_goes_on_from_its_snapshot_to_the_bit(
    pair: Distributed, tmp_path: Path
):
    task = mlp_task()  # with dropout and batch norms
    trial = mlp_trial(settings=TrainingSettings(evaluations=4))
    whole = on_two(pair, task, trial, checkpoint=tmp_path / "whole.pt")
    files = {"snapshot": tmp_path / "s.pt", "checkpoint": tmp_path / "parts.pt"}
    paused = on_two(pair, task, trial, until=20, **files)
    assert paused.status is Status.PRUNED and len(paused.curve) == 20
    rest = on_two(pair, task, trial, **files)
    assert same_curve(whole.curve, rest.curve)
    first, second = (
        torch.load(tmp_path / name, weights_only=True)["model"] for name in ("whole.pt", "parts.pt")
    )
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    # One process takes up what two have begun, and the other way round.
    on_two(pair, task, trial, until=20, **files)
    assert len(alone(task, trial, **files).curve) == 40
    alone(task, trial, until=20, **files)
    assert len(on_two(pair, task, trial, **files).curve) == 40


def test_devices_drop_other_activations_and_a_seed_repeats_them(pair: Distributed):
    task = net_task("mlp")
    first, again = (on_two(pair, task, NET_TRIAL) for _ in range(2))
    assert same_curve(first.curve, again.curve)
    other = alone(task, NET_TRIAL)
    assert not np.allclose(first.curve.train_loss, other.curve.train_loss, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [{"lr": 1e9, "lr_min": 1e8}, {"settings": TrainingSettings(evaluations=8, early_stopping=2)}],
    ids=["diverging", "stopping"],
)
def test_a_trial_ends_early_on_all_devices(changes: dict[str, Any], pair: Distributed):
    task = net_task(make_model=plain)
    trial = NET_TRIAL.change(**({"iterations": 60, "lr": 0.3, "lr_min": 0.1} | changes))
    apart, whole = on_two(pair, task, trial), alone(task, trial)
    assert apart.status is whole.status and len(apart.curve) == len(whole.curve) < 60
    assert apart.message.split()[0] == whole.message.split()[0]


class Failing(nn.Module):
    """Fails on the second device alone, once its weights have grown beyond those of a small LR."""

    def __init__(self, how: Any) -> None:
        super().__init__()
        self.net, self.how = plain(), how

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        if dist.is_initialized() and dist.get_rank() == 1 and abs(self.net[1].weight).max() > 1:
            self.how()
        logits: Tensor = self.net(x)
        return logits


def die(*, once: Path | None = None) -> None:
    if once is None or not once.exists():
        if once is not None:
            once.touch()
        os.kill(os.getpid(), signal.SIGKILL)


class Skipping(Sometimes):
    """Uses all of its layers in its first passes, and skips one later on."""

    def __init__(self) -> None:
        super().__init__()
        self.unused, self.passes = nn.Linear(3, 3), 0

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        self.passes += 1
        logits: Tensor = self.used(x)
        return self.unused(logits) if self.passes < 5 else logits


def test_a_model_that_skips_layers_later_on_fails_and_nothing_hangs(pair: Distributed):
    result = on_two(pair, net_task(make_model=Skipping), NET_TRIAL.change(iterations=20))
    assert result.status is Status.FAILED
    assert result.message.startswith("on device ") and "finished reduction" in result.message


def complain() -> None:
    raise ValueError("an example\nthat is none")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (complain, "on device 2 of 2: ValueError: an example that is none"),
        (die, "on device 2 of 2: the worker process died twice: Killed"),
        (partial(time.sleep, 60), "on device 1 of 2: "),
    ],
    ids=["fails", "dies", "hangs"],
)
def test_what_fails_on_one_device_is_one_failed_trial(
    how: Any, message: str, pair: Distributed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ranks, "PATIENCE", 2.0)
    task = net_task(make_model=partial(Failing, how))
    trials = [NET_TRIAL, NET_TRIAL.change(lr=1e3, lr_min=1e3), *candidates(2)]
    results = list(results_of(pair, task, jobs_in(tmp_path, trials)).values())
    assert [r.status for r in results if r.trial.lr < 1] == [Status.COMPLETE] * 3
    (failed,) = [r for r in results if r.trial.lr > 1]
    assert failed.status is Status.FAILED and failed.message.startswith(message)


def test_a_trial_whose_process_dies_once_is_run_again(pair: Distributed, tmp_path: Path):
    mark = tmp_path / "died"
    task = net_task(make_model=partial(Failing, partial(die, once=mark)))
    trial = NET_TRIAL.change(lr=3.0, lr_min=3.0, settings=TrainingSettings(divergence_factor=1e9))
    result = on_two(pair, task, trial)
    assert mark.exists() and result.status is not Status.FAILED


def test_what_is_wrong_for_every_trial_is_raised(pair: Distributed, tmp_path: Path):
    jobs = jobs_in(tmp_path, [NET_TRIAL.change(batch_size=9), *candidates()])
    with pytest.raises(
        InputError, match="batch_size: 9; must divide by the 2 devices of a trial; "
    ):
        results_of(pair, net_task(make_model=plain), jobs)
    assert not pair._teams


def test_several_teams_train_at_once_and_are_kept_until_the_task_changes(tmp_path: Path):
    executor, task = Distributed(teams(TWO, 2)), net_task(make_model=plain)
    try:
        together = results_of(executor, task, jobs_in(tmp_path, candidates(3)))
        first = list(executor._teams)
        assert len(first) == 2 and len(together) == 3
        for trial in candidates(3):
            assert_same(together[trial.id], alone(task, trial))
        assert executor.seconds_of_iteration(task, NET_TRIAL, {"seconds": 0.05}) > 0
        assert executor._teams == first
        results_of(executor, net_task(make_model=plain), jobs_in(tmp_path, candidates(1)))
        assert not set(executor._teams) & set(first)
    finally:
        executor.close()


def test_a_task_that_cannot_be_sent_to_processes_that_start_anew_is_one_line(
    pair: Distributed, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(processes, "_context", lambda device: multiprocessing.get_context("spawn"))
    with pytest.raises(
        HptuneError, match="--devices-per-trial: 2; model, data or loss cannot be se"
    ):
        on_two(pair, net_task("mlp"), NET_TRIAL)  # whose factory is a local function


def test_a_measurement_that_fails_leaves_no_process_at_it(pair: Distributed):
    task, trial = (
        net_task(make_model=partial(Failing, complain)),
        NET_TRIAL.change(lr=1e3, lr_min=1e3),
    )
    with pytest.raises(TrialError, match="on device 2 of 2: "):
        pair.seconds_of_iteration(task, trial, {"seconds": 0.1})
    assert not pair._teams and on_two(pair, task, NET_TRIAL).status is Status.COMPLETE


@pytest.fixture
def gpus() -> Iterator[Distributed]:
    executor = Distributed(teams(resolve_device("cuda", "fp32", devices=2), 1))
    yield executor
    executor.close()


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_have_the_curve_of_one(gpus: Distributed):
    task, device = net_task("three-layer"), resolve_device("cuda:1", "fp32")
    trial = NET_TRIAL.change(iterations=50, lr=0.01, lr_min=0.001)
    (whole,) = results_of(Inline(device), task, [Job(trial)]).values()
    assert_same(on_two(gpus, task, trial), whole, 1e-2)  # TF32 in the workers


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_batch_norms_of_two_gpus_see_the_whole_batch_where_that_is_asked_for():
    two = resolve_device("cuda", "fp32", devices=2, sync_batch_norm=True)
    executor, task = Distributed(teams(two, 1)), mlp_task(0.0)
    try:
        trial = mlp_trial(iterations=20)
        (whole,) = results_of(Inline(resolve_device("cuda:0", "fp32")), task, [Job(trial)]).values()
        assert_same(on_two(executor, task, trial), whole, 1e-2)
    finally:
        executor.close()
