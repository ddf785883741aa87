"""Hundreds of LR range tests on problems that fool LR finders, held against exhaustive LR grids.

Usage: python -m scripts.quality.range_tests [--seeds 16] [--jobs 1] [PROBLEM ...]

For every problem and seed: hptune's reading, its confirmed LR and fastai's four rules on the same
curve; then a 1cycle run at each of them and at every LR of a grid. A suggestion is good where its
run ends within 10 % of the grid's best validation loss, or of the fall to it. Rows go to
scripts/quality/results/range-tests.csv; the summary has a line a finder and one a problem.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sklearn.datasets
import torch
from torch import Tensor, nn

from hptune.analysis.criterion import LOSS
from hptune.analysis.rules import named_rules
from hptune.data.sources.memory import TensorSource
from hptune.errors import StageError
from hptune.procedure import defaults
from hptune.procedure.compare import PairedRuns
from hptune.procedure.lr_range import decide_lr, run_bracket
from hptune.procedure.range_test import run_lr_range
from hptune.results.records import Trial
from hptune.results.run_dir import RunDir
from hptune.results.settings import OptimizerSpec, TrainingSettings
from hptune.stages import LR_RANGE, SWEEP
from hptune.step import LossOf
from hptune.task import Task
from hptune.training.device import resolve_device
from hptune.training.loop import run_trial
from hptune.training.trial_run import Job
from hptune.trials.progress import Silent
from hptune.trials.run import Runner
from scripts.quality import store

ROWS = "range-tests"
OLD = "range-tests-before"  # rows of earlier code: their grids are used again
LENGTH = 200  # iterations of the runs that judge an LR
TEST_LENGTH = 150
FINDERS = ("reading", "confirmed", "valley", "steep", "minimum", "slide")
GOOD = 0.1


@dataclass(frozen=True)
class Problem:
    """A problem; `data` gives inputs and targets, of which a third is held out by seed."""

    data: Callable[[int], tuple[Tensor, Tensor]]
    model: Callable[[int, int], nn.Module]
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy
    optimizer: str = "sgd"
    batch_size: int = 64


def digits(seed: int) -> tuple[Tensor, Tensor]:
    """Return the bundled digits as rows of 64 pixels."""
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    return _standardized(x), torch.from_numpy(y)


def random_labels(seed: int) -> tuple[Tensor, Tensor]:
    """Return the digits with labels that say nothing of them."""
    x, y = digits(seed)
    return x, y[torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))]


def images(seed: int) -> tuple[Tensor, Tensor]:
    """Return the digits as images."""
    x, y = digits(seed)
    return x.reshape(-1, 1, 8, 8), y


def table(name: str) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Return one of scikit-learn's tables."""

    def load(seed: int) -> tuple[Tensor, Tensor]:
        x, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
        targets = torch.from_numpy(y)
        return _standardized(x), targets if targets.dtype is torch.int64 else targets.float()

    return load


def raw_regression(seed: int) -> tuple[Tensor, Tensor]:
    """Return diabetes with its targets as they are: the squared error starts at 3e4."""
    x, y = sklearn.datasets.load_diabetes(return_X_y=True)
    return _standardized(x), torch.from_numpy(y).float()[:, None]


def scaled_regression(seed: int) -> tuple[Tensor, Tensor]:
    """Return diabetes with standardized targets."""
    x, y = raw_regression(seed)
    return x, (y - y.mean()) / y.std()


def raw_table(seed: int) -> tuple[Tensor, Tensor]:
    """Return wine with its columns as they are, from 0.1 to 1,700."""
    x, y = sklearn.datasets.load_wine(return_X_y=True)
    return torch.from_numpy(x).float(), torch.from_numpy(y)


def mlp(*hidden: int, norm: bool = False, scale: float = 1.0) -> Callable[[int, int], nn.Module]:
    """Return a maker of nets; `scale` multiplies the initial weights."""

    def make(inputs: int, outputs: int) -> nn.Module:
        layers: list[nn.Module] = []
        for width in hidden:
            layers.append(nn.Linear(inputs, width))
            layers += [nn.BatchNorm1d(width)] * norm + [nn.ReLU()]
            inputs = width
        net = nn.Sequential(*layers, nn.Linear(inputs, outputs))
        with torch.no_grad():
            for p in net.parameters():
                p.mul_(scale)
        return net

    return make


