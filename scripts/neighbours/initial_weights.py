"""Initial weights: equal ones never part, and the sizes of Xavier and He by depth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import sub
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

import hptune
from hptune.report.plots.style import BLUE, GREEN, ORANGE
from scripts.neighbours.experiment import Cell, Claim, Experiment, Place, Row, by_seed, paired
from scripts.neighbours.problems import digits, mlp

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
SAID = {"relu": "ReLU", "tanh": "tanh"}
DEPTHS = (2, 8, 24)  # hidden layers
WIDTH, BATCH = 32, 20
LR = 0.01
ALIKE = 1e-3  # of their own length: how far the weights of one unit may be from those of another


def cells(long: bool) -> Iterator[Cell]:
    """Yield equal weights for shallow nets, Xavier's and He's for all depths."""
    epochs = 100 if long else 10
    for seed in range(3):
        for activation in ACTIVATIONS:
            for depth in DEPTHS:
                equal = ("zero", "constant") if depth == DEPTHS[0] else ()
                for init in (*equal, "xavier", "he"):
                    yield {
                        "seed": seed, "activation": activation, "depth": depth, "init": init,
                        "epochs": epochs,
                    }  # fmt: skip


def run(cell: Cell, place: Place) -> Row:
    """Train a net of this depth from these weights."""
    widths = (64, *[WIDTH] * int(cell["depth"]), 10)
    make_model = partial(mlp, *widths, activation=ACTIVATIONS[cell["activation"]])
    trained = place.train(
        hptune.Task(make_model, **digits(500)), "run", lr=LR, momentum=0.9, optimizer="sgd",
        batch_size=BATCH, epochs=cell["epochs"], seed=cell["seed"],
        settings={"model.init": cell["init"]},
    )  # fmt: skip
    layers = [layer for layer in trained.model() if isinstance(layer, nn.Linear)]
    return {
        "train_loss": trained.metrics["train_loss"],
        "test_accuracy": trained.metrics["test_accuracy"],
        "alike": float(np.mean([_alike(layer.weight.detach()) for layer in layers[:-1]])),
    }


def _alike(weight: torch.Tensor) -> float:
    """Return the share of the units (U, I) whose weights are those of the first."""
    first = weight[0]
    return float(((weight - first).norm(dim=1) <= ALIKE * first.norm()).float().mean())


def _better(
    activation: str, better: str, worse: str, depth: int
) -> Callable[[Sequence[Row]], dict[int, float]]:
    def less(rows: Sequence[Row]) -> dict[int, float]:
        losses = [
            by_seed(rows, "train_loss", activation=activation, depth=depth, init=init)
            for init in (worse, better)
        ]
        return paired(sub, *losses)

    return less


def _equal(rows: Sequence[Row]) -> dict[int, float]:
    """Return the smallest share of units that are still alike, of nets that began with equal ones."""
    shares = [
        by_seed(rows, "alike", activation=activation, init=init, depth=DEPTHS[0])
        for activation in ACTIVATIONS
        for init in ("zero", "constant")
    ]
    return {seed: min(share[seed] for share in shares) for seed in shares[0]}


def _worse(rows: Sequence[Row]) -> dict[int, float]:
    """Return by how many points the best net of equal weights is behind the worst of drawn ones."""

    def accuracies(inits: Sequence[str]) -> list[dict[int, float]]:
        return [
            by_seed(rows, "test_accuracy", activation=activation, init=init, depth=DEPTHS[0])
            for activation in ACTIVATIONS
            for init in inits
        ]

    drawn, equal = accuracies(("xavier", "he")), accuracies(("zero", "constant"))
    return {
        seed: 100 * (min(a[seed] for a in drawn) - max(a[seed] for a in equal)) for seed in drawn[0]
    }


def _deeper(rows: Sequence[Row]) -> dict[int, float]:
    """Return by how much more He's weights are ahead in the deepest ReLU net than in the shallowest."""
    ahead = [_better("relu", "he", "xavier", depth)(rows) for depth in (DEPTHS[-1], DEPTHS[0])]
    return paired(sub, *ahead)


