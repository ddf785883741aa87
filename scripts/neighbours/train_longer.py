"""Train longer: large batches with as many updates, the square root of the LR and ghost batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import sub
from typing import TYPE_CHECKING, Any

import numpy as np

import hptune
from hptune.landscape.steps import retrace
from hptune.report.plots.style import BLUE, GREEN, GREY, ORANGE
from hptune.training.device import resolve_device
from scripts.neighbours.curves import draw_curves, draw_seeds
from scripts.neighbours.experiment import Cell, Claim, Experiment, Place, Row, paired
from scripts.neighbours.problems import ConvNet, photos

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LR, MOMENTUM = 0.02, 0.9
RUNS = ("small", "large", "with sqrt LR", "with ghosts", "longer")
COLORS = (BLUE, ORANGE, GREY, GREY, GREEN)
EVERY = 10  # iterations of which one is measured
POINTS = 12  # that distances are kept at, evenly in log t


def cells(long: bool) -> Iterator[Cell]:
    """Yield the seeds; a run of each kind is made in each."""
    train, side, small = (20_000, 32, 64) if long else (500, 8, 10)
    for seed in range(3):
        yield {
            "seed": seed, "examples": train, "side": side, "small": small, "large": train // 4,
            "epochs": 20,
        }  # fmt: skip


def run(cell: Cell, place: Place) -> Row:
    """Train by small batches, by large ones with one thing more each time, and at last for longer."""
    splits = photos(cell["examples"], cell["side"])
    task = hptune.Task(partial(ConvNet, cell["side"]), **splits)
    ratio = cell["large"] / cell["small"]
    scaled = {"batch_size": cell["large"], "lr": LR * math.sqrt(ratio)}
    ghosts = {"settings": {"model.ghost_batch": cell["small"]}}
    how: dict[str, dict[str, Any]] = {
        "small": {"batch_size": cell["small"], "lr": LR},
        "large": {"batch_size": cell["large"], "lr": LR},
        "with sqrt LR": scaled,
        "with ghosts": scaled | ghosts,
        "longer": scaled | ghosts | {"epochs": cell["epochs"] * ratio},
    }
    common = {"epochs": cell["epochs"], "optimizer": "sgd", "momentum": MOMENTUM}
    trained = {
        name: place.train(task, name.replace(" ", "-"), seed=cell["seed"], **common | options)
        for name, options in how.items()
    }
    # The walk is with the constant LR of the first part of training.
    steps = retrace(
        task, trained["small"].trial, resolve_device(place.device, "fp32"), every=EVERY, between=1
    ).walk.rows
    t = np.array([row["iteration"] + 1 for row in steps], float)
    distance = np.array([row["distance"] for row in steps])
    kept = sorted({int(np.abs(t - at).argmin()) for at in np.geomspace(t[0], t[-1], POINTS)})
    return {
        "test_accuracy": [trained[name].metrics["test_accuracy"] for name in RUNS],
        "train_loss": [trained[name].metrics["train_loss"] for name in RUNS],
        "log_fit": _explained(np.log(t), distance),
        "root_fit": _explained(np.sqrt(t), distance),
        "linear_fit": _explained(t, distance),
        "t": [float(t[k]) for k in kept],
        "distance": [float(distance[k]) for k in kept],
    }


def _explained(x: np.ndarray, y: np.ndarray) -> float:
    """Return the share of the variance of y that a straight line over x explains."""
    return float(np.corrcoef(x, y)[0, 1] ** 2)


def _better(one: str, other: str) -> Callable[[Sequence[Row]], dict[int, float]]:
    """Return by how many points of test accuracy one run is better than another."""

    def points(rows: Sequence[Row]) -> dict[int, float]:
        both = [_of(rows, "test_accuracy", name) for name in (one, other)]
        return {seed: 100 * value for seed, value in paired(sub, *both).items()}

    return points


def _of(rows: Sequence[Row], column: str, name: str) -> dict[int, float]:
    return {int(row["seed"]): row[column][RUNS.index(name)] for row in rows}


def _fits(other: str) -> Callable[[Sequence[Row]], dict[int, float]]:
    return lambda rows: {int(row["seed"]): row["log_fit"] - row[other] for row in rows}


def draw(rows: Sequence[Row], axes: Sequence[Axes]) -> None:
    """Draw the accuracies, and the distance over log t."""
    groups = {name: [100 * v for v in _of(rows, "test_accuracy", name).values()] for name in RUNS}
    draw_seeds(axes[0], groups, COLORS)
    axes[0].set_ylabel("test accuracy, %")
    draw_curves(axes[1], rows, rows[0]["t"], "distance", "small batches", BLUE)
    axes[1].set_xscale("log")
    axes[1].set_xlabel("updates (log)")
    axes[1].set_ylabel("distance from the start")


EXPERIMENT = Experiment(
    name="train-longer",
    title="Train longer, generalise better",
    papers=(
        'Hoffer, Hubara and Soudry 2017, "Train longer, generalize better: closing the generalization '
        'gap in large batch training of neural networks"'
    ),
    tells=(
        "Large batches do worse on new data, after as many epochs, since they make fewer updates. "
        "Weights move away from their start like the logarithm of the number of updates, so what is "
        "missing is not made up for by a little more. With as many updates, an LR that grows like the square "
        "root of the batch size, and batch norms over small parts of each batch (ghost batches), the "
        "gap closes."
    ),
    setup=(
        "A small VGG with batch norms, 500 CIFAR-10 photos of 8x8 pixels, SGD with momentum 0.9 at "
        f"constant LR; batches of 10 at LR {LR:g} for 20 epochs, and batches of 125 for as many epochs: "
        "at the same LR, at its square-root scaling, with `model.ghost_batch` 10 besides, and at last "
        "with all of that for as many updates, which `procedure.batch_size.train_longer` gives the "
        "candidates of the batch-size stage."
    ),
    claims=(
        Claim(
            "Large batches generalise worse after as many epochs",
            "test accuracy by small batches less that by large ones, points",
            _better("small", "large"),
        ),
        Claim(
            "With as many updates, square-root LR and ghost batches they are better than without",
            "test accuracy by large batches with all of it less that without, points",
            _better("longer", "large"),
        ),
        Claim(
            "This closes the gap",
            "test accuracy by large batches with all of it less that by small ones, points",
            _better("longer", "small"),
            above=-2.0,
        ),
        Claim(
            "The square root of the LR closes a part of it",
            "test accuracy by large batches with the scaled LR less that without, points",
            _better("with sqrt LR", "large"),
        ),
        Claim(
            "Ghost batches close a part of it",
            "test accuracy with ghost batches less that without, both with the scaled LR, points",
            _better("with ghosts", "with sqrt LR"),
        ),
        Claim(
            "The distance from the start grows like log t rather than t",
            "share of its variance that a line over log t explains, less that of a line over t",
            _fits("linear_fit"),
        ),
        Claim(
            "And rather than the square root of t, as of a walk at random on a plane",
            "share of its variance that a line over log t explains, less that of a line over √t",
            _fits("root_fit"),
        ),
    ),
    look="whether the last column is as high as the first; on the right, a straight line.",
    change=(
        "with a larger batch, compare at as many updates (`procedure.batch_size.train_longer: true`) "
        "to see what the batch itself costs; with batch norms set `model.ghost_batch` to the batch "
        "size that you came from."
    ),
    cells=cells,
    run=run,
    draw=draw,
    panels=2,
    found=(
        "There is no gap to close here: 500 photos are too few for batches of 10 and 125 to differ by "
        "more than seeds do. The distance from the start grows nearly with the number of updates and not "
        "with its logarithm: a thousand updates are too few for a walk at random to be seen."
    ),
)
