"""The problems on which decisions are judged: small enough for grids of full trainings on one core.

Every problem is a plain `hptune.Task`. A seed is that of the split and of the training both, so that
repeats differ in everything that chance decides. Batch size and weight decay of the grids are
hptune's defaults, written down here so that the grids do not move with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import sklearn.datasets
import torch
from PIL import Image
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

import hptune
from hptune.models import build
from scripts.quality.nets import (
    GPT,
    Augmented,
    RowReader,
    normalized_convolutions,
    normalized_mlp,
)

IMAGES = Path(__file__).resolve().parents[2] / "data"  # by shared/data/unpack; ignored by git
TEST_IMAGES = 1500
BLOCK = 32  # characters that the GPT sees

Splits = dict[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Problem:
    """A problem with how it is trained.

    Attributes:
        make: Returns the task of a seed.
        epochs: Length of the final run.
        batch_size: Of the grid.
        weight_decay: Of the grid.
        lr: Ends of the grid before it is extended.
        optimizer: "sgd" (with Nesterov's momentum), "adamw" or "nadamw".
        seeds: Of the grid.
        guess: The loss of guessing, from which a fall is counted where an untrained net is worse.
    """

    make: Callable[[int], hptune.Task]
    epochs: int
    batch_size: int
    weight_decay: float
    lr: tuple[float, float]
    optimizer: str = "sgd"
    seeds: int = 5
    guess: float = math.log(10)

    @property
    def iterations(self) -> int:
        """Length of the final run."""
        return self.epochs * (len(self.make(0).train) // self.batch_size)


def digits(seed: int, hidden: Sequence[int]) -> hptune.Task:
    """Return the bundled digits for an MLP."""
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    x = (x - 8) / 6  # pixels of 0 to 16; some are constant over a split
    return hptune.Task(_net("mlp", (64,), 10, hidden=list(hidden)), **_divided(x, y, seed))


def table(seed: int, name: str) -> hptune.Task:
    """Return one of scikit-learn's tables for an MLP; a regression's target is standardized."""
    x, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    outputs = 1 if y.dtype.kind == "f" else int(y.max()) + 1
    x = (x - x.mean(0)) / x.std(0)
    return hptune.Task(_net("mlp", x.shape[1:], outputs, hidden=[64, 64]), **_divided(x, y, seed))


def made_up(seed: int, kind: str, rows: int = 2000) -> hptune.Task:
    """Return made-up rows: Friedman's first regression, four classes, or two of which one is rare."""
    if kind == "friedman":
        x, y = sklearn.datasets.make_friedman1(rows, noise=1.0, random_state=0)
        x = (x - x.mean(0)) / x.std(0)
        return hptune.Task(_net("mlp", (10,), 1, hidden=[64, 64]), **_divided(x, y, seed))
    if kind == "classes":
        x, y = sklearn.datasets.make_classification(
            rows, 20, n_informative=8, n_classes=4, flip_y=0.1, random_state=0
        )
        x = (x - x.mean(0)) / x.std(0)
        return hptune.Task(_net("mlp", (20,), 4, hidden=[64, 64]), **_divided(x, y, seed))
    x, y = sklearn.datasets.make_classification(
        rows, 20, n_informative=6, weights=[0.9], flip_y=0.02, random_state=0
    )
    return hptune.Task(partial(normalized_mlp, 20, 2), **_divided(x, y, seed))


def photos(
    seed: int, net: str, side: int, train: int, *, largest: float = 2.0, augment: bool = True
) -> hptune.Task:
    """Return a subset of CIFAR-10 less the training images' mean; `largest` is that of a pixel."""
    make_model = _net(net, (3, side, side), 10)
    if augment:
        make_model = partial(Augmented, make_model)
    return hptune.Task(make_model, **centred(images("cifar10", side, train, seed), largest))


def mnist(seed: int, net: str, train: int = 4000) -> hptune.Task:
    """Return a subset of MNIST for a convolutional net, or for a GRU that reads it row by row."""
    splits = centred(images("mnist", 28, train, seed), 2.0)
    if net == "batch-norms":
        return hptune.Task(partial(normalized_convolutions, 10), **splits)
    if net == "gru":
        rows = {name: (x.squeeze(1), y) for name, (x, y) in splits.items()}
        return hptune.Task(partial(RowReader, 28, 10), **rows)
    return hptune.Task(_net(net, (1, 28, 28), 10), **splits)


def characters(seed: int) -> hptune.Task:
    """Return the help texts that ship with Python for a GPT; their last fifth is held out."""
    text, vocabulary = _text()
    tokens = text[: len(text) // (BLOCK + 1) * (BLOCK + 1)].reshape(-1, BLOCK + 1)
    held_out = len(tokens) // 5
    draws = torch.Generator().manual_seed(seed)
    first = torch.randperm(len(tokens) - held_out, generator=draws)[: 87 * 64]
    last = len(tokens) - 1 - torch.randperm(held_out, generator=draws)
    parts = {"train": first, "validation": last[:500], "test": last[500:1000]}
    given = {
        name: {"input_ids": tokens[k, :-1], "labels": tokens[k, 1:]} for name, k in parts.items()
    }
    return hptune.Task(partial(GPT, vocabulary, BLOCK), loss="model", **given)


PROBLEMS: dict[str, Problem] = {
    "digits-sgd": Problem(partial(digits, hidden=(256, 256)), 30, 64, 1e-3, (0.01, 1)),
    "digits-adamw": Problem(
        partial(digits, hidden=(256, 256)), 30, 64, 0.1, (3e-4, 0.03), optimizer="adamw"
    ),
    "breast-cancer-sgd": Problem(
        partial(table, name="breast_cancer"), 40, 32, 1e-3, (0.01, 1), guess=math.log(2)
    ),
    "wine-adamw": Problem(
        partial(table, name="wine"), 40, 8, 0.1, (3e-4, 0.03), optimizer="adamw", guess=math.log(3)
    ),
    "diabetes-sgd": Problem(
        partial(table, name="diabetes"), 40, 16, 1e-3, (1e-3, 0.1), guess=1.0
    ),
    "deep-mlp-sgd": Problem(partial(digits, hidden=(64,) * 11), 30, 64, 1e-4, (1e-3, 0.3)),
    "mnist-lenet-sgd": Problem(partial(mnist, net="lenet"), 5, 64, 1e-3, (3e-3, 0.3), seeds=2),
    "mnist-gru-adamw": Problem(
        partial(mnist, net="gru"), 6, 64, 0.1, (1e-3, 0.1), optimizer="adamw", seeds=2
    ),
    "cifar10-3layer-sgd": Problem(
        partial(photos, net="three-layer", side=32, train=2000, largest=255.0, augment=False),
        5, 32, 1e-3, (1e-4, 0.03), seeds=2,
    ),
    "photos-resnet-sgd": Problem(
        partial(photos, net="resnet-20", side=16, train=2550), 10, 64, 1e-4, (0.03, 1), seeds=2
    ),
    "photos-densenet-sgd": Problem(
        partial(photos, net="densenet-13-8", side=16, train=1500), 5, 16, 1e-4, (0.03, 1), seeds=2
    ),
    "characters-gpt-adamw": Problem(
        characters, 3, 32, 0.01, (2e-3, 0.05), optimizer="adamw", seeds=2, guess=math.log(96)
    ),
    # Added when everything was decided by those above: no rule was made on these.
    "friedman-sgd": Problem(
        partial(made_up, kind="friedman"), 40, 64, 1e-3, (3e-3, 0.3), seeds=3, guess=1.0
    ),
    "rare-class-sgd": Problem(
        partial(made_up, kind="rare"), 20, 64, 1e-3, (1e-2, 1.0), seeds=3, guess=0.33
    ),
    "mnist-batch-norms-sgd": Problem(
        partial(mnist, net="batch-norms"), 5, 64, 1e-3, (0.03, 3.0), seeds=2
    ),
    # All above train for 300 to 880 iterations; these for 72 to 434, and for 3,100 to 5,000.
    "short-classes": Problem(
        partial(made_up, kind="classes", rows=600), 4, 16, 0.1, (3e-3, 0.3), "nadamw",
        guess=math.log(4),
    ),
    "short-digits": Problem(partial(digits, hidden=(128,)), 3, 16, 0.1, (3e-3, 0.3), "nadamw"),
    "short-lenet": Problem(
        partial(mnist, net="lenet", train=1000), 2, 16, 0.1, (1e-3, 0.1), "nadamw", seeds=3
    ),
    "short-gru": Problem(
        partial(mnist, net="gru", train=1000), 3, 16, 0.1, (3e-3, 0.3), "nadamw", seeds=3
    ),
    "short-batch-norms": Problem(
        partial(mnist, net="batch-norms", train=1000), 2, 16, 0.1, (3e-3, 0.3), "nadamw", seeds=3
    ),
    "short-friedman": Problem(
        partial(made_up, kind="friedman"), 7, 16, 0.1, (3e-3, 0.3), "nadamw", guess=1.0
    ),
    "long-digits": Problem(partial(digits, hidden=(32,)), 240, 64, 0.1, (1e-4, 0.03), "nadamw"),
    "long-friedman": Problem(
        partial(made_up, kind="friedman", rows=8000), 80, 64, 0.1, (1e-4, 0.03), "nadamw",
        seeds=3, guess=1.0,
    ),
    "long-classes": Problem(
        partial(made_up, kind="classes", rows=4000), 100, 64, 0.1, (1e-4, 0.03), "nadamw",
        seeds=3, guess=math.log(4),
    ),
}  # fmt: skip


def _net(name: str, shape: tuple[int, ...], outputs: int, **args: Any) -> Callable[[], nn.Module]:
    return partial(build, name, args, input_shape=shape, outputs=outputs)


def _divided(x: np.ndarray, y: np.ndarray, seed: int) -> Splits:
    """Return half, a fifth and three tenths of a table, by class where it has classes."""
    labels = y if y.dtype.kind == "i" else None
    rest, test = train_test_split(
        np.arange(len(y)), test_size=0.3, random_state=seed, stratify=labels
    )
    within = None if labels is None else labels[rest]
    train, validation = train_test_split(rest, test_size=2 / 7, random_state=seed, stratify=within)
    inputs, targets = torch.from_numpy(x).float(), torch.from_numpy(y)
    if labels is None:
        targets = torch.from_numpy((y - y[train].mean()) / y[train].std()).float()[:, None]
    parts = {"train": train, "validation": validation, "test": test}
    return {name: (inputs[k], targets[k]) for name, k in parts.items()}


def images(name: str, side: int, train: int, seed: int) -> Splits:
    """Return images (N, C, H, W) of 0 to 1 and classes; a quarter as many for validation as `train`."""
    x, y = _read(name, "train", side, train + train // 4)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    parts = {"train": order[:train], "validation": order[train:]}
    splits = {part: (x[k], y[k]) for part, k in parts.items()}
    return {**splits, "test": _read(name, "test", side, TEST_IMAGES)}


@lru_cache(maxsize=4)
def _read(name: str, part: str, side: int, count: int) -> tuple[Tensor, Tensor]:
    """Read the same images of a set whatever the seed, scaled to `side` pixels."""
    folder = IMAGES / name / part
    if not folder.is_dir():
        raise SystemExit(f"{folder}: not there; lay it out with shared/data/unpack {IMAGES}")
    classes = sorted(path.name for path in folder.iterdir())
    paths = sorted(folder.glob("*/*"))
    chosen = np.random.default_rng(0).permutation(len(paths))[:count]
    images = []
    for k in chosen:
        with Image.open(paths[k]) as image:
            scaled = (
                image if image.width == side else image.resize((side, side), Image.Resampling.BOX)
            )
            images.append(np.atleast_3d(np.asarray(scaled)))
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return x.contiguous(), torch.tensor([classes.index(paths[k].parent.name) for k in chosen])


def centred(splits: Splits, largest: float) -> Splits:
    mean = splits["train"][0].mean(0)
    return {name: ((x - mean) * largest, y) for name, (x, y) in splits.items()}


@lru_cache(maxsize=1)
def _text() -> tuple[Tensor, int]:
    """Return the characters of Python's help topics as numbers, and how many differ."""
    text = "".join(topic for _, topic in sorted(topics.items()))
    known = "\n" + "".join(map(chr, range(32, 127)))
    return torch.tensor([known.index(c) for c in text if c in known]), len(known)
