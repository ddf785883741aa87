"""Tasks, trials and jobs that the tests of training and of executors share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hptune import models
from hptune.data.sources.memory import TensorSource
from hptune.data.sources.normalize import Normalize
from hptune.results.records import Curve, Status, Trial, TrialResult
from hptune.results.settings import TrainingSettings
from hptune.stages import SWEEP, TRAIN
from hptune.step import LossOf
from hptune.task import Accuracy, MetricSpec, Task
from hptune.training.device import Device
from hptune.training.loop import run_trial
from hptune.training.trial_run import Job

CPU = Device(torch.device("cpu"))


def task_of(
    make_model: Any, x: torch.Tensor, y: torch.Tensor, *, train: int, **fields: Any
) -> Task:
    """A classification of examples, of which the first `train` are for training."""
    normalize = fields.pop("normalize", None)
    values = {
        "train": TensorSource(x[:train], y[:train], normalize=normalize),
        "validation": TensorSource(x[train:], y[train:], normalize=normalize),
        "step": LossOf(nn.functional.cross_entropy),
        "metrics": {"accuracy": MetricSpec(Accuracy)},
        "classes": int(y.max()) + 1,
        "fingerprint": "t",
    }
    return Task(make_model=make_model, **(values | fields))


def mlp_task(dropout: float = 0.2, *, norm: bool = True, **fields: Any) -> Task:
    """Three classes by the signs of two of six numbers, which a small net learns in 40 iterations."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(96, 6, generator=generator)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()

    def make_model() -> nn.Module:
        normalized = [nn.BatchNorm1d(16)] if norm else []
        return nn.Sequential(
            nn.Linear(6, 16), *normalized, nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3)
        )

    splits = {"validation": TensorSource(x[64:80], y[64:80]), "test": TensorSource(x[80:], y[80:])}
    return task_of(make_model, x, y, train=64, **(splits | fields))


def mlp_trial(**changes: Any) -> Trial:
    """A trial of `mlp_task`."""
    values: dict[str, Any] = {
        "stage": TRAIN, "task": "t", "seed": 3, "iterations": 40, "batch_size": 16, "lr": 0.1,
        "lr_min": 0.01, "momentum": 0.95, "momentum_min": 0.85, "weight_decay": 1e-3,
        "settings": TrainingSettings(evaluations=8),
    }  # fmt: skip
    return Trial(**(values | changes))


def image_task(examples: int = 64, **fields: Any) -> Task:
    """Random small images for a ResNet, the same ones for training and validation."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (examples, 3, 8, 8), generator=generator, dtype=torch.uint8)
    y = torch.randint(0, 4, (examples,), generator=generator)
    normalize = Normalize(torch.tensor(1 / 255), torch.tensor(-0.5))
    fields = {"validation": TensorSource(x, y, normalize=normalize)} | fields
    fields = {
        "make_model": lambda: models.build("resnet-8", {}, input_shape=(3, 8, 8), outputs=4)
    } | fields
    return task_of(fields.pop("make_model"), x, y, train=examples, normalize=normalize, **fields)


def image_trial(**changes: Any) -> Trial:
    """A trial of `image_task`, of eight iterations."""
    values: dict[str, Any] = {
        "stage": TRAIN, "task": "t", "seed": 1, "iterations": 8, "batch_size": 8, "lr": 0.01,
        "momentum": 0.9, "weight_decay": 1e-4, "settings": TrainingSettings(evaluations=1),
    }  # fmt: skip
    return Trial(**(values | changes))


NET_TRIAL = Trial(
    stage=SWEEP, task="t", seed=1, iterations=6, batch_size=8, lr=0.05, lr_min=0.005,
    momentum=0.95, momentum_min=0.85, weight_decay=1e-3, settings=TrainingSettings(evaluations=2),
)  # fmt: skip


def net_task(net: str = "mlp", **fields: Any) -> Task:
    """Random images of 16 by 16 for any bundled net; with dropout where the net has it."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(32, 3, 16, 16, generator=generator)
    y = torch.randint(3, (32,), generator=generator)
    args = {"dropout": 0.2} if net.startswith(("mlp", "densenet")) else {}
    make_model = fields.pop(
        "make_model", lambda: models.build(net, args, input_shape=(3, 16, 16), outputs=3)
    )
    return task_of(make_model, x, y, train=16, **fields)


def candidates(count: int = 3) -> list[Trial]:
    """Trials of `net_task` that differ in their LR."""
    return [NET_TRIAL.change(lr=0.01 * (n + 1), lr_min=0.001) for n in range(count)]


def jobs_in(folder: Path, trials: list[Trial]) -> list[Job]:
    return [Job(trial, snapshot=folder / f"{trial.id}.pt") for trial in trials]


class Deaf:
    """Listens to an executor, and does nothing about it."""

    def started(self, job: Job) -> None: ...

    def progressed(self, job: Job, trial_progress: Any) -> None: ...

    def message(self, text: str) -> None: ...


def results_of(executor: Any, task: Task, jobs: list[Job]) -> dict[str, TrialResult]:
    return {job.trial.id: result for job, result in executor.run(task, jobs, Deaf())}


def trained(task: Task, trial: Trial, device: Device = CPU, **files: Any) -> TrialResult:
    result = run_trial(task, Job(trial, **files), device)
    assert result.status is not Status.FAILED, result.message
    return result


def same_curve(a: Curve, b: Curve) -> bool:
    names = ("iteration", "epoch", "lr", "momentum", "weight_decay", "train_loss", "val_loss")
    same = all(np.array_equal(getattr(a, n), getattr(b, n), equal_nan=True) for n in names)
    return same and all(
        np.array_equal(a.metrics[n], b.metrics[n], equal_nan=True) for n in a.metrics
    )
