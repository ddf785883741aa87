"""Trains every point of a case's grid and stores what came of it, once for all comparisons.

Usage: python -m scripts.quality.grid CASE [CASE ...] [--splits 10] [--jobs 2] [--best]

With --best, only the point that is best over the splits that are there is trained on the others.
One CSV a case in scripts/quality/results/; points that are there are not trained again.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import statistics
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from hptune.config.build import build_task
from hptune.results.records import Trial
from hptune.results.run_dir import RunDir
from hptune.stages import FINAL
from hptune.task import Task
from hptune.training.device import resolve_device
from hptune.training.lengths import iterations_per_epoch
from hptune.trials.progress import Silent
from hptune.trials.run import Runner
from scripts.quality.cases import CASES, experiment

RESULTS = Path(__file__).parent / "results"
COLUMNS = (
    *("split", "lr", "momentum", "weight_decay", "batch_size", "epochs", "status"),
    *("val_loss", "val_accuracy", "test_accuracy"),
)
AXES = ("lr", "momentum", "weight_decay", "batch_size")
MOMENTUM_MIN = 0.85


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="+", choices=list(CASES))
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--best", action="store_true")
    args = parser.parse_args()
    for name in args.cases:
        experiment(name, 0)  # writes the case's table before there are several processes
        path = RESULTS / f"grid-{name}.csv"
        done = {_key(row) for row in read(path)}
        points = [best_point(read(path))] if args.best else CASES[name].grid()
        todo = [{"split": split, **point} for split in range(args.splits) for point in points]
        todo = [row for row in todo if _key(row) not in done]
        print(f"{name}: {len(done)} points there, {len(todo)} to train", flush=True)
        with ProcessPoolExecutor(args.jobs, initializer=_one_thread) as pool:
            for row in pool.map(partial(_train, name), todo, chunksize=4):
                _append(path, row)


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a stored grid."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def best_point(rows: list[dict[str, str]]) -> dict[str, float]:
    """Return the point of the lowest mean validation loss over the splits that have them all."""
    losses: dict[tuple[float, ...], list[float]] = {}
    for row in rows:
        loss = float(row["val_loss"] or "inf") if row["status"] == "complete" else math.inf
        losses.setdefault(tuple(float(row[axis]) for axis in AXES), []).append(loss)
    fewest = min(len(values) for values in losses.values())
    best = min(losses, key=lambda point: statistics.mean(losses[point][:fewest]))
    return dict(zip(AXES, best, strict=True))


def _key(row: dict[str, object]) -> tuple[float, ...]:
    return tuple(float(str(row[name])) for name in ("split", *AXES))


def _append(path: Path, row: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow(row)


def _one_thread() -> None:
    torch.set_num_threads(1)
    os.nice(15)  # whoever waits at the terminal comes first


@lru_cache(maxsize=1)
def _task(name: str, split: int) -> Task:
    return build_task(experiment(name, split))


def _train(name: str, row: dict[str, float]) -> dict[str, object]:
    split, batch_size = int(row["split"]), int(row["batch_size"])
    task, settings = _task(name, split), experiment(name, split)
    epochs = settings.training.epochs
    trial = Trial(
        stage=FINAL,
        task=task.fingerprint,
        seed=split,
        iterations=round(epochs * iterations_per_epoch(len(task.train), batch_size)),
        batch_size=batch_size,
        lr=row["lr"],
        lr_min=row["lr"] / 10,
        momentum=row["momentum"],
        momentum_min=MOMENTUM_MIN,
        weight_decay=row["weight_decay"],
        policy=settings.policy,
        optimizer=settings.optimizer,
        settings=settings.training.settings().change(evaluations=1),
    )
    with TemporaryDirectory() as folder, RunDir.open(Path(folder)) as run_dir:
        runner = Runner(task, run_dir, resolve_device("cpu", "fp32"), Silent())
        (result,) = runner.read_test(runner.run([trial]))
    return {
        **row,
        "split": split,
        "batch_size": batch_size,
        "epochs": epochs,
        "status": str(result.status),
        "val_loss": result.val_loss,
        "val_accuracy": result.val_metrics["accuracy"],
        "test_accuracy": result.test_metrics["accuracy"],
    }


if __name__ == "__main__":
    main()