def conv(inputs: int, outputs: int) -> nn.Module:
    """Return a small convolutional net."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, outputs),
    )  # fmt: skip


class Dead(nn.Module):
    """Cannot learn: its output does not depend on its weights."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.net = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) * 0.0


def gaussian(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the negative log-likelihood of a narrow normal: below zero when it fits."""
    mean, log_std = outputs.chunk(2, dim=1)
    log_std = log_std.clamp(-5, 5)
    return (((targets - mean) / log_std.exp()) ** 2 / 2 + log_std - 3.0).mean()


SQUARED = nn.functional.mse_loss
PROBLEMS: dict[str, Problem] = {
    "digits mlp": Problem(digits, mlp(128, 128)),
    "digits mlp adamw": Problem(digits, mlp(128, 128), optimizer="adamw"),
    "digits mlp rmsprop": Problem(digits, mlp(128, 128), optimizer="rmsprop"),
    "digits mlp batch norm": Problem(digits, mlp(128, 128, norm=True)),
    "digits mlp weights x 5": Problem(digits, mlp(128, 128, scale=5.0)),
    "digits mlp weights x 0.2": Problem(digits, mlp(128, 128, scale=0.2)),
    "digits linear": Problem(digits, mlp()),
    "digits conv": Problem(images, conv),
    "digits conv adamw": Problem(images, conv, optimizer="adamw"),
    "digits 10 layers, no norm": Problem(digits, mlp(*[64] * 10)),
    "digits 10 layers, no norm, adamw": Problem(digits, mlp(*[64] * 10), optimizer="adamw"),
    "digits batch of 4": Problem(digits, mlp(128, 128), batch_size=4),
    "digits random labels": Problem(random_labels, mlp(128, 128)),
    "digits cannot learn": Problem(digits, Dead),
    "wine batch of 8": Problem(table("wine"), mlp(32), batch_size=8),
    "wine raw columns, adamw": Problem(raw_table, mlp(32), optimizer="adamw", batch_size=16),
    "breast cancer": Problem(table("breast_cancer"), mlp(64, 64), batch_size=32),
    "breast cancer adamw": Problem(
        table("breast_cancer"), mlp(64, 64), optimizer="adamw", batch_size=32
    ),
    "diabetes": Problem(scaled_regression, mlp(64), SQUARED, batch_size=32),
    "diabetes, loss from 3e4": Problem(raw_regression, mlp(64), SQUARED, batch_size=32),
    "diabetes, loss from 3e4, adamw": Problem(
        raw_regression, mlp(64), SQUARED, optimizer="adamw", batch_size=32
    ),
    "diabetes, loss below 0": Problem(
        scaled_regression, lambda i, o: mlp(64)(i, 2), gaussian, batch_size=32
    ),
}


def main() -> None:
    """Run what is missing and print the summaries."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problems", nargs="*", metavar="PROBLEM")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    rows = store.read(ROWS)
    done = {(row["problem"], int(row["seed"])) for row in rows}
    grids = {(row["problem"], int(row["seed"])): _losses(row["grid"]) for row in store.read(OLD)}
    wanted = [
        (name, seed, grids.get((name, seed)))
        for name in args.problems or PROBLEMS
        for seed in range(args.seeds)
        if (name, seed) not in done
    ]
    with ProcessPoolExecutor(args.jobs, initializer=_one_thread) as pool:
        for row in pool.map(judge, *zip(*wanted, strict=True)) if wanted else ():
            store.add(ROWS, row)
    summarize(store.read(ROWS))


def make_task(name: str, seed: int) -> Task:
    """Return a problem as a task, split by the seed."""
    problem = PROBLEMS[name]
    x, y = problem.data(seed)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1000 + seed))
    x, y = x[order], y[order]
    cut = 2 * len(x) // 3
    outputs = int(y.max()) + 1 if y.dtype is torch.int64 else 1
    return Task(
        make_model=lambda: problem.model(x[0].numel(), outputs),
        train=TensorSource(x[:cut], y[:cut]),
        validation=TensorSource(x[cut:], y[cut:]),
        step=LossOf(problem.loss),
        metrics={},
        fingerprint=f"{name}/{seed}",
    )


