"""Optimizers from one start: where they end, what lies between, and what a late switch changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING

import torch

import hptune
from hptune import landscape
from hptune.api.start import CopyOf
from hptune.report.plots.style import PALETTE, legend_above
from hptune.training.device import seeded
from scripts.neighbours.curves import draw_curves, draw_seeds
from scripts.neighbours.experiment import Cell, Claim, Experiment, Place, Row, by_seed
from scripts.neighbours.problems import ConvNet, photos

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OPTIMIZERS: Mapping[str, Mapping[str, float | str]] = {
    "SGD": {"optimizer": "sgd", "lr": 0.2},
    "momentum": {"optimizer": "sgd", "lr": 0.02, "momentum": 0.9},
    "Adam": {"optimizer": "adam", "lr": 2e-3, "momentum": 0.9},
    "RMSprop": {"optimizer": "rmsprop", "lr": 1e-3},
}
SWITCH = 0.75  # of the epochs, after which one optimizer takes over from another
POINTS = 21  # of a line
SAME, OTHER = (
    0.01,
    0.05,
)  # a basin of one's own is told by a barrier, of what training took off the loss


def cells(long: bool) -> Iterator[Cell]:
    """Yield the seeds."""
    train, side = (20_000, 32) if long else (500, 8)
    for seed in range(5):
        yield {"seed": seed, "examples": train, "side": side, "epochs": 100, "batch_size": 50}


def run(cell: Cell, place: Place) -> Row:
    """Train by each optimizer, from another seed, and with a late switch; look between the ends."""
    splits = photos(cell["examples"], cell["side"])
    factory = partial(ConvNet, cell["side"], batch_norm=False)
    task, seed, epochs = hptune.Task(factory, **splits), cell["seed"], cell["epochs"]
    train = partial(place.train, batch_size=cell["batch_size"])
    runs = {
        name: train(task, name, seed=seed, epochs=epochs, **how) for name, how in OPTIMIZERS.items()
    }
    first = OPTIMIZERS["momentum"]
    runs["other seed"] = train(task, "other-seed", seed=seed + 1000, epochs=epochs, **first)
    late = train(task, "late", seed=seed, epochs=SWITCH * epochs, **first)
    going = hptune.Task(CopyOf(late.model()), **splits)
    for name in ("momentum", "Adam"):
        label = f"then {name}"
        runs[label] = train(
            going, f"then-{name}", seed=seed, epochs=(1 - SWITCH) * epochs, **OPTIMIZERS[name]
        )
    with seeded(seed, torch.device("cpu")):
        start = float(
            task.step(task.make_model(), (splits["train"][0], splits["train"][1]))[0].detach()
        )
    pairs = [
        *combinations(OPTIMIZERS, 2),
        ("momentum", "other seed"),
        ("then momentum", "then Adam"),
    ]
    row: dict[str, float | list[float]] = {"start_loss": start}
    row |= {f"{name} train_loss": run.metrics["train_loss"] for name, run in runs.items()}
    row |= {f"{name} test_accuracy": run.metrics["test_accuracy"] for name, run in runs.items()}
    for one, other in pairs:
        net = place.net(runs[one])
        line = landscape.line(
            net, net.state_dict(), runs[other].state_dict(), task.step, {"train": task.train},
            points=POINTS, reach=0.0,
        )  # fmt: skip
        loss = [point["train_loss"] for point in line.rows]
        fall = start - (loss[0] + loss[-1]) / 2
        row[f"{one} to {other}"] = loss
        row[f"{one} to {other} barrier"] = line.barrier() / fall
        row[f"{one} to {other} distance"] = line.distance
    return row


def _barrier(one: str, other: str, says: str) -> Claim:
    return Claim(
        says,
        f"barrier between {one} and {other}, share of the fall of the training loss",
        lambda rows: by_seed(rows, f"{one} to {other} barrier"),
        above=OTHER,
        below=SAME,
    )


def draw(rows: Sequence[Row], axes: Sequence[Axes]) -> None:
    """Draw the loss on some lines, and the barriers of all."""
    x = [k / (POINTS - 1) for k in range(POINTS)]
    shown = ["momentum to Adam", "momentum to other seed", "then momentum to then Adam"]
    for pair, color in zip(shown, PALETTE, strict=False):
        draw_curves(axes[0], rows, x, pair, pair.replace(" to ", " – "), color)
    axes[0].set_xlabel("from one solution (0) to the other (1)")
    axes[0].set_ylabel("training loss")
    legend_above(axes[0], columns=1)
    columns = [name for name in rows[0] if name.endswith("barrier")]
    groups = {
        name.removesuffix(" barrier").replace(" to ", "\n"): [100 * row[name] for row in rows]
        for name in columns
    }
    draw_seeds(axes[1], groups, PALETTE)
    axes[1].tick_params(axis="x", labelsize=6, rotation=30)
    axes[1].axhline(100 * OTHER, color=PALETTE[-1], linestyle=":")
    axes[1].set_ylabel("barrier, % of the loss's fall")


EXPERIMENT = Experiment(
    name="other-optimizers",
    title="Optimizers end in different places",
    papers=(
        'Goodfellow, Vinyals and Saxe 2015, "Qualitatively characterizing neural network optimization '
        'problems"; Im, Tao and Branson 2016, "An empirical analysis of the optimization of deep '
        'network loss surfaces"'
    ),
    tells=(
        "Walk in a straight line from one trained net to another: if the loss rises between them, "
        "they lie in basins of their own. Different optimizers, started from the very same weights, "
        "end in different basins, and so do different seeds. Even a switch from one optimizer to "
        "another late in training leads, the paper says, to another basin."
    ),
    setup=(
        "A small VGG without batch norms, 500 CIFAR-10 photos of 8x8 pixels, 100 epochs in batches "
        "of 50 at a constant LR of each optimizer; the switch comes after 75 epochs, from SGD with "
        "momentum to Adam, against momentum to the end. A barrier is the highest rise of the "
        "training loss above the straight line between its ends, as a share of what training took "
        "off the loss; one basin is a barrier below 1 %, two are one above 5 %."
    ),
    claims=(
        _barrier("momentum", "Adam", "Two optimizers from one start end in different basins"),
        _barrier("SGD", "momentum", "So do SGD and SGD with momentum"),
        _barrier("momentum", "other seed", "So do two seeds"),
        _barrier(
            "then momentum",
            "then Adam",
            "A late switch of the optimizer still leads to another basin",
        ),
    ),
    look="a bump between the ends: two basins; none: one basin.",
    change=(
        "average the outputs of nets with a bump between them, never their weights; where there is "
        "none, as late in one run, averaging the weights may help."
    ),
    cells=cells,
    run=run,
    draw=draw,
    panels=2,
    found=(
        "Adam and momentum end in basins of their own, though from the same weights and batches; "
        "two seeds are further apart still, with a barrier as high as the loss of the untrained "
        "net. SGD with and without momentum are nearly in one basin. A switch in the last quarter "
        "changes nothing: what was decided early stays decided, as later papers (Frankle et al. "
        "2020) found, too."
    ),
)
