"""Whether a training loop of one's own is tuned as the Task of the same problem is, seed by seed.

Usage: scripts/quality/own_loop.py [--seeds 5] [--epochs 10]

Three ways to the bundled digits: a Task; a function that trains by the Task's own batches and weights;
and one as a user writes it, with a DataLoader. Shown are what each decides, and its test error.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import hptune

BATCH_SIZE = 64
COLUMNS = ("lr", "momentum", "weight_decay", "batch_size")


def net() -> nn.Module:
    """Return the net, fresh."""
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def splits() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return training, validation and test data."""
    x, y = load_digits(return_X_y=True)
    pixels, digits = torch.tensor(x / 16).float(), torch.tensor(y)
    ends = ((0, 1200), (1200, 1500), (1500, len(y)))
    return [(pixels[a:b], digits[a:b]) for a, b in ends]


def loop(task: hptune.Task, *, as_task: bool) -> Callable[[hptune.Trial], None]:
    """Return a training loop for the problem of a task.

    Args:
        task: Whose batches it may take.
        as_task: Whether it does.
    """
    train, validation, test = splits()

    def own(trial: hptune.Trial) -> Any:
        epoch, skip = divmod(trial.iteration, trial.iterations_per_epoch)  # it has begun
        while True:
            yield from task.train.batches(trial.batch_size, seed=trial.seed, epoch=epoch, skip=skip)
            epoch, skip = epoch + 1, 0

    def read(model: nn.Module, data: tuple[torch.Tensor, torch.Tensor]) -> tuple[Any, Any]:
        with torch.no_grad():
            outputs = model(data[0])
        accuracy = (outputs.argmax(1) == data[1]).float().mean()
        return cross_entropy(outputs, data[1]), accuracy

    def run(trial: hptune.Trial) -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=trial.lr, momentum=0.9, nesterov=True)
        schedule = trial.schedule(optimizer)
        trial.load(model=model, optimizer=optimizer)
        if as_task:
            batches = (batch for _, batch in zip(trial, own(trial), strict=False))
        else:
            data = TensorDataset(*train)
            batches = trial.batches(
                DataLoader(data, trial.batch_size, shuffle=True, drop_last=True)
            )
        for x, y in batches:
            loss = cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            trial.log(train_loss=loss)
            if trial.evaluate_now:
                most = trial.evaluate_limit
                loss, accuracy = read(model, (validation[0][:most], validation[1][:most]))
                trial.log(val_loss=loss, val_accuracy=accuracy)
                trial.save(model=model, optimizer=optimizer)
        if trial.test_now:
            loss, accuracy = read(model, test)
            trial.log(test_loss=loss, test_accuracy=accuracy)

    return run


def main() -> None:
    """Tune, and print a line a seed and way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=float, default=10)
    args = parser.parse_args()
    torch.set_num_threads(1)
    train, validation, test = splits()
    task = hptune.Task(net, train=train, validation=validation, test=test)
    how: dict[str, Any] = {"epochs": args.epochs, "batch_size": BATCH_SIZE, "device": "cpu"}
    how |= {"progress": False, "optimizer": "sgd", "precision": "fp32"}
    steps = {
        "iterations_per_epoch": len(train[1]) // BATCH_SIZE,
        "validation_examples": len(validation[1]),
    }
    ways: dict[str, tuple[Any, dict[str, Any]]] = {
        "Task": (task, {}),
        "its batches": (loop(task, as_task=True), steps),
        "a DataLoader": (loop(task, as_task=False), steps),
    }
    print(f"{'seed':>4}  {'way':<14}" + "".join(f"{name:>14}" for name in (*COLUMNS, "test error")))
    for seed in range(args.seeds):
        for name, (problem, more) in ways.items():
            tuned = hptune.tune(problem, seed=seed, **how, **more)
            values = [getattr(tuned, column) for column in COLUMNS]
            values.append(1 - tuned.metrics["test_accuracy"])
            cells = "".join(f"{value:>14.4g}" for value in values)
            print(f"{seed:>4}  {name:<14}{cells}", flush=True)


if __name__ == "__main__":
    main()