def judge(name: str, seed: int, known: dict[float, float] | None) -> dict[str, object]:
    """Find LRs by every finder and train at each, and at a grid unless its losses are known."""
    problem, task, device = PROBLEMS[name], make_task(name, seed), resolve_device("cpu", "fp32")
    decay = 0.0 if problem.optimizer == "rmsprop" else 1e-4
    base = Trial(
        stage=LR_RANGE, task=task.fingerprint, seed=seed, iterations=TEST_LENGTH,
        batch_size=problem.batch_size, lr=1.0, momentum=0.95, momentum_min=0.85,
        weight_decay=decay, optimizer=OptimizerSpec(name=problem.optimizer),
    )  # fmt: skip
    low, high = defaults.lr_range(adaptive=problem.optimizer != "sgd")
    with tempfile.TemporaryDirectory() as folder, RunDir.open(Path(folder)) as run_dir:
        runner = Runner(task, run_dir, device, Silent())
        test = run_lr_range(runner, base, low=low, high=high, examples=len(task.validation))
        reading = test.reading
        short = base.change(iterations=LENGTH // 2, lr_min=reading.lr_max / 10)
        candidates = run_bracket(
            PairedRuns(runner), short, reading.lr_max, reached=test.reached(LOSS)
        )
        try:
            confirmed = float(decide_lr(test, candidates)[0].value)
        except StageError:  # it says so: every candidate diverged
            confirmed = math.nan
    last = test.results[-1].curve
    found = {
        "reading": reading.lr_max,
        "confirmed": confirmed,
        **named_rules(last.lr, last.train_loss),
    }
    run = base.change(iterations=LENGTH, settings=TrainingSettings(evaluations=1), stage=SWEEP)

    def loss_at(lr: float) -> float:
        """Return the mean loss over two other seeds, so that no LR is good by luck alone."""
        if not math.isfinite(lr):
            return math.nan
        trials = [run.change(lr=lr, lr_min=lr / 10, seed=100 + seed + k) for k in range(2)]
        losses = [run_trial(task, Job(trial), device).val_loss for trial in trials]
        return statistics.mean(math.nan if loss is None else loss for loss in losses)

    lrs = [float(f"{10 ** (k / 2):.2g}") for k in range(round(2 * math.log10(low)), 3)]
    losses = known or {lr: loss_at(lr) for lr in lrs}
    best = min(losses, key=lambda lr: (not math.isfinite(losses[lr]), losses[lr]))
    start = run_trial(task, Job(run.change(iterations=1, lr=1e-12, lr_min=1e-13)), device).val_loss
    return {
        "problem": name,
        "seed": seed,
        "verdict": reading.verdict,
        "tests": len(test.results),
        "interval_low": reading.interval[0],
        "interval_high": reading.interval[1],
        **{f"{finder}_lr": found[finder] for finder in FINDERS},
        "grid_lr": best,
        "start_loss": start,
        "grid_loss": losses[best],
        **{f"{finder}_loss": loss_at(found[finder]) for finder in FINDERS},
        "grid": " ".join(f"{lr:g}:{loss:.5g}" for lr, loss in losses.items()),
        "confirmation": " ".join(
            f"{label}:{results[0].val_loss}" for label, results in candidates.items()
        ),
    }


def summarize(rows: Sequence[dict[str, str]]) -> None:
    """Print how often each finder was good, where a good LR exists, and how it varies."""
    learnable = [row for row in rows if _learnable(row)]
    print(f"{len(rows)} range tests on {len({row['problem'] for row in rows})} problems; a good LR")
    print(f"exists in {len(learnable)} of them\n")
    print("finder | finite | within 10 % of the best loss | of the fall to it | quartiles' ratio")
    for finder in FINDERS:
        finite = sum(math.isfinite(float(row[f"{finder}_lr"])) for row in rows) / len(rows)
        good = statistics.mean(_good(row, finder)[0] for row in learnable)
        fall = statistics.mean(_good(row, finder)[1] for row in learnable)
        print(
            f"{finder} | {finite:.1%} | {good:.1%} | {fall:.1%} | {_stability(learnable, finder)}"
        )
    hindsight = [_hindsight(row, learnable) for row in learnable]
    shares = [statistics.mean(pair[k] for pair in hindsight) for k in range(2)]
    print(
        f"the grid's LR that was best for the other seeds | | {shares[0]:.1%} | {shares[1]:.1%} |"
    )
    print("\nproblem | verdicts | median LR (quartiles) | grid's | good: " + ", ".join(FINDERS))
    for name in dict.fromkeys(row["problem"] for row in rows):
        own = [row for row in rows if row["problem"] == name]
        verdicts = {v: sum(row["verdict"] == v for row in own) for v in {r["verdict"] for r in own}}
        lrs = [
            float(row["confirmed_lr"]) for row in own if math.isfinite(float(row["confirmed_lr"]))
        ]
        quartiles = np.quantile(lrs, [0.25, 0.5, 0.75]) if lrs else [math.nan] * 3
        best = statistics.median(float(row["grid_lr"]) for row in own)
        known = [row for row in own if _learnable(row)]
        shares = [
            f"{statistics.mean(_good(row, f)[1] for row in known):.0%}" if known else "-"
            for f in FINDERS
        ]
        print(
            f"{name} | {verdicts} | {quartiles[1]:.2g} ({quartiles[0]:.2g}-{quartiles[2]:.2g}) | "
            f"{best:.2g} | {' '.join(shares)}"
        )


def _learnable(row: dict[str, str]) -> bool:
    """Say whether the grid's best run learned anything."""
    start, best = float(row["start_loss"]), float(row["grid_loss"])
    return math.isfinite(best) and start - best > 0.1 * abs(start)


def _good(row: dict[str, str], finder: str) -> tuple[bool, bool]:
    """Return whether a finder's run ended within 10 % of the best loss; of the fall to it."""
    return _near(float(row[f"{finder}_loss"]), row)


def _hindsight(row: dict[str, str], rows: Sequence[dict[str, str]]) -> tuple[bool, bool]:
    """Return the same for what no finder can know: the problem's best LR over the other seeds."""
    others = [
        _losses(other["grid"])
        for other in rows
        if other["problem"] == row["problem"] and other["seed"] != row["seed"]
    ]
    own = _losses(row["grid"])
    means = {lr: statistics.mean(losses[lr] for losses in others) for lr in own}
    best = min(means, key=lambda lr: (not math.isfinite(means[lr]), means[lr]))
    return _near(own[best], row)


def _near(loss: float, row: dict[str, str]) -> tuple[bool, bool]:
    if not math.isfinite(loss):
        return False, False
    best = float(row["grid_loss"])
    fall = float(row["start_loss"]) - best
    return loss <= best + GOOD * abs(best), loss <= best + GOOD * fall


def _stability(rows: Sequence[dict[str, str]], finder: str) -> str:
    ratios = []
    for name in {row["problem"] for row in rows}:
        lrs = [float(row[f"{finder}_lr"]) for row in rows if row["problem"] == name]
        lrs = [lr for lr in lrs if math.isfinite(lr)]
        if len(lrs) > 3:
            low, high = np.quantile(lrs, [0.25, 0.75])
            ratios.append(float(high / low))
    if not ratios:
        return "-"
    return f"median {statistics.median(ratios):.2f}, worst {max(ratios):.2f}"


def _standardized(x: np.ndarray) -> Tensor:
    return torch.from_numpy((x - x.mean(0)) / (x.std(0) + 1e-6)).float()


def _one_thread() -> None:
    torch.set_num_threads(1)
    os.nice(10)


def _losses(text: str) -> dict[float, float]:
    pairs = (pair.split(":") for pair in text.split())
    return {float(lr): float(loss) for lr, loss in pairs}


if __name__ == "__main__":
    main()
