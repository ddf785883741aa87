"""Replayed passes: the curves of launched ones, and what happens where none can be recorded.

On a CPU a recording is a function that is called again and writes into the tensors of the first
call, as a CUDA graph does; tests marked `gpu` record real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from factories import CPU, image_task, image_trial, trained
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from hptune import models
from hptune.data.sources.augment import Augment
from hptune.data.sources.memory import TensorSource
from hptune.results.records import Status, TrialResult
from hptune.results.settings import OptimizerSpec, TrainingSettings
from hptune.task import Freeze
from hptune.training import capture, execution_mode
from hptune.training.capture import Captured, Replay
from hptune.training.device import Device, resolve_device
from hptune.training.device_step import DeviceStep
from hptune.training.execution_mode import choose_mode, measure_modes, take_steps
from hptune.training.loop import BLOCK, Lanes, batches_from, run_lanes
from hptune.training.optimizer import ScheduledOptimizer
from hptune.training.passes import How, reads
from hptune.training.trial_run import Job, TrialRun

REPLAYING = replace(CPU, graph_from_iteration=0)
STEPPING = replace(REPLAYING, graph_steps=True)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let passes be recorded on the CPU; counts the replays of each recording."""
    replays: list[int] = []

    def record(compute: Callable[[], Tensor], device: torch.device) -> tuple[Tensor, Replay]:
        (cell,) = compute.__closure__ or ()
        captured: Captured = cell.cell_contents
        which = len(replays)
        replays.append(0)
        with capture.as_before(captured._changed, captured._parameters, device):
            losses = compute()
            gradients = [p.grad for p in captured._parameters]  # none where the step is taken

        def replay() -> None:
            replays[which] += 1
            for parameter in captured._parameters:
                parameter.grad = None
            losses.copy_(compute())
            for own, parameter in zip(gradients, captured._parameters, strict=True):
                if own is not None and parameter.grad is not None:
                    own.copy_(parameter.grad)

        for parameter, gradient in zip(captured._parameters, gradients, strict=True):
            parameter.grad = gradient  # as a recording leaves them
        return losses, replay

    monkeypatch.setattr(capture, "cuda_graph", record)
    return replays


def assert_same(first: TrialResult, second: TrialResult, **tolerance: float) -> None:
    assert first.status is second.status and len(first.curve) == len(second.curve)
    for name in ("train_loss", "val_loss"):
        a, b = getattr(first.curve, name), getattr(second.curve, name)
        np.testing.assert_allclose(a, b, **({"rtol": 0.0} | tolerance))


CYCLE: dict[str, Any] = {"lr_min": 0.001, "momentum": 0.95, "momentum_min": 0.8}


@pytest.mark.parametrize(
    ("net", "device"),
    [("resnet-8", REPLAYING), ("densenet-10-4", REPLAYING), ("densenet-10-4", STEPPING)],
    ids=["resnet", "densenet", "densenet-with-steps"],
)
@pytest.mark.parametrize(
    "changes",
    [
        CYCLE,
        {"optimizer": OptimizerSpec(name="adamw"), "lr": 0.001},
        {"settings": TrainingSettings(evaluations=3, clip_norm=0.1)},
        {"settings": TrainingSettings(evaluations=3, sam=0.1)},
        {"lr": 1e9},
    ],
    ids=["sgd", "adamw", "clipped", "sharpness-aware", "diverging"],
)
def test_a_replayed_trial_has_the_curve_of_a_launched_one(
    net: str, changes: dict[str, Any], device: Device, recorded: list[int]
):
    # Running means and dropout show whether what precedes a recording leaves a trace.
    args = {"dropout": 0.2} if net.startswith("densenet") else {}
    task = image_task().change(
        make_model=lambda: models.build(net, args, input_shape=(3, 8, 8), outputs=4)
    )
    trial = image_trial(iterations=20, **changes)
    launched, replayed = trained(task, trial, CPU), trained(task, trial, device)
    assert_same(launched, replayed, rtol=1e-3 if device.graph_steps else 0.0)
    # The first iteration, in which an optimizer makes its state, is launched where steps are recorded.
    assert recorded == [recorded[0]] and recorded[0] >= len(replayed.curve) - device.graph_steps


