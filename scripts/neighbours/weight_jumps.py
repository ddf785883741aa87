"""Learned weight evolution: jumps against plain training, noise of the same size, and straight lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

import hptune
from hptune.landscape.evolution import learn_evolution
from hptune.landscape.steps import Walk, retrace
from hptune.report.plots.style import BLUE, GREY, ORANGE
from hptune.training.device import resolve_device
from hptune.training.introspection import save_evolution
from scripts.neighbours.curves import draw_curves
from scripts.neighbours.experiment import Cell, Claim, Experiment, Place, Row, by_seed
from scripts.neighbours.problems import digits, mlp

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LR, BATCH = 0.02, 25
STATES = 24  # steps between the states that a walk keeps
JUMP = 10  # of these are done when weights jump: 0.4 and 0.7 of it are states, too
TEACHER, PUPIL = (64, 10), (48, 48, 10)  # widths after the input
WAYS = {"plain": BLUE, "jump": ORANGE, "noise": GREY}


def cells(long: bool) -> Iterator[Cell]:
    """Yield the seeds; all ways are tried in each."""
    for seed in range(5):
        yield {"seed": seed, "examples": 500, "epochs": 240 if long else 24}


class Kicked(torch.optim.SGD):
    """SGD that adds noise of a given size to each tensor once, as a jump of that size would.

    Args:
        params: To train.
        lr: Of each step.
        at: Steps that are taken before the noise.
        sizes: Norm of the noise of each tensor.
        seed: Of the noise.
        momentum, weight_decay: As of SGD.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        at: int,
        sizes: Sequence[float],
        seed: int,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, momentum=momentum, weight_decay=weight_decay)
        self._left, self._sizes, self._seed = at, sizes, seed

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take a step, and after the last one before the jump add the noise."""
        loss = super().step(closure)
        self._left -= 1
        if self._left == 0:
            own = [p for group in self.param_groups for p in group["params"]]
            for p, noise in zip(own, _noise(own, self._sizes, self._seed), strict=True):
                p.add_(noise)
        return loss


def _noise(like: Sequence[Tensor], sizes: Sequence[float], seed: int) -> list[Tensor]:
    """Return noise of these norms, in the shapes of these tensors."""
    draws = torch.Generator().manual_seed(seed)
    noise = [torch.randn(t.shape, generator=draws) for t in like]
    return [(t * (size / t.norm())).to(w) for t, size, w in zip(noise, sizes, like, strict=True)]


def run(cell: Cell, place: Place) -> Row:
    """Learn from one walk, and let another net jump; both have other seeds and widths."""
    seed, epochs = int(cell["seed"]), int(cell["epochs"])
    splits, device = digits(int(cell["examples"])), resolve_device(place.device, "fp32")
    iterations = epochs * (int(cell["examples"]) // BATCH)
    how = {
        "lr": LR, "batch_size": BATCH, "epochs": epochs, "optimizer": "sgd",
        "settings": {"training.evaluations": STATES},
    }  # fmt: skip
    teacher = hptune.Task(partial(mlp, 64, *TEACHER), **splits)
    taught = place.train(teacher, "teacher", seed=1000 + seed, **how)
    history = _walk(teacher, taught, iterations, device).path
    learned = learn_evolution([history], seed=seed)
    file = place.folder / "evolution.pt"
    save_evolution(file, learned.evolution)

    task = hptune.Task(partial(mlp, 64, *PUPIL), **splits)
    plain = place.train(task, "plain", seed=seed, **how)
    path = _walk(task, plain, iterations, device).path
    jumped, straight = _ahead(path, learned.evolution)
    sizes = [float((jumped[name] - own).norm()) for name, own in path[JUMP].items()]
    jump = place.train(
        task, "jump", seed=seed,
        **how | {"settings": {
            "training.evaluations": STATES,
            "training.introspection": str(file),
            "training.introspection_at": [JUMP / STATES],
        }},
    )  # fmt: skip
    at = {"at": iterations * JUMP // STATES, "sizes": sizes, "seed": seed}
    kicked = {"name": f"{__name__}:{Kicked.__name__}", "args": at}
    noise = place.train(task, "noise", seed=seed, **how | {"optimizer": kicked})
    drawn = _noise(list(path[JUMP].values()), sizes, seed)
    noisy = {
        name: own + noise for (name, own), noise in zip(path[JUMP].items(), drawn, strict=True)
    }
    states = {"before": path[JUMP], "jumped": jumped, "straight": straight, "noisy": noisy}
    losses = {f"loss_{name}": _loss(splits["train"], weights) for name, weights in states.items()}
    row: dict[str, float | list[float]] = {
        **losses,
        "loss_twice": _loss(splits["train"], path[2 * JUMP]),
        "error_learned": learned.error / learned.stays,
        "error_straight": learned.straight / learned.stays,
    }
    for name, trained in {"plain": plain, "jump": jump, "noise": noise}.items():
        curve = trained.curve["val_loss"].dropna()
        row |= {
            f"{name}_train_loss": trained.metrics["train_loss"],
            f"{name}_val_loss": [float(value) for value in curve],
            f"{name}_test_accuracy": trained.metrics["test_accuracy"],
        }
    return row


def _walk(task: hptune.Task, trained: Any, iterations: int, device: Any) -> Walk:
    walk = retrace(task, trained.trial, device, every=iterations, between=1).walk
    assert len(walk.path) == STATES + 1
    return walk


def _ahead(path: Any, evolution: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return where the net expects the weights at twice the jump's time, and where a line leads."""
    jumped, straight = {}, {}
    for name, now in path[JUMP].items():
        seen = [path[round(part * JUMP)][name] for part in (0.0, 0.4, 0.7)]
        with torch.no_grad():
            values = torch.stack([t.reshape(-1).float() for t in (*seen, now)], 1)
            jumped[name] = evolution(values).view(now.shape)
        straight[name] = now + (now - seen[-1]) / 0.3
    return jumped, straight


