"""Holds hptune's choices against the best of an exhaustive grid, split by split.

Usage: python -m scripts.quality.regret CASE [CASE ...] [--splits 10] [--jobs 1] [--again]

Regret is the test error of hptune's final run less that of the grid's best by validation. Two
grid choices are shown: the best of each split's own grid, by its validation loss, and the point
that is best over all splits. Rows go to scripts/quality/results/hptune-CASE.csv; a split that is
there is not run again, unless with --again.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import torch

from hptune.procedure.session.session import Session
from hptune.stages import FINAL
from hptune.trials.progress import Silent
from scripts.quality.cases import CASES, experiment
from scripts.quality.grid import AXES, RESULTS, best_point, read


def main() -> None:
    """Run the procedure where it is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="+", choices=list(CASES))
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--again", action="store_true")
    args = parser.parse_args()
    print(
        "case | n | test error % | best of each split's grid | best point over all splits | "
        "regret against each | cost of the search in final runs"
    )
    for name in args.cases:
        path = RESULTS / f"hptune-{name}.csv"
        if args.again:
            path.unlink(missing_ok=True)
        done = {int(row["split"]) for row in read(path)}
        todo = [split for split in range(args.splits) if split not in done]
        experiment(name, 0)  # writes the case's table before there are several processes
        with ProcessPoolExecutor(args.jobs, initializer=one_thread) as pool:
            for row in pool.map(partial(run_procedure, name), todo):
                append(path, row)
        print(summary(name), flush=True)


def run_procedure(name: str, split: int) -> dict[str, object]:
    """Run all of `hptune run` on a split and return what it chose, reached and cost."""
    seeds = CASES[name].final_seeds
    settings = experiment(name, split, procedure={"final": {"seeds": seeds}})
    began = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        Session.open(settings, Path(folder), device="cpu", progress=Silent(), jobs=1) as session,
    ):
        outcome = session.run()
    decided = {decision.parameter: decision.value for decision in outcome.decisions}
    final = [r for r in outcome.results if r.trial.stage == FINAL][-seeds:]
    unique = {r.trial.id: r for r in outcome.results if r.trial.stage != FINAL}
    accuracies = [r.test_metrics["accuracy"] for r in final]
    return {
        "split": split,
        **{axis: decided[axis] for axis in AXES},
        "epochs": round(final[0].epochs, 2),
        "search_epochs": round(sum(r.epochs for r in unique.values()), 2),
        "trials": len(unique),
        "test_accuracy": statistics.mean(a for a in accuracies if a is not None),
        "seeds": sum(a is not None for a in accuracies),
        "seconds": round(time.perf_counter() - began, 1),
    }


def summary(name: str) -> str:
    """Return a line of the table."""
    mine = {int(row["split"]): row for row in read(RESULTS / f"hptune-{name}.csv")}
    rows = read(RESULTS / f"grid-{name}.csv")
    grid = [r for r in rows if r["status"] == "complete" and int(r["split"]) in mine]
    error = {split: 100 * (1 - float(row["test_accuracy"])) for split, row in mine.items()}
    cost = statistics.mean(
        float(row["search_epochs"]) / CASES[name].experiment["training"]["epochs"]
        for row in mine.values()
    )
    line = f"{name} | {len(error)} | {spread(error.values())} | "
    if not grid:
        return line + f"no grid | {cost:.2f}"
    whole = len(CASES[name].grid())
    splits = [s for s in mine if sum(int(r["split"]) == s for r in rows) >= whole]
    own = {s: _error(min((r for r in grid if int(r["split"]) == s), key=_loss)) for s in splits}
    point = best_point(rows)
    overall = {
        int(r["split"]): _error(r)
        for r in grid
        if all(float(r[axis]) == point[axis] for axis in AXES)
    }
    return (
        line
        + f"{spread(own.values())} (n = {len(own)}) | {spread(overall.values())} "
        + f"({' '.join(f'{value:g}' for value in point.values())}) | "
        + f"{spread([error[s] - own[s] for s in own])} | "
        + f"{spread([error[s] - overall[s] for s in overall])} | {cost:.2f} x"
    )


def append(path: Path, row: dict[str, object]) -> None:
    """Add a row to a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def one_thread() -> None:
    """Leave the machine to others: one thread, and low priority."""
    torch.set_num_threads(1)
    os.nice(10)


def _loss(row: dict[str, str]) -> float:
    loss = float(row["val_loss"])
    return loss if math.isfinite(loss) else math.inf


def _error(row: dict[str, str]) -> float:
    return 100 * (1 - float(row["test_accuracy"]))


def spread(values: object) -> str:
    """Return mean ± standard deviation."""
    numbers = list(values)  # type: ignore[call-overload]
    spread = statistics.stdev(numbers) if len(numbers) > 1 else 0.0
    return f"{statistics.mean(numbers):.2f} ± {spread:.2f}"


if __name__ == "__main__":
    main()