@pytest.mark.parametrize("optimizer", ["sgd", "nadamw"])
@pytest.mark.parametrize("device", [REPLAYING, STEPPING], ids=["passes", "steps"])
def test_a_replayed_trial_goes_on_from_its_snapshot(
    optimizer: str, device: Device, tmp_path: Path, recorded: list[int]
):
    settings = TrainingSettings(evaluations=3)
    values = CYCLE | {"optimizer": OptimizerSpec(name=optimizer), "settings": settings}
    task, trial = image_task(), image_trial(iterations=12, **values)
    snapshot = tmp_path / "s.pt"
    paused = trained(task, trial, device, snapshot=snapshot, until=4)
    assert paused.status is Status.PRUNED
    resumed = trained(task, trial, device, snapshot=snapshot)
    launched = [4 - device.graph_steps, 8 - device.graph_steps]
    assert_same(trained(task, trial, CPU), resumed, rtol=1e-3 if device.graph_steps else 0.0)
    assert recorded == launched


def test_steps_that_cannot_be_recorded_are_launched_after_recorded_passes(recorded: list[int]):
    trial = image_trial(optimizer=OptimizerSpec(name="rmsprop"), lr=1e-4)
    lanes = Lanes([TrialRun(image_task(), Job(trial), STEPPING)])
    for _ in range(2):
        lanes.step()
    assert lanes.not_captured == "steps of RMSprop are not recorded"
    recorded.clear()
    assert_same(trained(image_task(), trial, CPU), trained(image_task(), trial, STEPPING))
    assert recorded == [len(range(1, trial.iterations))]


@pytest.mark.parametrize("how", ["stacked", "concurrent"])
def test_lanes_that_end_leave_others_their_own_steps(how: How, recorded: list[int]):
    settings = TrainingSettings(evaluations=4)
    trials = [
        image_trial(**(CYCLE | {"lr": lr, "lr_min": lr / 10}), settings=settings)
        for lr in (0.01, 1e9, 0.002)
    ]
    jobs = [Job(trial) for trial in trials]
    lanes = run_lanes(image_task(), jobs, STEPPING, how=how)
    found = {job.trial.id: result for job, result in lanes}
    assert len(recorded) == 2
    for trial in trials:
        assert_same(trained(image_task(), trial), found[trial.id], rtol=1e-3)


def test_batches_are_read_and_augmented_in_the_recording(recorded: list[int]):
    task = image_task()
    assert isinstance(task.train, TensorSource)
    task.train._augment = Augment(flip=True, crop=1, cutout=2)
    trial = image_trial(iterations=20)
    run = TrialRun(task, Job(trial), REPLAYING)
    choice = next(batches_from(run.train_data, trial, 0, choices=reads(run, 0)))
    assert [part.shape for part in choice] == [(8,), (8,), (8, 2), (8, 2)]
    assert_same(trained(task, trial), trained(task, trial, REPLAYING))


def test_several_passes_a_step_are_launched(recorded: list[int]):
    trial = image_trial(settings=TrainingSettings(evaluations=1, accumulate=2))
    assert_same(trained(image_task(), trial, CPU), trained(image_task(), trial, REPLAYING))
    assert not recorded


def test_what_waits_for_the_device_is_not_recorded_but_launched_and_says_why(
    recorded: list[int], monkeypatch: pytest.MonkeyPatch
):
    class Refusing(TorchDispatchMode):
        """Refuses what hands a value to Python, as a GPU's debug mode does."""

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            if func is torch.ops.aten._local_scalar_dense.default:
                raise RuntimeError("called a synchronizing CUDA operation")
            return func(*args, **(kwargs or {}))

    class Reading(nn.Module):
        """Decides by a value that it reads from the device."""

        def __init__(self) -> None:
            super().__init__()
            self.norm, self.layer = nn.BatchNorm1d(192), nn.Linear(192, 4)

        def forward(self, x: Tensor) -> Tensor:
            """Return logits."""
            logits: Tensor = self.layer(self.norm(x.flatten(1)))
            return logits if logits.sum().item() > 0 else logits * 0.5

    monkeypatch.setattr(capture, "refusing_to_wait", lambda device: Refusing())
    task, trial = image_task(make_model=Reading), image_trial()
    lanes = Lanes([TrialRun(task, Job(trial), REPLAYING)])
    lanes.step()
    assert lanes.not_captured == "RuntimeError: called a synchronizing CUDA operation"
    assert_same(trained(task, trial, CPU), trained(task, trial, REPLAYING))
    assert not recorded  # on a GPU, one that fails would spoil the process


