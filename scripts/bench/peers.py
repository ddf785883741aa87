"""Other frameworks on the same work, each in a few lines, where they can be imported.

Batches come from a generator of index-selected tensors wherever a framework takes one, so that
its own Python is what is timed and not a DataLoader's.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from scripts.bench.cases import CASES
from scripts.bench.plain import MOMENTUM, WEIGHT_DECAY, Problem, problem_of, train

CANDIDATES = 8


class Batches:
    """So many shuffled batches of a problem, as an iterable with a length."""

    def __init__(self, problem: Problem, batch_size: int, iterations: int) -> None:
        self._problem, self._size, self._iterations = problem, batch_size, iterations
        self.batch_size = batch_size  # Lightning and torch-lr-finder look for it
        self.dataset = range(batch_size * iterations)

    def __len__(self) -> int:
        return self._iterations

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        examples, done = len(self._problem.y), 0
        while True:
            order = torch.randperm(examples)
            for start in range(0, examples - self._size + 1, self._size):
                if done == self._iterations:
                    return
                index = order[start : start + self._size]
                yield self._problem.x[index], self._problem.y[index]
                done += 1


def ignite_training(problem: Problem, iterations: int, batch_size: int) -> None:
    """Train by ignite's supervised trainer."""
    from ignite.engine import create_supervised_trainer

    model = problem.make_model()
    trainer = create_supervised_trainer(model, _sgd(model, problem.lr), cross_entropy)
    trainer.run(Batches(problem, batch_size, iterations), max_epochs=1)


def ignite_lr_range(problem: Problem, iterations: int, batch_size: int) -> None:
    """Run ignite's LR finder."""
    from ignite.engine import create_supervised_trainer
    from ignite.handlers import FastaiLRFinder

    model = problem.make_model()
    optimizer = _sgd(model, problem.lr / 1000)
    trainer = create_supervised_trainer(model, optimizer, cross_entropy)
    finder = FastaiLRFinder()
    with finder.attach(
        trainer, {"model": model, "optimizer": optimizer}, num_iter=iterations, end_lr=problem.lr
    ) as testing:
        testing.run(Batches(problem, batch_size, iterations))


def skorch_training(problem: Problem, iterations: int, batch_size: int) -> None:
    """Train by skorch's partial_fit on whole passes, with its own DataLoader of no workers."""
    from skorch import NeuralNet

    net = NeuralNet(
        problem.make_model, criterion=nn.CrossEntropyLoss, optimizer=torch.optim.SGD,
        optimizer__momentum=MOMENTUM, optimizer__nesterov=True, lr=problem.lr, train_split=None,
        optimizer__weight_decay=WEIGHT_DECAY, batch_size=batch_size, verbose=0,
        iterator_train=lambda dataset, **_: Batches(problem, batch_size, iterations), max_epochs=1,
    )  # fmt: skip
    net.fit(problem.x, problem.y)


def lightning_training(problem: Problem, iterations: int, batch_size: int) -> None:
    """Train by Lightning's trainer with everything switched off that can be."""
    _lightning(iterations).fit(_lightning_module(problem), Batches(problem, batch_size, iterations))


def lightning_lr_range(problem: Problem, iterations: int, batch_size: int) -> None:
    """Run Lightning's LR finder."""
    from lightning.pytorch.tuner import Tuner

    Tuner(_lightning(iterations)).lr_find(
        _lightning_module(problem), Batches(problem, batch_size, iterations),
        min_lr=problem.lr / 1000, max_lr=problem.lr, num_training=iterations,
        early_stop_threshold=None,
    )  # fmt: skip


def fastai_training(problem: Problem, iterations: int, batch_size: int) -> None:
    """Train by fastai's fit_one_cycle."""
    with _fastai(problem, iterations, batch_size) as learner:
        learner.fit_one_cycle(1, problem.lr)


def fastai_lr_range(problem: Problem, iterations: int, batch_size: int) -> None:
    """Run fastai's LR finder."""
    with _fastai(problem, iterations, batch_size) as learner:
        learner.lr_find(
            problem.lr / 1000, problem.lr, num_it=iterations, stop_div=False, show_plot=False
        )


def torch_lr_finder_lr_range(problem: Problem, iterations: int, batch_size: int) -> None:
    """Run torch-lr-finder."""
    _torch_lr_finder(problem, iterations, batch_size, reads=False)


def torch_lr_finder_reading(problem: Problem, iterations: int, batch_size: int) -> None:
    """Run torch-lr-finder, reading the validation loss at every iteration as it does."""
    _torch_lr_finder(problem, iterations, batch_size, reads=True)