def _loss(examples: tuple[Tensor, Tensor], weights: Mapping[str, Tensor]) -> float:
    """Return the loss with these weights."""
    model = mlp(64, *PUPIL)
    model.load_state_dict(weights)
    x, y = examples
    with torch.no_grad():
        return float(nn.functional.cross_entropy(model(x), y))


def _lower(one: str, other: str) -> Callable[[Sequence[Row]], dict[int, float]]:
    """Return how many times as high another loss of the same row is."""
    return lambda rows: {int(row["seed"]): row[other] / row[one] for row in rows}


def draw(rows: Sequence[Row], axes: Sequence[Axes]) -> None:
    """Draw the validation losses, and the training losses right after the jump."""
    x = np.arange(1, len(rows[0]["plain_val_loss"]) + 1) / len(rows[0]["plain_val_loss"])
    for name, color in WAYS.items():
        draw_curves(axes[0], rows, list(x), f"{name}_val_loss", name, color)
    axes[0].axvline(JUMP / STATES, color=GREY, linestyle=":")
    axes[0].set_yscale("log")
    axes[0].set_xlabel("part of the run")
    axes[0].set_ylabel("validation loss (log)")
    axes[0].legend()
    told = {
        "before": "before", "noisy": "noise", "straight": "straight on", "jumped": "jump",
        "twice": "twice as\nlong",
    }  # fmt: skip
    for place, name in enumerate(told):
        values = list(by_seed(rows, f"loss_{name}").values())
        color = ORANGE if name == "jumped" else BLUE
        axes[1].plot([place] * len(values), values, "o", color=color, alpha=0.6)
    axes[1].set_xticks(range(len(told)), list(told.values()))
    axes[1].set_yscale("log")
    axes[1].set_ylabel("training loss right after it (log)")


EXPERIMENT = Experiment(
    name="weight-jumps",
    title="Jumps to where weights are going",
    papers=(
        'Sinha et al. 2017, "Introspection: accelerating neural network training by learning weight '
        'evolution"'
    ),
    tells=(
        "Weights move in much the same way in all nets: fast at first, then slower in the same "
        "direction. A small net that has seen how the weights of one net moved tells where those "
        "of another will be at twice the time. A jump there saves the steps between; noise of the "
        "same size, which also takes the weights away from where they are, does not."
    ),
    setup=(
        "`hptune landscape introspection` learns from the walk of a net with one hidden layer of 64 "
        "ReLU on 500 digits. A net of two hidden layers of 48, of another seed, jumps by it after "
        f"{JUMP} of {STATES} epochs (`training.introspection`), is trained without, and with noise as "
        f"large as the jump, tensor by tensor, at the same step. SGD without momentum at LR {LR:g} in "
        "batches of 25; the order of the batches is the same."
    ),
    claims=(
        Claim(
            "A jump lowers the loss at once",
            "training loss before the jump over that right after it",
            _lower("loss_jumped", "loss_before"),
            above=1.0,
            ratio=True,
        ),
        Claim(
            "Noise of the same size does not do that",
            "training loss after the noise over that after the jump",
            _lower("loss_jumped", "loss_noisy"),
            above=1.0,
            ratio=True,
        ),
        Claim(
            "Training that jumps ends lower than plain training of as many steps",
            "training loss at the end without a jump over that with it",
            _lower("jump_train_loss", "plain_train_loss"),
            above=1.0,
            ratio=True,
        ),
        Claim(
            "And lower than with noise",
            "training loss at the end with noise over that with the jump",
            _lower("jump_train_loss", "noise_train_loss"),
            above=1.0,
            ratio=True,
        ),
        Claim(
            "The learned jump is better than going straight on",
            "training loss after a straight line, as from 0.7 t to t, over that after the jump",
            _lower("loss_jumped", "loss_straight"),
            above=1.0,
            ratio=True,
        ),
    ),
    look="the step down of the orange line at the dotted one, and whether the lead lasts.",
    change=(
        "where many runs of like nets are to be trained, walk one (`hptune landscape walk`), learn from "
        "it (`hptune landscape introspection`) and let the others jump; do not expect it to replace "
        "a good LR."
    ),
    cells=cells,
    run=run,
    draw=draw,
    panels=2,
    found=(
        "The jump lowers the training loss almost by half at once, where noise of the same size raises "
        "it, and the run ends a third lower than plain training. Going straight on is as good as what "
        "was learned: the direction is what counts. At twice the steps plain training is lower still."
    ),
)