def test_after_a_recording_that_fails_none_is_tried_again(monkeypatch: pytest.MonkeyPatch):
    tried: list[int] = []

    def fail(compute: Callable[[], Tensor], device: torch.device) -> tuple[Tensor, Replay]:
        tried.append(1)
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing")

    monkeypatch.setattr(capture, "cuda_graph", fail)
    monkeypatch.setattr(capture, "_failed", [])
    task, trial = image_task(), image_trial()
    for _ in range(2):
        assert_same(trained(task, trial, CPU), trained(task, trial, REPLAYING))
    lanes = Lanes([TrialRun(task, Job(trial), REPLAYING)])
    lanes.step()
    assert len(tried) == 1 and "failed before in this process" in (lanes.not_captured or "")


def test_a_batch_of_another_shape_or_kind_is_launched(recorded: list[int]):
    model = nn.Linear(3, 2)

    def compute(batch: tuple[Tensor, Tensor]) -> Tensor:
        loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        return loss.detach()

    def gradient_on(examples: int, passing: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(examples)
        model.weight.grad = None
        batch = torch.randn(examples, 3, generator=generator), torch.arange(examples) % 2
        loss = passing(batch)
        assert model.weight.grad is not None
        return loss, model.weight.grad.clone()

    captured = Captured(compute, [model], torch.device("cpu"))
    for examples in (8, 8, 5, 8):
        for ours, theirs in zip(
            gradient_on(examples, captured), gradient_on(examples, compute), strict=True
        ):
            torch.testing.assert_close(ours, theirs)
    assert recorded == [3]
    words = Captured(lambda batch: compute(batch["all"]), [model], torch.device("cpu"))
    gradient_on(4, lambda batch: words({"all": batch}))
    assert words.error == "TypeError: the batch is not a sequence of tensors"


@pytest.mark.parametrize(
    ("launched", "replayed", "pays_from"),
    [(1.0, 0.5, 60), (1.0, 0.97, None), (1.0, None, None), (None, None, None)],
)
def test_a_gpu_replays_where_that_was_measured_to_be_faster(
    launched: float | None, replayed: float | None, pays_from: int | None
):
    needs_probe = Device(torch.device("cuda"), torch.bfloat16, needs_probe=True)
    seconds = {"launched": launched, "replayed": replayed, "recording": 30.0}
    device = choose_mode(needs_probe, seconds)
    assert (device.graph_from_iteration, device.needs_probe) == (pays_from, False)
    assert not device.graph_steps
    assert device.dtype is torch.bfloat16
    assert [device.uses_graph(n) for n in (59, 60)] == [False, pays_from is not None]


@pytest.mark.parametrize(
    ("stepped", "expected"), [(0.25, (40, True)), (0.6, (60, False)), (None, (60, False))]
)
def test_steps_are_replayed_where_that_was_measured_to_be_faster_still(
    stepped: float | None, expected: tuple[int, bool]
):
    seconds = {"launched": 1.0, "replayed": 0.5, "stepped": stepped, "recording": 30.0}
    device = choose_mode(Device(torch.device("cuda"), needs_probe=True), seconds)
    assert (device.graph_from_iteration, device.graph_steps) == expected


def test_a_step_that_does_something_else_is_no_choice(
    recorded: list[int], monkeypatch: pytest.MonkeyPatch
):
    task, trial = image_task(), image_trial(iterations=30, **CYCLE)
    monkeypatch.setitem(execution_mode.STEPS, "cpu", 8)
    usual = take_steps(task, trial, CPU)
    assert execution_mode._stepped(task, trial, STEPPING, usual)
    for wrong in ("momentum", "lr"):
        rates = [
            (lr * (wrong != "lr"), m * (wrong != "momentum") or 0.1)
            for lr, m in TrialRun(task, Job(trial), CPU).rates
        ]
        with monkeypatch.context() as patch:
            patch.setattr(
                ScheduledOptimizer,
                "step_on_device",
                lambda self, _, rates=rates: setattr(
                    self, "on_device", DeviceStep(self.torch, rates, self._scales)
                ),
            )
            assert execution_mode._stepped(task, trial, STEPPING, usual) is None


def test_a_trial_too_short_to_gain_is_not_recorded(recorded: list[int]):
    later = replace(CPU, graph_from_iteration=10)
    for iterations, count in ((9, 0), (10, 1)):
        trained(image_task(), image_trial(iterations=iterations), later)
        assert len(recorded) == count


@pytest.mark.gpu
@pytest.mark.parametrize("graph_steps", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "nadamw"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_cuda_graph_trains_as_its_launches_do(optimizer: str, precision: str, graph_steps: bool):
    device = replace(resolve_device("cuda", precision), needs_probe=False)
    spec = OptimizerSpec(name=optimizer)
    values = CYCLE | {"lr": 1e-3, "lr_min": 1e-4}
    trial = image_trial(iterations=2 * BLOCK, batch_size=32, optimizer=spec, **values)
    task = image_task(examples=512)
    replaying = replace(device, graph_from_iteration=0, graph_steps=graph_steps)
    lanes = Lanes([TrialRun(task, Job(trial), replaying)])
    for _ in range(2):
        lanes.step()
    assert lanes.not_captured is None
    tolerance = {"fp32": 0.01, "bf16": 0.1}[precision]
    assert_same(trained(task, trial, device), trained(task, trial, replaying), rtol=tolerance)


@pytest.mark.gpu
def test_a_gpus_probe_finds_replaying_faster():
    device = resolve_device("cuda")
    assert device.needs_probe
    task, trial = image_task(examples=512), image_trial(iterations=100, batch_size=32, lr=1e-3)
    seconds, why = measure_modes(task, trial, device)
    assert not why and choose_mode(device, seconds).graph_from_iteration is not None
    assert seconds["stepped"] is not None  # the same changes as the launched steps'


class Waiting(nn.Module):
    """A net whose forward pass waits for the device: for a number, or for how much it selects."""

    def __init__(self, selects: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(192, 4))
        self.selects = selects

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.layers(x)
        if self.selects:
            return logits + x[x > 0].mean()
        return logits if logits.sum().item() > 0 else logits * 0.5


@pytest.mark.gpu
@pytest.mark.parametrize("selects", [False, True], ids=["reads", "selects"])
def test_a_gpu_trains_on_after_a_model_that_cannot_be_recorded(selects: bool):
    usual = replace(resolve_device("cuda", "fp32"), needs_probe=False)
    device = replace(usual, graph_from_iteration=0)
    waiting = image_task(make_model=lambda: Waiting(selects))
    before = trained(waiting, image_trial(), usual)
    assert_same(before, trained(waiting, image_trial(), device), rtol=0.01)
    torch.cuda.empty_cache()
    assert_same(before, trained(waiting, image_trial(), usual), rtol=0.01)  # dropout draws the same
    lanes = Lanes([TrialRun(image_task(), Job(image_trial()), device)])
    lanes.step()
    assert lanes.not_captured is None


@pytest.mark.parametrize("device", [REPLAYING, STEPPING], ids=["passes", "steps"])
def test_a_release_of_frozen_blocks_is_recorded_anew(device: Device, recorded: list[int]):
    task = image_task(freeze=Freeze(-1, (0.5,)))
    assert_same(trained(task, image_trial()), trained(task, image_trial(), device), rtol=1e-3)
    assert recorded == [4 - device.graph_steps, 4 - device.graph_steps]
