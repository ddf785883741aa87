"""What LR, batch size and weight decay do to the largest eigenvalue of the Hessian."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from operator import truediv
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

import hptune
from hptune import landscape
from hptune.landscape.steps import retrace
from hptune.report.plots.style import GREY, PALETTE
from hptune.training.device import resolve_device
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
from scripts.neighbours.problems import digits, mlp, photos

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# One value differs from the first. The last two take gradients of all examples.
SETTINGS: Mapping[str, Mapping[str, float]] = {
    "base": {"lr": 0.05, "batch_size": 20, "weight_decay": 0.0},
    "larger LR": {"lr": 0.4, "batch_size": 20, "weight_decay": 0.0},
    "larger batch": {"lr": 0.05, "batch_size": 200, "weight_decay": 0.0},
    "weight decay": {"lr": 0.05, "batch_size": 20, "weight_decay": 0.01},
    "descent": {"lr": 0.4, "batch_size": 500, "weight_decay": 0.0},
    "slow descent": {"lr": 0.2, "batch_size": 500, "weight_decay": 0.0},
}
DESCENTS = ("descent", "slow descent")
AT = 0.1  # training loss at which the first four are compared
LAST = 0.25  # of a descent, whose eigenvalues are held to 2 / LR


def cells(long: bool) -> Iterator[Cell]:
    """Yield the settings."""
    hidden, steps = (256, 6000) if long else (32, 1200)
    for seed in range(3):
        for name, values in SETTINGS.items():
            yield {"seed": seed, "setting": name, **values, "hidden": hidden, "steps": steps}


def run(cell: Cell, place: Place) -> Row:
    """Train, and compute the largest eigenvalue at states along the run."""
    hidden, descent = cell["hidden"], cell["setting"] in DESCENTS
    if descent:
        splits = {n: (x, F.one_hot(y, 10).float()) for n, (x, y) in photos(500, 8).items()}
        net = partial(mlp, 192, 2 * hidden, 2 * hidden, 10, activation=nn.Tanh)
        task = hptune.Task(net, loss=half_squares, **splits)
    else:
        task = hptune.Task(partial(mlp, 64, hidden, 10), **digits(1000))
    values = {name: cell[name] for name in SETTINGS["base"]}
    epochs = cell["steps"] * cell["batch_size"] / (500 if descent else 1000)
    trained = place.train(task, "run", seed=cell["seed"], epochs=epochs, **values)
    device = resolve_device(place.device, "fp32")
    # That one step is measured costs nothing; what is wanted are the states that are kept.
    path = retrace(task, trained.trial, device, every=cell["steps"]).walk.path
    model, loss, top = place.net(trained), [], []
    for state in path:
        model.load_state_dict(state)
        found = landscape.hessian(model, task.step, task.train, top=1, steps=0, exact_up_to=0)
        loss.append(found.loss)
        top.append(float(found.top[0]))
    last = round(LAST * len(top))
    return {
        "loss_along": loss,
        "top_along": top,
        "top_at_loss": first_at(loss, top, AT),
        "of_the_edge": float(np.mean(top[-last:])) * cell["lr"] / 2,
    }


def half_squares(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return half the squared error, summed over the classes: the loss of the paper on the edge."""
    return F.mse_loss(outputs, targets, reduction="sum") / (2 * len(targets))


def _lowers(setting: str, says: str) -> Claim:
    """Return the claim that a setting has a smaller eigenvalue than the first one, or a larger."""
    one, other = ("base", setting) if setting != "larger batch" else (setting, "base")
    return Claim(
        says,
        f"largest eigenvalue at a training loss of {AT:g}, {one} over {other}",
        lambda rows: paired(
            truediv, *(by_seed(rows, "top_at_loss", setting=name) for name in (one, other))
        ),
        above=1.0,
        ratio=True,
    )


