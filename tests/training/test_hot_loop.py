"""What an iteration must not do, and in which layout and mode it computes: where the speed is from."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import pytest
import torch
from factories import CPU, image_task, image_trial, trained
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from hptune.results.settings import OptimizerSpec, TrainingSettings
from hptune.step import LossOf, PassesOver
from hptune.training.device import Device, resolve_device
from hptune.training.evaluation import EVALUATION_BATCH
from hptune.training.loop import BLOCK, Lanes, batches_from
from hptune.training.trial_run import Job, TrialRun

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


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize("ignored", [None, 0])
def test_an_iteration_reads_nothing_from_the_device(
    optimizer: str, clip_norm: float | None, ignored: int | None
):
    methods = {"average": "ema", "sam": 0.1, "gradient_noise": {"eta": 0.1}} if clip_norm else {}
    settings = TrainingSettings(evaluations=1, clip_norm=clip_norm, **methods)
    trial = image_trial(optimizer=OptimizerSpec(name=optimizer), settings=settings)
    task = image_task()
    if ignored is not None:
        task = task.change(step=PassesOver(task.step, ignored), ignored=ignored)
    run = TrialRun(task, Job(trial), CPU)
    lanes = Lanes([run])
    with Counted() as counted:
        for iteration in range(trial.iterations):
            run.optimizer.set(*run.rates[iteration])
            lanes.step()
    assert "aten::convolution_backward" in counted.names
    # Dropping gradients zeroes nothing, and the update is one kernel for all parameters.
    assert "aten::zero_" not in counted.names
    assert f"aten::_fused_{optimizer}_" in counted.names
    assert not READING & set(counted.names)


def test_losses_are_read_a_block_at_a_time():
    iterations = 2 * BLOCK + 10
    with Counted() as counted:
        trained(image_task(), image_trial(iterations=iterations), CPU)
    assert counted.names.count("aten::convolution_backward") >= iterations
    reads = sum(name in READING for name in counted.names)
    assert reads < iterations / 4  # seeds, the evaluation at the end, and no iteration's own


def test_convolutions_run_channels_last():
    run = TrialRun(image_task(), Job(image_trial()), CPU)
    inputs, _ = next(batches_from(run.train_data, run.trial, 0))
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
    task = image_task(examples=3000)
    sizes: list[int] = []

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled():
            assert not outputs.requires_grad
            sizes.append(len(outputs))
        return nn.functional.cross_entropy(outputs, targets)

    trained(task.change(step=LossOf(loss)), image_trial(iterations=1, batch_size=512), CPU)
    assert sizes == [EVALUATION_BATCH, EVALUATION_BATCH, 3000 - 2 * EVALUATION_BATCH]


@pytest.mark.parametrize("graph_from_iteration", [None, 0])
def test_a_run_that_is_done_leaves_its_memory_at_once(graph_from_iteration: int | None):
    device = Device(torch.device("cpu"), graph_from_iteration=graph_from_iteration)
    (run,) = Lanes([TrialRun(image_task(), Job(image_trial()), device)]).train()
    model = weakref.ref(run.model)
    gc.disable()
    try:
        del run
        assert model() is None
    finally:
        gc.enable()


@pytest.mark.gpu
@pytest.mark.parametrize(
    "graph", [{}, {"graph_from_iteration": 0}, {"graph_from_iteration": 0, "graph_steps": True}]
)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_loop_does_not_wait_for_the_gpu(optimizer: str, graph: dict[str, Any]):
    trial = image_trial(optimizer=OptimizerSpec(name=optimizer), iterations=BLOCK)
    device = replace(resolve_device("cuda"), **graph, needs_probe=False)
    lanes = Lanes([TrialRun(image_task(examples=1024), Job(trial), device)])
    for _ in range(3):  # the first iterations choose kernels, and lay the epoch out
        lanes.step()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        losses = [lanes.step() for _ in range(20)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.stack(losses).isfinite().all()
