"""The problems that are timed, as hptune takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from hptune.config.build import build_task
from hptune.config.load import load_experiment
from hptune.data.sources.memory import TensorSource
from hptune.results.records import Trial
from hptune.results.settings import PolicySpec, TrainingSettings
from hptune.stages import SWEEP
from hptune.step import LossOf
from hptune.task import Task

ROOT = Path(__file__).resolve().parents[2]
CIFAR10 = ROOT / "data" / "cifar10"
SUBSET = 12_000  # images, a tenth of them for validation


@dataclass(frozen=True, kw_only=True)
class Case:
    """A data set and a net with a batch size.

    Attributes:
        config: File in configs/; None for the bundled digits.
        lr: At which no loss diverges.
        threads: CPU threads of the plain loop and the peers, where torch's own choice is slower:
            iterations of a millisecond lose by a second thread. 0 leaves torch's choice.
        iterations: Of a timed run by part; at most two seconds or so on two cores.
        gpu: Whether it takes a GPU.
    """

    name: str
    batch_size: int
    lr: float
    iterations: Mapping[str, int]
    config: str | None = None
    threads: int = 0
    gpu: bool = False


CASES = {
    case.name: case
    for case in (
        Case(
            name="digits/mlp",
            batch_size=64,
            lr=0.05,
            threads=1,
            iterations={
                "training": 380,
                "lr-range": 100,
                "own-loop": 760,
                "sweep": 380,
                "scaling": 190,
                "modes": 500,
            },
        ),
        Case(
            name="cifar10/three-layer",
            config="cifar10-3layer.yaml",
            batch_size=128,
            lr=0.0005,
            iterations={
                "training": 16,
                "lr-range": 100,
                "sweep": 12,
                "batch-size": 16,
                "modes": 200,
            },
        ),
        Case(
            name="cifar10/resnet-20",
            config="cifar10-resnet20.yaml",
            batch_size=128,
            lr=0.05,
            iterations={"training": 8, "lr-range": 24, "sweep": 5, "modes": 100},
        ),
        Case(
            name="cifar10/resnet-56",
            config="cifar10-resnet56.yaml",
            batch_size=512,
            lr=0.05,
            iterations={"training": 60, "lr-range": 100, "sweep": 20, "modes": 50},
            gpu=True,
        ),
    )
}


@lru_cache(maxsize=1)
def task_of(name: str) -> Task:
    """Return a case's task; random images stand in for CIFAR-10 where that is not there."""
    case = CASES[name]
    if case.config is None:
        return build_task(load_experiment(None))
    if not CIFAR10.is_dir():
        return _with_random_images(case)
    # Without augmentation: the plain loop has none.
    changes = (f"data.path={CIFAR10}", f"data.subset={SUBSET}", "data.flip=false", "data.crop=0")
    return build_task(load_experiment(ROOT / "configs" / case.config, changes))


def _with_random_images(case: Case) -> Task:
    import torch

    from hptune import models
    from hptune.data.sources.normalize import image_normalization
    from hptune.task import Accuracy, MetricSpec

    assert case.config is not None
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (SUBSET, 3, 32, 32), dtype=np.uint8)
    labels = torch.from_numpy(rng.integers(0, 10, SUBSET))
    train, pixels = SUBSET * 9 // 10, torch.from_numpy(images)
    normalize = image_normalization(images, np.arange(train), "mean-image", 255)
    net = load_experiment(ROOT / "configs" / case.config).model.name
    return Task(
        make_model=lambda: models.build(net, {}, input_shape=(3, 32, 32), outputs=10),
        train=TensorSource(pixels[:train], labels[:train], normalize=normalize),
        validation=TensorSource(pixels[train:], labels[train:], normalize=normalize),
        step=LossOf(torch.nn.functional.cross_entropy),
        metrics={"accuracy": MetricSpec(Accuracy)},
        classes=10,
        data="random",
        model=net,
        fingerprint=f"random-{net}",
    )


def trial_of(case: Case, iterations: int, seed: int, *, precision: str = "fp32") -> Trial:
    """Return a run of a case that reads one validation example, at its end."""
    return Trial(
        stage=SWEEP,
        task=task_of(case.name).fingerprint,
        seed=seed,
        iterations=iterations,
        batch_size=case.batch_size,
        lr=case.lr,
        lr_min=case.lr / 10,
        momentum=0.95,
        momentum_min=0.85,
        weight_decay=1e-4,
        policy=PolicySpec(name="1cycle"),
        settings=TrainingSettings(precision=precision, evaluations=1, evaluate_limit=1),
    )
