"""Random labels: that nets memorise them, which regularisers stop it, and what the training loss says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import sub
from typing import TYPE_CHECKING, Any

import numpy as np

from hptune.procedure.session.trained import TrainedRun
from hptune.report.plots.style import BLUE, ORANGE
from hptune.training.evaluation import evaluate
from scripts.neighbours.experiment import Cell, Claim, Experiment, Place, Row, by_seed, paired

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REGULARISERS: dict[str, dict[str, Any]] = {
    "none": {},
    "weight decay": {"hyper_parameters.weight_decay": 5e-3},
    "dropout": {"model.dropout": 0.5},
    "mixup": {"data.mixup": 1.0},
}
LABELS = ("true", "random")


def cells(long: bool) -> Iterator[Cell]:
    """Yield every regulariser by itself, with the true labels and with random ones."""
    for seed in range(3):
        for labels in LABELS:
            for regulariser in REGULARISERS:
                yield {
                    "seed": seed, "labels": labels, "regulariser": regulariser,
                    "epochs": 1000 if long else 150,
                }  # fmt: skip


def run(cell: Cell, place: Place) -> Row:
    """Train by configs/neighbours/random-labels.yaml; the training accuracy is of the labels as given."""
    changes = {
        "seed": cell["seed"],
        "training.epochs": cell["epochs"],
        "training.precision": "fp32",
        "data.shuffle_labels": cell["labels"] == "random",
        **REGULARISERS[cell["regulariser"]],
    }
    with place.session("random-labels", changes) as session:
        (result,) = session.train().results
    trained = TrainedRun(place.folder / "run", place.device, print)
    model, task = trained.model(trained.seeds()[0]), trained.task
    fitted = evaluate(task, model, task.train, trained.device)
    return {
        "train_loss": float(result.train_loss),
        "train_accuracy": fitted.metrics["accuracy"],
        "test_accuracy": result.test_metrics["accuracy"],
        "test_loss": float(result.test_loss),
    }


def _fits(regulariser: str) -> Callable[[Sequence[Row]], dict[int, float]]:
    return lambda rows: by_seed(rows, "train_accuracy", labels="random", regulariser=regulariser)


def _less(regulariser: str) -> Callable[[Sequence[Row]], dict[int, float]]:
    """Return by how many points fewer random labels are memorised with a regulariser."""

    def points(rows: Sequence[Row]) -> dict[int, float]:
        fitted = [_fits(name)(rows) for name in ("none", regulariser)]
        return {seed: 100 * value for seed, value in paired(sub, *fitted).items()}

    return points


def _costs_little(rows: Sequence[Row]) -> dict[int, float]:
    """Return how much more of the random labels than of the true ones mixup leaves unlearnt, points."""
    lost = []
    for labels in LABELS:
        fitted = [
            by_seed(rows, "train_accuracy", labels=labels, regulariser=name)
            for name in ("none", "mixup")
        ]
        lost.append(paired(sub, *fitted))
    return {seed: 100 * value for seed, value in paired(sub, lost[1], lost[0]).items()}


def _gap(rows: Sequence[Row]) -> dict[int, float]:
    """Return training accuracy less test accuracy on random labels, in points."""
    test = by_seed(rows, "test_accuracy", labels="random", regulariser="none")
    return {seed: 100 * value for seed, value in paired(sub, _fits("none")(rows), test).items()}


def _losses(rows: Sequence[Row]) -> dict[int, float]:
    """Return by how much the training loss with mixup tells random from true labels more than without."""
    apart = []
    for name in ("mixup", "none"):
        losses = [
            by_seed(rows, "train_loss", labels=label, regulariser=name)
            for label in ("random", "true")
        ]
        apart.append(paired(sub, *losses))
    return paired(sub, *apart)


def draw(rows: Sequence[Row], axes: Sequence[Axes]) -> None:
    """Draw accuracies and training losses, bars side by side."""
    for k, (labels, color) in enumerate(zip(LABELS, (BLUE, ORANGE), strict=True)):
        for place, name in enumerate(REGULARISERS):
            own = [r for r in rows if (r["labels"], r["regulariser"]) == (labels, name)]
            at = place + 0.4 * k - 0.2
            for ax, column, scale in ((axes[0], "train_accuracy", 100), (axes[1], "train_loss", 1)):
                values = [scale * row[column] for row in own]
                told = f"{labels} labels" if place == 0 else None
                ax.bar(at, np.mean(values), 0.36, color=color, alpha=0.5, label=told)
                ax.plot([at] * len(values), values, "o", color=color, ms=4)
            tests = [100 * row["test_accuracy"] for row in own]
            axes[0].plot(at, np.mean(tests), "k_", ms=14, label="test" if place + k == 0 else None)
    axes[0].set_ylabel("training accuracy, %")
    axes[1].set_ylabel("training loss in the last epoch")
    for ax in axes:
        ax.set_xticks(range(len(REGULARISERS)), list(REGULARISERS))
        ax.legend()


EXPERIMENT = Experiment(
    name="random-labels",
    title="Random labels are memorised",
    papers=(
        'Zhang et al. 2017, "Understanding deep learning requires rethinking generalization"; Zhang et '
        'al. 2018, "mixup: beyond empirical risk minimization"'
    ),
    tells=(
        "Deal the labels out at random and a net still learns them all: its training loss goes to "
        "zero while there is nothing to generalise from. So a low training loss says nothing of new "
        "data. Weight decay and dropout do not stop it from memorising, though they help on true "
        "labels; mixup, which trains between examples, does."
    ),
    setup=(
        "`configs/neighbours/random-labels.yaml`: two hidden layers of 256 units, 500 digits, 150 epochs "
        "of SGD with momentum 0.9 at LR 0.02 in batches of 50; `data.shuffle_labels`, or the true "
        "labels; nothing beside it, weight decay 0.005, `model.dropout` 0.5 or `data.mixup` 1. "
        "Training accuracy is that of the whole examples without dropout."
    ),
    claims=(
        Claim(
            "Random labels are memorised",
            "training accuracy on random labels without regulariser",
            _fits("none"),
            above=0.99,
        ),
        Claim(
            "So training accuracy says nothing of new data",
            "training accuracy less test accuracy on random labels, points",
            _gap,
            above=80.0,
        ),
        Claim(
            "Weight decay does not stop it",
            "training accuracy on random labels with weight decay",
            _fits("weight decay"),
            above=0.95,
        ),
        Claim(
            "Dropout does not stop it",
            "training accuracy on random labels with dropout",
            _fits("dropout"),
            above=0.95,
        ),
        Claim(
            "Mixup memorises less",
            "training accuracy on random labels without regulariser less that with mixup, points",
            _less("mixup"),
        ),
        Claim(
            "And it does not by learning less of true labels",
            "points of training accuracy that mixup costs on random labels less those on true ones",
            _costs_little,
        ),
        Claim(
            "With mixup the training loss tells random labels from true ones",
            "training loss on random labels less that on true ones, with mixup less without",
            _losses,
        ),
    ),
    look="orange bars as high as blue ones on the left: memorised; black lines are the test accuracy.",
    change=(
        "never judge by the training loss. Where you fear that labels are wrong, use `data.mixup`, and "
        "compare training losses with it: a loss that stays high says that labels do not follow from "
        "inputs."
    ),
    cells=cells,
    run=run,
    draw=draw,
    panels=2,
    found=(
        "Labels dealt out at random are learned to the last one, with weight decay and mixup too, and "
        "nearly with dropout. What tells them from true ones is the training loss: with mixup it stays "
        "0.4 higher, and with dropout and weight decay it is higher, too. That mixup fits fewer of the "
        "labels is not seen at this length."
    ),
)
