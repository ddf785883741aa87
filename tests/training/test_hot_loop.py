"""What an iteration must not do, and in which layout and mode it computes: where the speed is from."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from hptune import models
from hptune.data.sources.memory import TensorSource
from hptune.data.sources.normalize import Normalize
from hptune.results.records import Trial
from hptune.results.settings import OptimizerSpec, TrainingSettings
from hptune.stages import TRAIN
from hptune.step import LossOf
from hptune.task import Accuracy, MetricSpec, Task
from hptune.training.device import Device, resolve_device
from hptune.training.evaluation import EVALUATION_BATCH
from hptune.training.loop import BLOCK, TrialRun, run_trial

CPU = Device(torch.device("cpu"))
# Operations that hand a value to Python, which waits for the device.
READING = {"aten::_local_scalar_dense", "aten::item", "aten::equal", "aten::is_nonzero"}


class Counted(TorchDispatchMode):
    """Counts operations by name."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.name().split(".")[0])
        return func(*args, **(kwargs or {}))


def make_task(examples: int = 64) -> Task:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (examples, 3, 8, 8), generator=generator, dtype=torch.uint8)
    y = torch.randint(0, 4, (examples,), generator=generator)
    normalize = Normalize(torch.tensor(1 / 255), torch.tensor(-0.5))
    return Task(
        make_model=lambda: models.build("resnet-8", {}, input_shape=(3, 8, 8), outputs=4),
        train=TensorSource(x, y, normalize=normalize),
        validation=TensorSource(x, y, normalize=normalize),
        step=LossOf(nn.functional.cross_entropy),
        metrics={"accuracy": MetricSpec(Accuracy)},
        classes=4,
        fingerprint="t",
    )


def make_trial(**changes: Any) -> Trial:
    values: dict[str, Any] = {
        "stage": TRAIN, "task": "t", "seed": 1, "iterations": 8, "batch_size": 8, "lr": 0.01,
        "momentum": 0.9, "weight_decay": 1e-4, "settings": TrainingSettings(evaluations=1),
    }  # fmt: skip
    return Trial(**(values | changes))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_an_iteration_reads_nothing_from_the_device(optimizer: str, clip_norm: float | None):
    settings = TrainingSettings(evaluations=1, clip_norm=clip_norm)
    trial = make_trial(optimizer=OptimizerSpec(name=optimizer), settings=settings)
    run = TrialRun(make_task(), trial, CPU)
    batches = run.batches()
    run.begin()
    with Counted() as counted:
        for iteration in range(trial.iterations):
            run.optimizer.set(float(run.schedule.lr[iteration]), 0.9)
            run.step(batches)
    assert "aten::convolution_backward" in counted.names
    # Dropping gradients zeroes nothing, and the update is one kernel for all parameters.
    assert "aten::zero_" not in counted.names
    assert f"aten::_fused_{optimizer}_" in counted.names
    assert not READING & set(counted.names)


def test_losses_are_read_a_block_at_a_time():
    iterations = 2 * BLOCK + 10
    with Counted() as counted:
        run_trial(make_task(), make_trial(iterations=iterations), CPU)
    assert counted.names.count("aten::convolution_backward") >= iterations
    reads = sum(name in READING for name in counted.names)
    assert reads < iterations / 4  # seeds, the evaluation at the end, and no iteration's own


def test_convolutions_run_channels_last():
    run = TrialRun(make_task(), make_trial(), CPU)
    inputs, _ = next(run.batches())
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    seen: list[bool] = []
    for module in run.model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.shape[2] > 1:
            assert module.weight.is_contiguous(memory_format=torch.channels_last)
            module.register_forward_hook(
                lambda _m, _i, out: seen.append(
                    out.is_contiguous(memory_format=torch.channels_last)
                )
            )
    run.model(inputs)
    assert len(seen) > 3 and all(seen)


def test_validation_builds_no_graph_and_reads_large_batches(monkeypatch: pytest.MonkeyPatch):
    task = make_task(examples=3000)
    sizes: list[int] = []

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled():
            assert not outputs.requires_grad
            sizes.append(len(outputs))
        return nn.functional.cross_entropy(outputs, targets)

    run_trial(task.change(step=LossOf(loss)), make_trial(iterations=1, batch_size=512), CPU)
    assert sizes == [EVALUATION_BATCH, EVALUATION_BATCH, 3000 - 2 * EVALUATION_BATCH]


@pytest.mark.parametrize("graph_from_iteration", [None, 0])
def test_a_run_that_is_done_leaves_its_memory_at_once(graph_from_iteration: int | None):
    device = Device(torch.device("cpu"), graph_from_iteration=graph_from_iteration)
    run = TrialRun(make_task(), make_trial(), device)
    run.train(None, None)
    model = weakref.ref(run.model)
    gc.disable()
    try:
        del run
        assert model() is None
    finally:
        gc.enable()


@pytest.mark.gpu
@pytest.mark.parametrize("graph_from_iteration", [None, 0])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_loop_does_not_wait_for_the_gpu(optimizer: str, graph_from_iteration: int | None):
    trial = make_trial(optimizer=OptimizerSpec(name=optimizer), iterations=BLOCK)
    device = replace(
        resolve_device("cuda"), graph_from_iteration=graph_from_iteration, needs_probe=False
    )
    run = TrialRun(make_task(examples=1024), trial, device)
    batches = run.batches()
    run.begin()
    for _ in range(3):  # the first iterations choose kernels, and lay the epoch out
        run.step(batches)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        losses = [run.step(batches) for _ in range(20)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.stack(losses).isfinite().all()
