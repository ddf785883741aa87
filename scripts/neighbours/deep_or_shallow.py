"""Deep and convolutional nets against shallow and dense ones of equal size, each tuned by hptune."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import sub
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

import hptune
from hptune.report.plots.style import PALETTE
from scripts.neighbours.curves import draw_seeds
from scripts.neighbours.experiment import Cell, Claim, Experiment, Place, Row, by_seed, paired
from scripts.neighbours.problems import ConvNet, mlp
from scripts.quality.problems import Splits, centred, images

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDE = 14  # pixels
# About 10,000 weights each.
NETS: Mapping[str, Callable[[], nn.Module]] = {
    "deep conv": partial(ConvNet, SIDE, 1, (12, 24), 32, batch_norm=False),
    "shallow conv": partial(ConvNet, SIDE, 1, (12,), 16, batch_norm=False),
    "deep dense": partial(mlp, SIDE**2, 40, 32, 32, 10),
    "shallow dense": partial(mlp, SIDE**2, 49, 10),
}
TEACHER = partial(ConvNet, SIDE, 1, (32, 64), 128)


def cells(long: bool) -> Iterator[Cell]:
    """Yield learning from labels and from a teacher."""
    train, epochs = (20_000, 40) if long else (600, 15)
    for seed in range(3):
        for taught in (0, 1):
            yield {"seed": seed, "taught": taught, "examples": train, "epochs": epochs}


def run(cell: Cell, place: Place) -> Row:
    """Tune each net on MNIST by hptune, LR and weight decay, and count its test errors."""
    splits = centred(images("mnist", SIDE, cell["examples"], seed=0), 2.0)
    how = {"seed": cell["seed"], "epochs": cell["epochs"], "batch_size": 50}
    loss, row = "cross-entropy", dict[str, float]()
    (x, y), given = splits["test"], splits
    if cell["taught"]:
        tuned = place.tune(hptune.Task(TEACHER, **splits), "teacher", **how)
        row["teacher"], given = _accuracy(tuned.model(), x, y), _taught(tuned.model(), splits)
        loss = "mse"
    else:
        row["teacher"] = 0.0
    for name, factory in NETS.items():
        tuned = place.tune(hptune.Task(factory, loss=loss, **given), name.replace(" ", "-"), **how)
        row[name] = _accuracy(tuned.model(), x, y)
        row |= {f"{name} lr": tuned.lr, f"{name} weight_decay": tuned.weight_decay}
    return row


def _taught(teacher: nn.Module, splits: Splits) -> Splits:
    """Return the images with the teacher's logits, less their mean and of spread 1, as targets."""
    with torch.no_grad():
        logits = {name: teacher(x) for name, (x, _) in splits.items()}
    centred = {name: own - own.mean(1, keepdim=True) for name, own in logits.items()}
    spread = centred["train"].std()
    return {name: (splits[name][0], own / spread) for name, own in centred.items()}


def _accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return float((net(x).argmax(1) == y).float().mean())


def _less(rows: Sequence[Row], one: tuple[str, int], other: tuple[str, int]) -> dict[int, float]:
    """Return by how many points of test accuracy a net, taught or not, is better than another."""
    both = [by_seed(rows, name, taught=taught) for name, taught in (one, other)]
    return {seed: 100 * value for seed, value in paired(sub, *both).items()}


def draw(rows: Sequence[Row], axes: Sequence[Axes]) -> None:
    """Draw the test errors of each net, by labels and by the teacher."""
    for ax, taught, title in zip(axes, (0, 1), ("from labels", "from a teacher"), strict=True):
        groups = {
            name.replace(" ", "\n"): [
                100 * (1 - value) for value in by_seed(rows, name, taught=taught).values()
            ]
            for name in NETS
        }
        draw_seeds(ax, groups, PALETTE)
        ax.set_title(title)
        ax.set_ylabel("test error, %")
    ends = [end for ax in axes for end in ax.get_ylim()]
    for ax in axes:
        ax.set_ylim(min(ends), max(ends))


EXPERIMENT = Experiment(
    name="deep-or-shallow",
    title="Deep and convolutional, or shallow and dense",
    papers=(
        'Ba and Caruana 2014, "Do deep nets really need to be deep?"; Urban et al. 2017, "Do deep '
        'convolutional nets really need to be deep and convolutional?"'
    ),
    tells=(
        "A shallow dense net could compute what a deep convolutional one computes; the question is "
        "whether it can learn it. From a teacher's outputs it learns more than from labels, as they "
        "say how sure one can be of each class. But with as many weights, and each net tuned with "
        "the same care, it does not come up to convolutions."
    ),
    setup=(
        "600 MNIST digits of 14x14 pixels; two convolutions or one, three hidden layers or one, "
        "each with about 10,000 weights; LR and weight decay of each decided by `hptune.tune`, 15 "
        "epochs. The teacher is a larger convolutional net, trained on the same images; its logits "
        "are learnt by squared error."
    ),
    claims=(
        Claim(
            "Of equal size, deep convolutions are better than a shallow dense net",
            "test accuracy of deep conv less that of shallow dense, from labels, points",
            lambda rows: _less(rows, ("deep conv", 0), ("shallow dense", 0)),
        ),
        Claim(
            "They still are when both learn from a teacher",
            "the same, from a teacher, points",
            lambda rows: _less(rows, ("deep conv", 1), ("shallow dense", 1)),
        ),
        Claim(
            "A teacher makes the shallow dense net better",
            "test accuracy of shallow dense from a teacher less that from labels, points",
            lambda rows: _less(rows, ("shallow dense", 1), ("shallow dense", 0)),
        ),
        Claim(
            "Convolutions matter more than depth",
            "test accuracy of shallow conv less that of deep dense, from labels, points",
            lambda rows: _less(rows, ("shallow conv", 0), ("deep dense", 0)),
        ),
    ),
    look="the step between the two convolutional nets and the two dense ones, in both halves.",
    change=(
        "compare models only after each has been tuned by itself (`hptune run` on each, then "
        "`hptune compare`): an LR that is right for one is wrong for another."
    ),
    cells=cells,
    run=run,
    draw=draw,
    panels=2,
    found=(
        "Both convolutional nets make fewer errors than both dense ones, from labels and from a teacher, "
        "but the deep one's seeds are too unlike one another for the claims that name it; the shallow "
        "convolutional one is the best. A teacher takes three points of error off the shallow dense net, "
        "and it stays behind the shallow convolutional one."
    ),
)