def optuna_sweep(problem: Problem, iterations: int, batch_size: int) -> None:
    """Let Optuna's random sampler drive the plain loop."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: Any) -> float:
        trial.suggest_float("weight_decay", 1e-6, 1e-3, log=True)
        loss = train(problem, iterations, batch_size, trial.number)
        return loss if math.isfinite(loss) else 1e9

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=CANDIDATES)


Run = Callable[[Problem, int, int], None]
# By part and name: what must be importable, and what to run.
_PEERS: dict[str, dict[str, tuple[str, Run]]] = {
    "training": {
        "ignite": ("ignite", ignite_training),
        "skorch": ("skorch", skorch_training),
        "lightning": ("lightning", lightning_training),
        "fastai": ("fastai", fastai_training),
    },
    "lr-range": {
        "torch-lr-finder": ("torch_lr_finder", torch_lr_finder_lr_range),
        "torch-lr-finder, reading validation": ("torch_lr_finder", torch_lr_finder_reading),
        "ignite": ("ignite", ignite_lr_range),
        "lightning": ("lightning", lightning_lr_range),
        "fastai": ("fastai", fastai_lr_range),
    },
    "sweep": {"optuna": ("optuna", optuna_sweep)},
}


def available(part: str) -> list[str]:
    """Return the peers of a part that are installed."""
    return [name for name, (module, _) in _PEERS[part].items() if importlib.util.find_spec(module)]


def seconds(
    peer: str, part: str, case: str, iterations: int, batch_size: int, seed: int, device: str
) -> float:
    """Return what a peer takes for a part's work. Called in the peers' process."""
    problem, (_, run) = problem_of(case, device), _PEERS[part][peer]
    torch.manual_seed(seed)
    torch.set_num_threads(CASES[case].threads or torch.get_num_threads())
    logging.disable(logging.WARNING)
    silence = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(silence),
        contextlib.redirect_stderr(silence),
    ):
        warnings.simplefilter("ignore")
        began = time.perf_counter()
        run(problem, iterations, batch_size)
        return time.perf_counter() - began


def _sgd(model: nn.Module, lr: float) -> torch.optim.SGD:
    return torch.optim.SGD(
        model.parameters(), lr=lr, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY
    )


def _lightning(iterations: int) -> Any:
    import lightning

    return lightning.Trainer(
        max_steps=iterations, logger=False, enable_checkpointing=False, barebones=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="auto", devices=1,
    )  # fmt: skip


def _lightning_module(problem: Problem) -> Any:
    import lightning

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model, self.lr = problem.make_model(), problem.lr

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            return cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return _sgd(self.model, self.lr)

    return Module()


@contextlib.contextmanager
def _fastai(problem: Problem, iterations: int, batch_size: int) -> Iterator[Any]:
    import tempfile

    from fastai.basics import DataLoader, DataLoaders, Learner, OptimWrapper
    from fastai.callback import schedule  # noqa: F401  # it adds methods to Learner

    class Loader(DataLoader):  # type: ignore[misc]
        def __init__(self, count: int) -> None:
            super().__init__(list(range(count)), bs=batch_size)
            self._batches = Batches(problem, batch_size, count)

        def __len__(self) -> int:
            return len(self._batches)

        def __iter__(self) -> Iterator[Any]:
            yield from self._batches

    with tempfile.TemporaryDirectory() as folder:
        learner = Learner(
            DataLoaders(Loader(iterations), Loader(1), device=problem.x.device),
            problem.make_model(), loss_func=nn.CrossEntropyLoss(), path=folder,
            opt_func=lambda params, lr, **_: OptimWrapper(
                params, torch.optim.SGD, lr=lr, momentum=MOMENTUM, nesterov=True,
                weight_decay=WEIGHT_DECAY,
            ),
        )  # fmt: skip
        with learner.no_bar(), learner.no_logging():
            yield learner


def _torch_lr_finder(problem: Problem, iterations: int, batch_size: int, *, reads: bool) -> None:
    from torch_lr_finder import LRFinder, TrainDataLoaderIter, ValDataLoaderIter

    model = problem.make_model()
    finder = LRFinder(
        model, _sgd(model, problem.lr / 1000), nn.CrossEntropyLoss(), device=problem.x.device
    )
    # The validation set is read whole, as it does.
    read = Batches(problem, 256, max(1, min(1024, len(problem.y) // 8) // 256))
    finder.range_test(
        TrainDataLoaderIter(Batches(problem, batch_size, iterations)),
        val_loader=ValDataLoaderIter(read) if reads else None,
        end_lr=problem.lr,
        num_iter=iterations,
        diverge_th=1e9,
    )
