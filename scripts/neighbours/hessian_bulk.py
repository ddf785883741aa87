"""The Hessian's spectrum: a bulk at zero, and as many outliers as classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

import hptune
from hptune import landscape
from hptune.report.plots.style import PALETTE
from scripts.neighbours.experiment import Cell, Claim, Experiment, Place, Row, by_seed
from scripts.neighbours.problems import digits, mlp

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLASSES = (2, 4, 6, 8, 10)
LOOKED_AT = 20  # largest eigenvalues, whose largest gap divides outliers from the rest


def cells(long: bool) -> Iterator[Cell]:
    """Yield the digits of the first so many classes."""
    for seed in range(5):
        for classes in CLASSES:
            hidden = 64 if long else 10
            yield {"seed": seed, "classes": classes, "a_class": 50, "hidden": hidden, "epochs": 30}


def run(cell: Cell, place: Place) -> Row:
    """Train a net of one hidden layer, and compute all eigenvalues."""
    classes = cell["classes"]
    splits = digits(cell["a_class"] * classes, classes)
    task = hptune.Task(partial(mlp, 64, cell["hidden"], classes), **splits)
    trained = place.train(
        task, "run", lr=0.02, momentum=0.9, batch_size=20, epochs=cell["epochs"], seed=cell["seed"]
    )
    spectrum = landscape.hessian(
        place.net(trained), task.step, task.train, top=LOOKED_AT, exact_up_to=10_000
    )
    top = spectrum.top
    return {
        "weights": spectrum.weights,
        "train_loss": spectrum.loss,
        "near_zero": spectrum.near_zero,
        "negative": float(np.mean(spectrum.nodes < -0.01 * top[0])),
        "outliers": 1 + int(np.argmax(top[:-1] / np.maximum(top[1:], 1e-12))),
        "top": top.tolist(),
    }


def _bulk(rows: Sequence[Row]) -> dict[int, float]:
    return by_seed(rows, "near_zero", classes=CLASSES[-1])


def _slope(rows: Sequence[Row]) -> dict[int, float]:
    """Return how many more outliers there are with each more class, by least squares."""
    outliers = [by_seed(rows, "outliers", classes=classes) for classes in CLASSES]
    seeds = set.intersection(*map(set, outliers))
    return {s: float(np.polyfit(CLASSES, [own[s] for own in outliers], 1)[0]) for s in seeds}


def draw(rows: Sequence[Row], axes: Sequence[Axes]) -> None:
    """Draw the largest eigenvalues by their number, and the outliers by the classes."""
    for classes, color in zip(CLASSES, PALETTE, strict=False):
        own = [row for row in rows if row["classes"] == classes]
        mean = np.mean([row["top"] for row in own], axis=0)
        axes[0].plot(range(1, len(mean) + 1), mean, "o-", color=color, ms=3, label=f"{classes}")
        axes[1].plot([classes] * len(own), [row["outliers"] for row in own], "o", color=color)
    axes[0].set_yscale("log")
    axes[0].set_xticks(range(2, LOOKED_AT + 1, 2))
    axes[0].set_xlabel("which of the largest eigenvalues")
    axes[0].set_ylabel("eigenvalue, mean of the seeds (log)")
    axes[0].legend(title="classes")
    axes[1].axline((0, 0), slope=1, color=PALETTE[-1], linestyle=":")
    axes[1].set_xlim(0, 11)
    axes[1].set_xlabel("classes (dotted: one outlier each)")
    axes[1].set_ylabel("eigenvalues before the largest gap")


EXPERIMENT = Experiment(
    name="hessian-bulk",
    title="Most directions are flat",
    papers=(
        'Sagun, Bottou and LeCun 2016, "Eigenvalues of the Hessian in deep learning"; Sagun et al. 2017, '
        '"Empirical analysis of the Hessian of over-parametrized neural networks"'
    ),
    tells=(
        "The Hessian says how curved the loss is in each direction. Around a trained net nearly all "
        "of them are flat, and a few, about as many as there are classes, are steep: the data set "
        "the steep ones, the number of weights sets how many flat ones there are."
    ),
    setup=(
        "One hidden layer of 10 units (660 to 760 weights), so that all eigenvalues can be "
        "computed; 50 digits of each class, for the first 2 to 10 classes; SGD with momentum for 30 "
        "epochs. Near zero is below 1 % of the largest; outliers are the eigenvalues before the "
        "largest gap, as a ratio, among the 20 largest."
    ),
    claims=(
        Claim(
            "Nearly all directions are flat",
            "share of the eigenvalues near zero, 10 classes",
            _bulk,
            above=0.8,
            below=0.5,
        ),
        Claim(
            "There are about as many steep directions as classes",
            "outliers more with each more class",
            _slope,
            above=0.5,
            below=0.0,
        ),
    ),
    look="the cliff after as many eigenvalues as there are classes.",
    change=(
        "judge sharpness by the few largest eigenvalues (`hptune landscape hessian --top` as many "
        "as classes): the rest says how many weights the task does not need."
    ),
    cells=cells,
    run=run,
    draw=draw,
    panels=2,
    found=(
        "Of 760 eigenvalues 94 % are flat to 1 % of the largest. The largest gap lies after one "
        "less than the number of classes for most of the nets with up to 8 classes, and after 7, 9 "
        "or 10 with ten: one more outlier with each more class."
    ),
)
