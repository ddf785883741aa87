"""What a user could do instead: a good fixed recipe without any search, or a joint search by Optuna.

All train by one plain loop on the same splits, weights and batch orders as hptune does. A search
has the epochs that hptune's budget allows, then trains its best point as often as hptune's final run.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import optuna
import torch
from torch import nn

import hptune
from hptune.policies import schedule
from hptune.task import Task
from hptune.training.device import reseed, resolve_device, seeded
from hptune.training.evaluation import Evaluation, evaluate
from scripts.quality import store
from scripts.quality.judge import final_seeds
from scripts.quality.problems import PROBLEMS

CPU = resolve_device("cpu", "fp32")
WARM_UP = 0.02  # of a run
ALGOPERF = {"lr": 1.75e-3, "betas": (0.9327, 0.9955), "weight_decay": 0.0812}
READINGS = 9  # of a trial that Hyperband may stop: after 1, 3 and 9 ninths
REFRESHED = 10  # batches from which BatchNorm's averages are read for averaged weights


@dataclass
class Training:
    """A run of a plain loop.

    Attributes:
        task: What is trained.
        seed: Of weights and batch order.
        batch_size: Examples a batch.
        optimizer: Makes the optimizer of a net's parameters.
        lr: Over that of the optimizer, by iteration; as long as the run.
        momentum: Momentum or beta1 by iteration, empty where it is the optimizer's own.
    """

    task: Task
    seed: int
    batch_size: int
    optimizer: Callable[[Iterator[nn.Parameter]], Any]
    lr: Sequence[float]
    momentum: Sequence[float] = field(default=())

    def __post_init__(self) -> None:
        with seeded(self.seed, CPU.torch_device):
            self.model = self.task.make_model()
        self.steps = self.optimizer(self.model.parameters())
        self.base = [group["lr"] for group in self.steps.param_groups]

    def readings(self, count: int = 1) -> Iterator[float]:
        """Train; yield the validation loss this often, the last time at the end."""
        due = {round(len(self.lr) * (k + 1) / count) for k in range(count)}
        with seeded(self.seed, CPU.torch_device):
            reseed(self.seed)
            for iteration, batch in zip(range(1, len(self.lr) + 1), self._batches(), strict=False):
                self._step(iteration - 1, batch)
                if iteration in due:
                    yield self.read("validation").loss

    def read(self, split: str) -> Evaluation:
        """Evaluate the net on a split."""
        averaged = hasattr(self.steps, "eval")  # Schedule-Free: other weights than those trained
        if averaged:
            self.steps.eval()
            with torch.no_grad():
                for _, batch in zip(range(REFRESHED), self._batches(), strict=False):
                    self.task.step(self.model, batch)
        found = evaluate(self.task, self.model, getattr(self.task, split), CPU)
        if averaged:
            self.steps.train()
        return found

    def _step(self, iteration: int, batch: Any) -> None:
        for group, base in zip(self.steps.param_groups, self.base, strict=True):
            group["lr"] = base * self.lr[iteration]
            if self.momentum and "betas" in group:
                group["betas"] = (self.momentum[iteration], *group["betas"][1:])
            elif self.momentum:
                group["momentum"] = self.momentum[iteration]
        self.task.step(self.model, batch)[0].backward()
        self.steps.step()
        self.steps.zero_grad()

    def _batches(self) -> Iterator[Any]:
        for epoch in range(len(self.lr) + 1):
            yield from self.task.train.batches(self.batch_size, seed=self.seed, epoch=epoch)


def _constant(iterations: int) -> list[float]:
    return [1.0] * iterations


def _cosine(iterations: int) -> list[float]:
    return [(1 + math.cos(math.pi * k / iterations)) / 2 for k in range(iterations)]


def _warm(falls: Callable[[int], list[float]]) -> Callable[[int], list[float]]:
    def lr(iterations: int) -> list[float]:
        rise = max(1, round(WARM_UP * iterations))
        return [(k + 1) / rise for k in range(rise)] + falls(iterations - rise)

    return lr


def _nadamw(parameters: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
    # momentum_decay so large that beta1 is constant, as in AlgoPerf's NadamW.
    return torch.optim.NAdam(
        parameters, **ALGOPERF, decoupled_weight_decay=True, momentum_decay=1e4
    )


def _schedule_free(parameters: Iterator[nn.Parameter]) -> Any:
    import schedulefree

    found = schedulefree.AdamWScheduleFree(
        parameters, lr=2.5e-3, betas=(0.9, 0.9955), weight_decay=0.0812
    )
    found.train()
    return found


def _prodigy(parameters: Iterator[nn.Parameter]) -> Any:
    import prodigyopt

    return prodigyopt.Prodigy(parameters, lr=1.0)


def _sgd(parameters: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=5e-4)


def _adam(parameters: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-3)


RECIPES: dict[str, tuple[Callable[..., Any], Callable[[int], list[float]]]] = {
    "adam-constant": (_adam, _constant),
    "adam-cosine": (_adam, _cosine),
    "nadamw": (_nadamw, _warm(_cosine)),
    "schedule-free-adamw": (_schedule_free, _warm(_constant)),
    "prodigy-cosine": (_prodigy, _cosine),
    "sgd-cosine": (_sgd, _cosine),
}
SEARCHES = ("tpe", "random")


def run_rival(name: str, rival: str, seed: int, *, budget: float) -> None:
    """Run a rival on a problem's split of a seed, unless that is stored.

    Args:
        name: Of the problem.
        rival: One of `RECIPES` or `SEARCHES`.
        seed: Of the split, the sampler and the first training.
        budget: Epochs of the search over those of the final run. A recipe has no search: its runs
            are longer by as much, 0 for the final run's length.
    """
    key = {"rival": rival, "problem": name, "seed": seed, "budget": budget}
    if store.has("rivals", **key):
        return
    task, problem, began = PROBLEMS[name].make(seed), PROBLEMS[name], time.perf_counter()
    values: dict[str, float] = {}
    try:
        if rival in SEARCHES:
            values = _searched(name, task, rival, seed, budget)
            runs = [_cycle(name, task, values, seed + k) for k in range(final_seeds(name))]
        else:
            make, lr = RECIPES[rival]
            size = problem.batch_size
            length = lr(round((1 + budget) * problem.epochs) * (len(task.train) // size))
            runs = [Training(task, seed + k, size, make, length) for k in range(final_seeds(name))]
    except ImportError as error:
        print(f"{rival}: left out: {error}; pip install -e '.[bench]'")
        return
    losses = [list(run.readings())[-1] for run in runs]
    tests = [run.read("test") for run in runs]
    accuracies = [test.metrics["accuracy"] for test in tests if "accuracy" in test.metrics]
    store.add("rivals", {
        **key,
        **{name: f"{values[name]:.4g}" if name in values else "" for name in SPACE},
        "val_loss": statistics.mean(losses),
        "test_loss": statistics.mean(test.loss for test in tests),
        "test_accuracy": statistics.mean(accuracies) if accuracies else "",
        "seconds": round(time.perf_counter() - began, 1),
    })  # fmt: skip


SPACE = ("lr", "momentum", "weight_decay", "batch_size")


def _searched(
    name: str, task: hptune.Task, sampler: str, seed: int, budget: float
) -> dict[str, float]:
    """Return the best point that a search of whole runs finds within its epochs."""
    problem = PROBLEMS[name]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        study_name=name,  # Hyperband hashes it
        sampler={"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}[
            sampler
        ](seed=seed),
        pruner=optuna.pruners.HyperbandPruner(1, READINGS, 3)
        if sampler == "tpe"
        else optuna.pruners.NopPruner(),
    )
    low, high = (1e-3, 1.0) if problem.optimizer == "sgd" else (1e-5, 1e-1)
    sizes = [problem.batch_size // 2, problem.batch_size, 2 * problem.batch_size]
    left = round(budget * READINGS)
    while left > 0:
        asked = study.ask()
        values = {
            "lr": asked.suggest_float("lr", low, high, log=True),
            "momentum": asked.suggest_float("momentum", 0.8, 0.99),
            "weight_decay": asked.suggest_float("weight_decay", 1e-6, 1e-1, log=True),
            "batch_size": asked.suggest_categorical("batch_size", sizes),
        }
        readings = islice(_cycle(name, task, values, seed).readings(READINGS), left)
        step, loss = 0, math.inf
        for step, loss in enumerate(readings, 1):
            if not math.isfinite(loss):
                break
            asked.report(loss, step)
            if step < READINGS and asked.should_prune():
                break
        left -= step
        if step == READINGS and math.isfinite(loss):
            study.tell(asked, loss)
        else:
            study.tell(asked, state=optuna.trial.TrialState.PRUNED)
    return dict(min(study.trials, key=_end).params)


def _end(trial: optuna.trial.FrozenTrial) -> tuple[bool, float]:
    """Order trials: whole ones by their loss, then those that did not come to their end."""
    step = trial.last_step or 0
    return step < READINGS, trial.intermediate_values.get(step, math.inf)


def _cycle(name: str, task: hptune.Task, values: dict[str, float], seed: int) -> Training:
    """Return hptune's 1cycle run at a point."""
    problem, size = PROBLEMS[name], int(values["batch_size"])
    per_epoch = len(task.train) // size
    lr, momentum = values["lr"], values["momentum"]
    policy = schedule(
        "1cycle", problem.epochs * per_epoch, lr=1.0, lr_min=0.1, momentum=momentum,
        momentum_min=min(0.85, momentum), iterations_per_epoch=per_epoch,
    )  # fmt: skip

    def optimizer(parameters: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
        decay = values["weight_decay"]
        if problem.optimizer == "adamw":
            return torch.optim.AdamW(parameters, lr=lr, weight_decay=decay)
        if problem.optimizer == "nadamw":
            return torch.optim.NAdam(
                parameters, lr=lr, weight_decay=decay, decoupled_weight_decay=True
            )
        return torch.optim.SGD(
            parameters, lr=lr, momentum=momentum, weight_decay=decay, nesterov=True
        )

    return Training(task, seed, size, optimizer, policy.lr.tolist(), policy.momentum.tolist())
