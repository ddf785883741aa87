"""A walk with SGD: the loss between one step and the next, by LR, epoch and batch size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from operator import truediv
from statistics import fmean
from typing import TYPE_CHECKING

import hptune
from hptune.landscape.steps import retrace
from hptune.report.plots.style import BLUE, GREEN, ORANGE
from hptune.training.device import resolve_device
from scripts.neighbours.curves import draw_curves
from scripts.neighbours.experiment import (
    Cell,
    Claim,
    Experiment,
    Place,
    Row,
    by_seed,
    first_at,
    paired,
)
from scripts.neighbours.problems import ConvNet, digits, photos

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EPOCHS = (1, 10, 25)  # of the paper's table
EVERY = 4  # iterations of which one is measured
BETWEEN = 5  # points between two iterates
LR, BATCH = 0.1, 20
AT = 0.1  # training loss at which heights are compared, too


def cells(long: bool) -> Iterator[Cell]:
    """Yield two LRs, and for three seeds a batch of all examples, for as many iterations each."""
    train, data = (5000, "photos") if long else (500, "digits")
    for seed in range(5):
        for lr, batch in ((LR, BATCH), (LR / 2, BATCH), (LR, train))[: 3 if seed < 3 else 2]:
            yield {"seed": seed, "lr": lr, "batch_size": batch, "examples": train, "data": data}


def run(cell: Cell, place: Place) -> Row:
    """Train once, and once more with a look at every fourth step."""
    train, batch, seed, lr = (cell[key] for key in ("examples", "batch_size", "seed", "lr"))
    splits = photos(train) if cell["data"] == "photos" else digits(train)
    _, channels, side, _ = splits["train"][0].shape
    task = hptune.Task(partial(ConvNet, side, channels), **splits)
    trained = place.train(
        task, "run", lr=lr, batch_size=batch, seed=seed, epochs=EPOCHS[-1] * batch / BATCH
    )
    device = resolve_device(place.device, "fp32")
    steps = retrace(task, trained.trial, device, every=EVERY, between=BETWEEN).walk.rows
    by_epoch = {
        epoch: list(own)
        for epoch, own in groupby(steps, lambda row: row["iteration"] * BATCH // train)
    }
    later = [row for epoch, own in by_epoch.items() if epoch for row in own]
    means = {
        f"{name}_by_epoch": [fmean(row[name] for row in own) for own in by_epoch.values()]
        for name in ("height", "distance", "loss")
    }
    return {
        **means,
        "floor_between": fmean(row["lowest"] < min(row["loss"], row["after"]) for row in later),
        "cosine": fmean(row["cosine"] for row in later),
        "test_accuracy": trained.metrics["test_accuracy"],
    }


def _height(rows: Sequence[Row], lr: float, epoch: int) -> dict[int, float]:
    """Return the height of each seed in an epoch, counted from 1, by batches of `BATCH`."""
    return {
        int(row["seed"]): row["height_by_epoch"][epoch - 1]
        for row in rows
        if (row["lr"], row["batch_size"]) == (lr, BATCH)
    }


def _by_lr(rows: Sequence[Row]) -> dict[int, float]:
    """Return how many times as high the larger LR is, a geometric mean over the epochs."""
    ratios = [paired(truediv, _height(rows, LR, e), _height(rows, LR / 2, e)) for e in EPOCHS]
    return {seed: math.prod(r[seed] for r in ratios) ** (1 / len(ratios)) for seed in ratios[0]}


def _at_equal_loss(rows: Sequence[Row]) -> dict[int, float]:
    """Return how many times as high the larger LR is where both have come down to the same loss."""
    heights = [
        {
            int(row["seed"]): first_at(row["loss_by_epoch"], row["height_by_epoch"], AT)
            for row in rows
            if (row["lr"], row["batch_size"]) == (lr, BATCH)
        }
        for lr in (LR, LR / 2)
    ]
    return paired(truediv, *heights)


def _fall(rows: Sequence[Row]) -> dict[int, float]:
    return paired(truediv, _height(rows, LR, EPOCHS[0]), _height(rows, LR, EPOCHS[-1]))


def _travelled(rows: Sequence[Row]) -> dict[int, float]:
    """Return how many times as far small batches get as full ones, in as many iterations."""
    far = {
        small: {
            int(row["seed"]): row["distance_by_epoch"][-1]
            for row in rows
            if row["lr"] == LR and (row["batch_size"] == BATCH) == small
        }
        for small in (True, False)
    }
    return paired(truediv, far[True], far[False])


def draw(rows: Sequence[Row], axes: Sequence[Axes]) -> None:
    """Draw height and distance by epoch."""
    x = range(1, EPOCHS[-1] + 1)
    full = max(row["batch_size"] for row in rows)
    runs = [
        (f"LR {LR:g}", BLUE, LR, BATCH),
        (f"LR {LR / 2:g}", ORANGE, LR / 2, BATCH),
        (f"LR {LR:g}, all examples a batch", GREEN, LR, full),
    ]
    for ax, name in zip(axes, ("height", "distance"), strict=True):
        for label, color, lr, batch in runs:
            draw_curves(ax, rows, x, f"{name}_by_epoch", label, color, lr=lr, batch_size=batch)
        ax.set_xlabel(f"epoch (of the small batches; {BATCH} images each)")
    axes[0].set_yscale("log")
    axes[0].set_ylabel("height above the floor (log)")
    axes[1].set_ylabel("distance from the start")
    axes[0].legend()


EXPERIMENT = Experiment(
    name="walk-with-sgd",
    title="A walk with SGD",
    papers='Xing, Arpit, Tsirigotis and Bengio 2018, "A walk with SGD"',
    tells=(
        "Between one step of SGD and the next the loss falls and rises again: a step goes from one "
        "wall of a valley to the other, above its floor. The larger the LR, the higher above the "
        "floor it bounces (0.0625, 0.0199 and 0.0104 in epochs 1, 10 and 25 at LR 0.1; 0.0102, "
        "0.0050 and 0.0035 at 0.05), and a small batch lets it travel further along the valley."
    ),
    setup=(
        "A small VGG with batch norms, 500 digits of 8x8 pixels, SGD without momentum, 25 epochs in "
        "batches of 20. Every fourth step is measured at five points between its ends, on the "
        "step's own batch. As many steps by the gradient of all images stand beside it. The paper "
        "compares LRs at the same epoch; as the larger one also learns faster here, the same loss "
        "is a second measure."
    ),
    claims=(
        Claim(
            "A large LR keeps SGD higher above the floor",
            f"height at LR {LR:g} over that at {LR / 2:g}, mean of epochs 1, 10 and 25",
            _by_lr,
            above=1.0,
            ratio=True,
        ),
        Claim(
            "It does at the same loss",
            f"height at LR {LR:g} over that at {LR / 2:g}, where the loss comes down to {AT:g}",
            _at_equal_loss,
            above=1.0,
            ratio=True,
        ),
        Claim(
            "The height falls as training goes on",
            f"height in epoch 1 over that in epoch 25, LR {LR:g}",
            _fall,
            above=1.0,
            ratio=True,
        ),
        Claim(
            "Most steps go from wall to wall, with the floor between",
            f"share of the steps after epoch 1 whose lowest point lies between the ends, LR {LR:g}",
            lambda rows: by_seed(rows, "floor_between", lr=LR, batch_size=BATCH),
            above=0.5,
        ),
        Claim(
            "Small batches carry the weights further",
            f"distance from the start after as many steps, batches of {BATCH} over all images",
            _travelled,
            above=1.0,
            ratio=True,
        ),
    ),
    look="the height: the LR that stays higher is the one that still moves.",
    change=(
        "while `hptune landscape walk` shows a height that is not falling, a lower LR at the end "
        "still wins; where it is near zero from the beginning, raise the LR or lower the batch "
        "size."
    ),
    cells=cells,
    run=run,
    draw=draw,
    panels=2,
    found=(
        "The height falls a thousandfold while the net learns to fit all digits. At the same epoch "
        "the larger LR is the lower one, as it has learnt more by then; at the same loss it is half "
        "as high again, as the paper says. Seen by the step's own batch a step seldom goes beyond "
        "the floor here: the height is that of a slope, but for the first epochs."
    ),
)
