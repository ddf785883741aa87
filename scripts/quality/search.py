"""Holds hptune's search against Optuna's TPE with Hyperband and random search at equal compute.

Usage: python -m scripts.quality.search CASE [CASE ...] [--splits 10] [--jobs 1]

Both samplers search the same space with 1, 2 and 4 times the epochs that hptune's own search took
on the same split (scripts/quality/results/hptune-CASE.csv, from scripts.quality.regret), and train
their best point as often as hptune's final run. Rows go to results/search-CASE.csv.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Literal

from hptune.procedure.search import run_search
from hptune.procedure.session.context import Context
from hptune.procedure.session.problem import Problem
from hptune.results.records import Status, TrialResult
from hptune.results.run_dir import RunDir
from hptune.stages import FINAL, SEARCH
from hptune.training.device import resolve_device
from hptune.trials.budget import Budget
from hptune.trials.progress import Silent
from hptune.trials.run import Runner
from hptune.trials.space import Choice, Range, Space
from scripts.quality.cases import CASES, experiment
from scripts.quality.grid import RESULTS, read
from scripts.quality.regret import append, one_thread, spread

TIMES = (1, 2, 4)
SAMPLERS: tuple[Literal["tpe", "random"], ...] = ("tpe", "random")


def main() -> None:
    """Search where it is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="+", choices=list(CASES))
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    for name in args.cases:
        path = RESULTS / f"search-{name}.csv"
        done = {(int(row["split"]), row["sampler"]) for row in read(path)}
        mine = read(RESULTS / f"hptune-{name}.csv")
        todo = [
            (name, sampler, int(row["split"]), float(row["search_epochs"]))
            for row in mine
            for sampler in SAMPLERS
            if int(row["split"]) < args.splits and (int(row["split"]), sampler) not in done
        ]
        with ProcessPoolExecutor(args.jobs, initializer=one_thread) as pool:
            for rows in pool.map(search, *zip(*todo, strict=True)) if todo else ():
                for row in rows:
                    append(path, row)
        summarize(name)


def search(
    name: str, sampler: Literal["tpe", "random"], split: int, epochs: float
) -> list[dict[str, object]]:
    """Search a split with up to four times the epochs; return a row for each amount."""
    settings, device = experiment(name, split), resolve_device("cpu", "fp32")
    case, began = CASES[name], time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, RunDir.open(Path(folder)) as run_dir:
        setup = Context(Problem(settings, run_dir, device), Silent(), {})
        size = setup.batch_size(quiet=True)
        adaptive = "optimizer" in case.experiment and case.experiment["optimizer"].get("name")
        low, high = (1e-5, 1e-1) if adaptive else (1e-3, 1.0)
        if name.startswith("cifar10"):
            low, high = 1e-4, 1e-1  # pixels of 0 to 255 want less
        space: Space = {
            "lr": Range(low, high, log=True),
            "momentum": Range(0.8, 0.99),
            "weight_decay": Range(1e-6, 1e-1, log=True),
            "batch_size": Choice([size // 2, size, size * 2]),
        }
        base = setup.whole(SEARCH, lr=high, quiet=True)
        budget = Budget(TIMES[-1] * epochs)
        runner = Runner(setup.task, run_dir, device, Silent(), budget)
        results = run_search(
            runner, base, space, sampler=sampler, seed=split, prune=sampler == "tpe"
        )
        rows = []
        for times in TIMES:
            best, spent = _best_within(results, times * epochs)
            final = Runner(setup.task, run_dir, device, Silent())
            trials = [
                best.trial.change(stage=FINAL, seed=split + k) for k in range(case.final_seeds)
            ]
            finals = final.read_test(final.run(trials))
            accuracies = [r.test_metrics["accuracy"] for r in finals]
            known = [value for value in accuracies if value is not None]
            rows.append(
                {
                    "split": split,
                    "sampler": sampler,
                    "times": times,
                    "epochs": round(spent, 2),
                    "trials": len(results),
                    "lr": best.trial.lr,
                    "momentum": best.trial.momentum,
                    "weight_decay": best.trial.weight_decay,
                    "batch_size": best.trial.batch_size,
                    "test_accuracy": statistics.mean(known) if known else math.nan,
                    "seconds": round(time.perf_counter() - began, 1),
                }
            )
    return rows


def _best_within(results: list[TrialResult], epochs: float) -> tuple[TrialResult, float]:
    """Return the best trial of those that so many epochs had room for, and the epochs they took."""
    spent, seen = 0.0, []
    for result in results:
        if seen and spent + result.epochs > epochs:
            break
        spent += result.epochs
        seen.append(result)
    done = [r for r in seen if r.status is Status.COMPLETE and r.val_loss is not None]
    return min(
        done or seen, key=lambda r: r.val_loss if r.val_loss is not None else math.inf
    ), spent


def summarize(name: str) -> None:
    """Print hptune's line and one a sampler and amount, with the paired difference to hptune."""
    mine = {int(row["split"]): row for row in read(RESULTS / f"hptune-{name}.csv")}
    rows = read(RESULTS / f"search-{name}.csv")
    splits = {int(row["split"]) for row in rows}
    error = {s: 100 * (1 - float(mine[s]["test_accuracy"])) for s in splits}
    epochs = statistics.mean(float(mine[s]["search_epochs"]) for s in splits)
    print(f"\n{name}, n = {len(splits)} | search epochs | test error % | less hptune's")
    print(f"hptune | {epochs:.0f} | {spread(error.values())} |")
    for sampler in SAMPLERS:
        for times in TIMES:
            own = {
                int(row["split"]): row
                for row in rows
                if row["sampler"] == sampler and int(row["times"]) == times
            }
            theirs = {s: 100 * (1 - float(row["test_accuracy"])) for s, row in own.items()}
            spent = statistics.mean(float(row["epochs"]) for row in own.values())
            print(
                f"{sampler} {times} x | {spent:.0f} | {spread(theirs.values())} | "
                f"{spread([theirs[s] - error[s] for s in theirs])}"
            )


if __name__ == "__main__":
    main()
