"""The problems on which decisions are judged: small enough for exhaustive grids on two cores.

Every case is an experiment without hyper-parameters. A split is a seed of the data's split and
of the training both, so that repeats differ in everything that chance decides.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hptune.config.schema import Experiment

ROOT = Path(__file__).resolve().parents[2]
TABLES = ROOT / "runs" / "quality"  # ignored by git


@dataclass(frozen=True)
class Case:
    """A problem with the axes of its grid.

    `momentum` has the maximum of cyclical momentum; it falls to `momentum_min`.
    """

    experiment: Mapping[str, Any]
    lr: Sequence[float]
    weight_decay: Sequence[float]
    momentum: Sequence[float] = (0.99, 0.95, 0.9)
    batch_size: Sequence[int] = (32, 64, 128)
    final_seeds: int = 3  # of hptune's final run; one where the test set is large

    def grid(self) -> list[dict[str, float]]:
        """Return every point."""
        names = ("lr", "momentum", "weight_decay", "batch_size")
        return [
            dict(zip(names, values, strict=True))
            for values in itertools.product(
                self.lr, self.momentum, self.weight_decay, self.batch_size
            )
        ]


_SGD = {"lr": (0.01, 0.03, 0.1, 0.3, 1.0), "weight_decay": (1e-4, 1e-3, 1e-2)}
_ADAMW: dict[str, Any] = {
    "lr": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    "weight_decay": (1e-3, 1e-2, 1e-1),
    "momentum": (0.95, 0.9),
}
_HELD_OUT = {"validation": 0.2, "test": 0.3}  # test sets large enough to tell errors apart
_DIGITS = {
    "data": {"name": "digits", **_HELD_OUT},
    "model": {"name": "mlp", "args": {"hidden": [256, 256]}},
    "training": {"epochs": 30},
}
_MNIST = {
    "data": {
        "name": "image-folder",
        "path": str(ROOT / "data" / "mnist"),
        "validation": 0.2,
        "normalize": "none",
        "subset": 5000,
    },
    "model": {"name": "lenet"},
    "training": {"epochs": 5},
}
_CIFAR = {
    "data": {
        "name": "image-folder",
        "path": str(ROOT / "data" / "cifar10"),
        "validation": 0.2,
        "normalize": "mean-image",
        "scale": 255,
        "subset": 10000,
    },
    "model": {"name": "three-layer"},
    "optimizer": {
        "rules": [
            {"match": "conv[12].bias", "lr": 2},
            {"match": "linear.weight", "weight_decay": 250},
            {"match": "linear.bias", "lr": 2, "weight_decay": 0},
        ]
    },
    "training": {"epochs": 5},
}


def _table(name: str) -> dict[str, Any]:
    return {
        "data": {
            "name": "csv",
            "path": str(TABLES / f"{name}.csv"),
            "target": "target",
            "kind": "classification",
            **_HELD_OUT,
        },
        "model": {"name": "mlp", "args": {"hidden": [64, 64]}},
        "training": {"epochs": 40},
    }


def _with_adamw(experiment: Mapping[str, Any]) -> dict[str, Any]:
    return {**experiment, "optimizer": {"name": "adamw"}}


CASES: dict[str, Case] = {
    "digits-sgd": Case(_DIGITS, **_SGD),
    "digits-adamw": Case(_with_adamw(_DIGITS), **_ADAMW),
    "breast-cancer-sgd": Case(_table("breast_cancer"), batch_size=(16, 32, 64), **_SGD),
    "breast-cancer-adamw": Case(
        _with_adamw(_table("breast_cancer")), batch_size=(16, 32, 64), **_ADAMW
    ),
    "wine-sgd": Case(_table("wine"), batch_size=(8, 16, 32), **_SGD),
    "wine-adamw": Case(_with_adamw(_table("wine")), batch_size=(8, 16, 32), **_ADAMW),
    "mnist-lenet-sgd": Case(
        _MNIST,
        lr=(0.01, 0.03, 0.1, 0.3),
        weight_decay=(1e-4, 5e-4, 5e-3),
        momentum=(0.97, 0.9),
        batch_size=(64,),
    ),
    "cifar10-3layer-sgd": Case(
        _CIFAR,
        lr=(0.001, 0.003, 0.01, 0.02),
        weight_decay=(1e-4, 1e-3, 3e-3),
        momentum=(0.95, 0.9),
        batch_size=(64,),
        final_seeds=1,
    ),
}


def experiment(name: str, split: int, **changes: Any) -> Experiment:
    """Return a case's experiment with a seed for its split and its training."""
    content = dict(CASES[name].experiment)
    content["data"] = {**content["data"], "split_seed": split}
    content["training"] = {**content["training"], "precision": "fp32"}  # as the grids
    _write_table(content["data"])
    return Experiment(**{"name": name, "seed": split, **content, **changes})


def _write_table(data: Mapping[str, Any]) -> None:
    """Write one of scikit-learn's tables as a csv where it is not there yet."""
    path = Path(data.get("path", ""))
    if data["name"] != "csv" or path.exists():
        return
    import sklearn.datasets

    frame = getattr(sklearn.datasets, f"load_{path.stem}")(as_frame=True).frame
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    frame.to_csv(unfinished, index=False)
    unfinished.replace(path)
