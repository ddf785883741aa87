"""Evaluation over a split, batches of any structure, and the check before any trial."""

from __future__ import annotations

import pytest
import torch
from factories import CPU, mlp_task, mlp_trial, trained
from torch import nn

from hptune.data.sources.memory import TensorSource
from hptune.errors import InputError
from hptune.results.settings import OptimizerSpec
from hptune.step import LossOf
from hptune.task import Accuracy, MetricSpec, Task
from hptune.training.check_batch import check_batch
from hptune.training.device import resolve_device
from hptune.training.evaluation import batch_size_of, evaluate


def make_task(outputs: int = 3) -> Task:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(50, 4, generator=generator), torch.arange(50) % 3
    source = TensorSource(x, y)
    return Task(
        make_model=lambda: nn.Sequential(
            nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout(), nn.Linear(5, outputs)
        ),
        train=source,
        validation=source,
        step=LossOf(nn.functional.cross_entropy),
        metrics={"accuracy": MetricSpec(Accuracy)},
        classes=3,
    )


@pytest.mark.parametrize("batch_size", [1, 7, 50, 1000])
def test_loss_and_accuracy_do_not_depend_on_the_batch_size(batch_size: int):
    task = make_task()
    torch.manual_seed(0)
    model = task.make_model()
    source = task.validation
    assert isinstance(source, TensorSource)
    found = evaluate(task, model, source, CPU, batch_size=batch_size)
    model.eval()
    with torch.no_grad():
        logits = model(source.inputs)
    assert found.loss == pytest.approx(
        nn.functional.cross_entropy(logits, source.targets).item(), rel=1e-5
    )
    assert found.metrics["accuracy"] == pytest.approx(
        (logits.argmax(1) == source.targets).float().mean().item()
    )


def test_evaluation_leaves_buffers_and_mode_as_they_were():
    task = make_task()
    model = task.make_model().train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    evaluate(task, model, task.validation, CPU)
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_limit_reads_no_more_than_it_says():
    task = make_task()
    torch.manual_seed(0)
    model = task.make_model()
    source = task.validation
    first = TensorSource(source.inputs[:20], source.targets[:20])  # type: ignore[attr-defined]
    limited = evaluate(task, model, source, CPU, limit=20)
    assert limited.loss == pytest.approx(evaluate(task, model, first, CPU).loss)


def test_batches_of_any_structure_have_a_size():
    x = torch.zeros(6, 2)
    assert batch_size_of(x) == batch_size_of((x, x)) == batch_size_of({"a": [x], "b": 1}) == 6


def test_the_check_finds_shapes_parameters_and_depth():
    found = check_batch(
        make_task(), CPU, batch_size=10, optimizer=OptimizerSpec(name="sgd"), seed=0
    )
    assert (found.parameters, found.weight_layers) == (25 + 10 + 18, 2)
    assert (found.input_shape, found.output_shape) == ((10, 4), (10, 3))


@pytest.mark.parametrize("outputs", [1, 2, 4])
def test_the_check_refuses_outputs_that_do_not_fit_the_classes(outputs: int):
    with pytest.raises(InputError, match="for 3 classes"):
        check_batch(
            make_task(outputs), CPU, batch_size=10, optimizer=OptimizerSpec(name="sgd"), seed=0
        )


def test_devices_by_name():
    assert resolve_device("cpu").torch_device == torch.device("cpu")
    assert resolve_device("cpu", "bf16").dtype is torch.bfloat16
    for name in ("tpu", "xla", "cuda:77"):
        with pytest.raises(InputError, match="--device"):
            resolve_device(name)


@pytest.mark.gpu
def test_a_trial_on_cuda_learns_and_resumes_nothing_it_should_not():
    device = resolve_device("cuda")
    first = trained(mlp_task(), mlp_trial(), device)
    second = trained(mlp_task(), mlp_trial(), device)
    assert first.val_loss is not None and second.val_loss is not None
    assert first.val_loss < first.curve.train_loss[0]
    assert first.val_loss == pytest.approx(second.val_loss, rel=1e-2)