def draw(rows: Sequence[Row], axes: Sequence[Axes]) -> None:
    """Draw the eigenvalue against the loss, and of the descents over 2 / LR by the steps."""
    for row in rows:
        index = list(SETTINGS).index(row["setting"])
        label = row["setting"] if row["seed"] == 0 else None
        if row["setting"] in DESCENTS:
            x = np.linspace(0, row["steps"], len(row["top_along"]))
            over = np.array(row["top_along"]) * row["lr"] / 2
            axes[1].plot(x, over, color=PALETTE[index], label=label and f"LR {row['lr']:g}")
        else:
            axes[0].plot(row["loss_along"], row["top_along"], color=PALETTE[index], label=label)
    axes[0].set_xscale("log")
    axes[0].set_yscale("log")
    axes[0].invert_xaxis()
    axes[0].axvline(AT, color=GREY, linestyle=":")
    axes[0].set_xlabel("training loss, falling (log)")
    axes[0].set_ylabel("largest eigenvalue (log)")
    axes[0].legend()
    axes[1].axhline(1, color=GREY, linestyle=":")
    axes[1].set_xlabel("steps by the gradient of all examples")
    axes[1].set_ylabel("largest eigenvalue over 2 / LR")
    axes[1].legend()


EXPERIMENT = Experiment(
    name="top-eigenvalue",
    title="What makes a minimum flat",
    papers=(
        'Sagun et al. 2017; Jastrzebski et al. 2018, "On the relation between the sharpest directions of DNN '
        'loss and the SGD step length"; Cohen et al. 2021, "Gradient descent on neural networks typically '
        'occurs at the edge of stability"'
    ),
    tells=(
        "The largest eigenvalue of the Hessian is how steep the valley's walls are. A step of a "
        "large LR would jump out of a narrow valley, and the noise of small batches shakes the "
        "weights out of it, so both end in a wider one. With the gradient of all examples the "
        "eigenvalue rises until it reaches 2 / LR, where steps are just about to diverge, and stays "
        "there: the edge of stability."
    ),
    setup=(
        "One hidden layer of 32 units, 1,000 digits, SGD without momentum, 1,200 steps at LR 0.05 "
        "in batches of 20; then with an LR of 0.4, with batches of 200, and with a weight decay of "
        "0.01. They are compared where the training loss is 0.1, as a lower loss alone makes "
        "everything flatter. For the edge, as in its paper: two hidden layers of 64 units with "
        "tanh, squared error, 500 CIFAR-10 photos of 8x8 pixels in one batch, LRs of 0.4 and 0.2."
    ),
    claims=(
        _lowers("larger LR", "A larger LR ends in a flatter minimum"),
        _lowers("larger batch", "A larger batch ends in a sharper minimum"),
        _lowers("weight decay", "Weight decay ends in a flatter minimum"),
        Claim(
            "Descent by all examples goes to the edge of stability, and stays there",
            "largest eigenvalue over 2 / LR, mean of the last quarter, LR 0.4",
            lambda rows: by_seed(rows, "of_the_edge", setting="descent"),
            above=0.9,
            below=0.5,
        ),
        Claim(
            "So does it at half the LR, where the edge is twice as steep",
            "the same, LR 0.2",
            lambda rows: by_seed(rows, "of_the_edge", setting="slow descent"),
            above=0.9,
            below=0.5,
        ),
    ),
    look="lines that lie lower: flatter; and at the right, curves that stop at 1: the edge.",
    change=(
        "to end in a flatter minimum raise the LR, with a warm-up: here it did more than batch size "
        "and weight decay, far below 2 / LR too (`hptune landscape hessian` shows how far)."
    ),
    cells=cells,
    run=run,
    draw=draw,
    panels=2,
    found=(
        "Eight times the LR ends 2.5 times as flat at the same training loss. Batches ten times as "
        "large, and weight decay of 0.01, change the largest eigenvalue by 5 % and 1 %. By the gradient "
        "of all examples it rises until 2 / LR and stays there, 12 to 26 % above."
    ),
)  # fmt: skip
