"""Training loops of a user's, as these tests tune them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from factories import CPU
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import hptune
import hptune.api.results
from hptune.api.loop import LoopTask
from hptune.results.records import Trial as TrialRecord
from hptune.results.records import TrialResult
from hptune.results.settings import PolicySpec, TrainingSettings
from hptune.training.trial_run import Job

PER_EPOCH = 10  # of blobs(), at the batch size
BATCH_SIZE = 16


def blobs(seed: int = 0, examples: int = 160) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points of two classes that overlap a little."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(examples) % 2
    return torch.randn(examples, 4, generator=generator) + 1.5 * y[:, None], y


X, Y = blobs()
X_VAL, Y_VAL = blobs(1)


def net(width: int = 8, dropout: float = 0.0) -> nn.Module:
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 2))


def loader(trial: hptune.Trial, parts: int = 1) -> DataLoader[Any]:
    return DataLoader(TensorDataset(X, Y), trial.batch_size // parts, shuffle=True, drop_last=True)


def read(trial: hptune.Trial, model: nn.Module) -> None:
    """Log what the validation set gives."""
    model.eval()
    with torch.no_grad():
        outputs = model(X_VAL)
    model.train()
    loss = nn.functional.cross_entropy(outputs, Y_VAL)
    trial.log(val_loss=loss, val_accuracy=(outputs.argmax(1) == Y_VAL).float().mean())


def train(trial: hptune.Trial) -> None:
    """The usual loop: SGD on a small net, with a state that it keeps."""
    model = net(trial.args.get("width", 8), dropout=0.2)
    optimizer = torch.optim.SGD(model.parameters(), lr=trial.lr, momentum=0.9, nesterov=True)
    schedule = trial.schedule(optimizer)
    trial.load(model=model, optimizer=optimizer)
    for x, y in trial.batches(loader(trial)):
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        trial.log(train_loss=loss)
        if trial.evaluate_now:
            read(trial, model)
            trial.save(model=model, optimizer=optimizer)


def trial_of(
    made: LoopTask, *, iterations: int = 20, lr: float = 0.1, **changes: Any
) -> TrialRecord:
    """Return a run of a loop under 1cycle."""
    values = {
        "task": made.fingerprint,
        "lr_min": lr / 10,
        "momentum": 0.95,
        "momentum_min": 0.85,
        "weight_decay": 1e-3,
        "policy": PolicySpec(name="1cycle"),
        "settings": TrainingSettings(evaluations=4),
    }
    return TrialRecord(
        stage="train",
        seed=0,
        iterations=iterations,
        batch_size=BATCH_SIZE,
        lr=lr,
        **(values | changes),
    )


def run(
    function: Callable[[hptune.Trial], Any],
    *,
    snapshot: Path | None = None,
    until: int | None = None,
    **changes: Any,
) -> TrialResult:
    """Run a function as one trial, without a run directory."""
    task = LoopTask(function, iterations_per_epoch=PER_EPOCH, batch_size=BATCH_SIZE)
    job = Job(trial_of(task, **changes), snapshot=snapshot, until=until)
    return task.loop.run(task, job, CPU)


def tune(function: Callable[[hptune.Trial], Any], **options: Any) -> hptune.api.results.Tuned:
    """Tune a function as quickly as that goes."""
    given = {"iterations_per_epoch": PER_EPOCH, "batch_size": BATCH_SIZE, "epochs": 5, "seeds": 1}
    given |= {"progress": False, "device": "cpu", **options}
    settings = {
        "procedure.trial_epochs": 2,
        "procedure.lr_range.epochs": 4,
        "training.evaluations": 4,
    }
    return hptune.tune(function, **given | {"settings": settings | options.get("settings", {})})