def draw(rows: Sequence[Row], axes: Sequence[Axes]) -> None:
    """Draw the training loss by depth."""
    for ax, activation in zip(axes, ACTIVATIONS, strict=True):
        for init, color in {"xavier": BLUE, "he": ORANGE, "constant": GREEN}.items():
            own = [row for row in rows if (row["activation"], row["init"]) == (activation, init)]
            depths = sorted({row["depth"] for row in own})
            values = [[r["train_loss"] for r in own if r["depth"] == depth] for depth in depths]
            ax.plot(depths, [np.mean(v) for v in values], "o-", color=color, label=init)
            ax.fill_between(
                depths, [min(v) for v in values], [max(v) for v in values], color=color, alpha=0.2
            )
        ax.set_title(SAID[activation])
        ax.set_xlabel("hidden layers")
        ax.set_yscale("log")
        ax.set_ylabel("training loss (log)")
        ax.legend()


EXPERIMENT = Experiment(
    name="initial-weights",
    title="Where weights begin",
    papers=(
        'Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural '
        'networks"; He et al. 2015, "Delving deep into rectifiers"'
    ),
    tells=(
        "Units of a layer that begin with equal weights get equal gradients, so they stay equal for "
        "ever, and the layer is as good as one unit. Weights that are drawn must have the right "
        "size: layer by layer the signal and the gradients are multiplied by it, and in a deep net they "
        "vanish or explode. Xavier's rule keeps their size where units are nearly linear, as tanh around 0; "
        "ReLU cuts off half of the signal, for which He's rule makes up by a factor of 2 in the "
        "variance."
    ),
    setup=(
        "Dense nets of 32 units a layer on 500 digits, 2, 8 and 24 hidden layers, 10 epochs of SGD "
        f"with momentum 0.9 at LR {LR:g} in batches of 20; `model.init` is zero, constant (0.1), xavier "
        "or he. Two units count as equal where their weights are within 0.1 % of each other."
    ),
    claims=(
        Claim(
            "Equal weights never part",
            "share of the hidden units still equal after training, the least of zero and constant, "
            "ReLU and tanh",
            _equal,
            above=0.99,
        ),
        Claim(
            "So such nets learn worse than drawn weights",
            "test accuracy of the worst net of drawn weights less the best of equal ones, 2 hidden "
            "layers, points",
            _worse,
        ),
        Claim(
            "He's weights train deep ReLU nets better than Xavier's",
            "training loss from Xavier's weights less that from He's, 24 hidden layers of ReLU",
            _better("relu", "he", "xavier", DEPTHS[-1]),
        ),
        Claim(
            "The deeper the net the more it matters",
            "the same difference, 24 hidden layers less 2",
            _deeper,
        ),
        Claim(
            "Xavier's weights train deep tanh nets better than He's",
            "training loss from He's weights less that from Xavier's, 24 hidden layers of tanh",
            _better("tanh", "xavier", "he", DEPTHS[-1]),
        ),
    ),
    look="lines that are together for shallow nets and part for deep ones; equal weights far above.",
    change=(
        "where a deep net does not begin to learn at any LR, look at its initial weights first: "
        "`model.init: he` with ReLU, `xavier` with tanh; `hptune check` warns of units that cannot "
        "learn apart."
    ),
    cells=cells,
    run=run,
    draw=draw,
    panels=2,
    found=(
        "Units that begin equal are equal to the end, and their nets guess. With ReLU of 24 layers He's "
        "weights came lower in each of three seeds and Xavier's had hardly begun to learn, and with "
        "tanh it was the other way round; but the seeds spread so far that three of them do not "
        "settle it. Tanh nets of 8 layers learnt faster from He's larger weights."
    ),
)
