"""The ground truth: full 1cycle runs at a grid of LRs, with hptune's first values for the rest.

The grid has steps of 1.5 within three steps of the best LR, and of 2.25 farther out, where only the
shape of the curve is asked for. It is extended until the best has two worse neighbours on both sides.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from itertools import pairwise
from tempfile import TemporaryDirectory

import torch

import hptune
from hptune.errors import StageError
from hptune.procedure.defaults import decay_scale
from hptune.training.device import seeded
from scripts.quality import store
from scripts.quality.problems import PROBLEMS

STEP = 1.5
NEAR = 3  # steps of the best within which every one is run
MOMENTUM, MOMENTUM_MIN = 0.95, 0.85
MOST = 40  # steps that a grid is extended to
# Ends of the grid of an optimizer that is not a problem's own, before it is extended.
LR = {"sgd": (3e-3, 1.0), "adamw": (3e-4, 0.03), "nadamw": (3e-4, 0.03)}


def run_grid(name: str, seeds: int | None = None, optimizer: str | None = None) -> None:
    """Train what is missing of a problem's grid.

    Args:
        name: Of the problem.
        seeds: The first so many; None takes the problem's own number.
        optimizer: In the place of the problem's own.
    """
    problem = PROBLEMS[name]
    seeds, optimizer = seeds or problem.seeds, optimizer or problem.optimizer
    for seed in range(seeds):
        if not store.has("grid", problem=name, optimizer=optimizer, lr=0.0, seed=seed):
            store.add("grid", _untrained(name, optimizer, seed))
    ends = problem.lr if optimizer == problem.optimizer else LR[optimizer]
    low, high = (round(math.log(lr, STEP)) for lr in ends)
    steps = set(range(low, high + 1, 2))
    for _ in range(MOST):
        for seed in range(seeds):
            for step in sorted(steps):
                lr = float(f"{STEP**step:.3g}")
                if not store.has("grid", problem=name, optimizer=optimizer, lr=lr, seed=seed):
                    row = trained(name, lr, seed, optimizer=optimizer)
                    store.add("grid", row)
                    print(*list(row.values())[:5], row["seconds"], flush=True)
        curve = grid_curve(name, optimizer=optimizer)
        best = round(math.log(curve.best_lr, STEP))
        around = set(range(best - NEAR, best + NEAR + 1))
        if around <= steps:
            return
        steps |= around


@dataclass(frozen=True)
class GridCurve:
    """The mean final validation loss by LR; a run that broke or rose counts as untrained.

    Attributes:
        lr: Rising.
        loss: At each LR.
        start: The untrained loss.
    """

    lr: list[float]
    loss: list[float]
    start: float

    @property
    def best_lr(self) -> float:
        """The LR of the lowest mean loss."""
        return self.lr[self.loss.index(min(self.loss))]

    def at(self, lr: float) -> float:
        """Return the loss at an LR, interpolated in log LR; that of the nearest end outside."""
        lr = min(max(lr, self.lr[0]), self.lr[-1])
        for (a, at_a), (b, at_b) in pairwise(zip(self.lr, self.loss, strict=True)):
            if a <= lr <= b:
                share = math.log(lr / a) / math.log(b / a)
                return at_a + share * (at_b - at_a)
        raise AssertionError("the LR lies within the grid")

    def lost(self, loss: float) -> float:
        """Return how much worse a loss is than the grid's best, over the fall to it."""
        return (min(loss, self.start) - min(self.loss)) / (self.start - min(self.loss))


def grid_curve(
    name: str, seeds: tuple[int, ...] | None = None, optimizer: str | None = None
) -> GridCurve:
    """Return the stored grid of a problem.

    Args:
        name: Of the problem.
        seeds: Over which to take the mean; None takes all.
        optimizer: In the place of the problem's own.
    """
    optimizer = optimizer or PROBLEMS[name].optimizer
    rows = store.chosen(store.read("grid"), problem=name, optimizer=optimizer)
    rows = [row for row in rows if seeds is None or int(row["seed"]) in seeds]
    starts = {row["seed"]: float(row["val_loss"]) for row in rows if float(row["lr"]) == 0}
    losses: dict[float, list[float]] = {}
    for row in rows:
        if float(row["lr"]) > 0:
            loss = min(store.number(row["val_loss"]), starts[row["seed"]])
            losses.setdefault(float(row["lr"]), []).append(loss)
    lrs = sorted(lr for lr, values in losses.items() if len(values) == len(starts))
    means = [statistics.mean(losses[lr]) for lr in lrs]
    return GridCurve(lrs, means, statistics.mean(starts.values()))


def trained(
    name: str,
    lr: float,
    seed: int,
    length: float = 1.0,
    optimizer: str | None = None,
    batch_size: int | None = None,
) -> store.Row:
    """Train at an LR by `hptune.train`, as the final run does, and return a row.

    Args:
        name: Of the problem.
        lr, seed: Of the run; the seed is the split's too.
        length: Over the final run's.
        optimizer, batch_size: In the place of the problem's own.
    """
    problem = PROBLEMS[name]
    task, optimizer = problem.make(seed), optimizer or problem.optimizer
    row = {"problem": name, "optimizer": optimizer, "lr": lr, "seed": seed}
    # What is useful of it for another optimizer, as hptune scales it.
    decay = problem.weight_decay * decay_scale(optimizer) / decay_scale(problem.optimizer)
    with TemporaryDirectory() as folder:
        try:
            trained = hptune.train(
                task, lr=lr, momentum=MOMENTUM, momentum_min=MOMENTUM_MIN,
                weight_decay=decay, batch_size=batch_size or problem.batch_size,
                epochs=problem.epochs * length, seed=seed, optimizer=optimizer, precision="fp32",
                device="cpu", progress=False, out=folder, settings={"training.evaluations": 1},
            )  # fmt: skip
        except StageError:  # it diverged
            return {**row, "val_loss": "", "test_loss": "", "test_accuracy": "", "seconds": ""}
    (result,) = trained.results
    return {
        **row,
        "val_loss": result.val_loss,
        "test_loss": result.test_loss,
        "test_accuracy": result.test_metrics.get("accuracy", ""),
        "seconds": round(result.seconds, 2),
    }


def _untrained(name: str, optimizer: str, seed: int) -> store.Row:
    """Return the loss of an untrained net, or of guessing where that is lower.

    In training mode: the running averages of an untrained BatchNorm say nothing of its data.
    """
    problem = PROBLEMS[name]
    task = problem.make(seed)
    with seeded(seed, torch.device("cpu")), torch.no_grad():
        model = task.make_model()
        losses = [
            float(task.step(model, b)[0]) for b in task.validation.batches(problem.batch_size)
        ]
    loss = min(statistics.mean(losses), problem.guess)
    row = {"problem": name, "optimizer": optimizer, "lr": 0.0, "seed": seed, "val_loss": loss}
    return {**row, "test_loss": "", "test_accuracy": "", "seconds": ""}
