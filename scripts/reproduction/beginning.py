"""Runs the beginning of a row at its full length and prints it beside a log of the author's.

Usage: .venv/bin/python -m scripts.reproduction.beginning ROW LOG [--iterations 400] [--every 200]
       [--seed 0] [--device auto] [--precision auto]

LOG is one of the author's curves (iteration, lr, momentum, train_loss, test_loss, test_accuracy).
LR, momentum and order of the images are those of the whole run, of which the first iterations are
run: what takes hours on a CPU can so be compared with what the author's net had done by then.
It goes on from its snapshot. Rows go to scripts/reproduction/beginnings.csv.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from hptune.config.build import build_task
from hptune.procedure.session.session import Session
from hptune.training.device import resolve_device
from hptune.training.lengths import evaluation_points
from hptune.training.loop import run_trial
from hptune.training.trial_run import Job
from hptune.trials.progress import Silent
from scripts.reproduction.cli import HERE, RUNS, experiment_of, options, wanted

RESULTS = HERE / "beginnings.csv"
SMOOTHED = 20  # iterations before a reading, over which the training loss is averaged


def main() -> None:
    """Run the beginning and print it."""
    parser = argparse.ArgumentParser(
        prog="beginning", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("row")
    parser.add_argument("log", type=Path)
    parser.add_argument("--iterations", type=int, default=400)
    parser.add_argument("--every", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args()
    (row,) = wanted(None, [args.row])
    experiment = experiment_of(row, options([]))
    folder = RUNS / f"{args.row}-beginning"
    with Session.open(experiment, folder, device=args.device, progress=Silent()) as session:
        trial = session.now().change(seed=args.seed)
        count = round(trial.iterations / args.every)
        trial = trial.change(settings=trial.settings.change(evaluations=count))
        until = min(
            n for n in evaluation_points(trial.iterations, count) if n >= args.iterations - 1
        )
        result = run_trial(
            build_task(experiment),
            Job(trial, snapshot=folder / f"{trial.id}.snapshot", until=until),
            resolve_device(args.device, args.precision),
        )
    curve = result.curve
    ours = pd.DataFrame(
        {
            "iteration": curve.iteration,
            "lr": curve.lr,
            "train_loss": pd.Series(curve.train_loss).rolling(SMOOTHED, min_periods=1).mean(),
            "test_loss": curve.val_loss,
            "test_accuracy": curve.metrics["accuracy"],
        }
    ).dropna()
    theirs = pd.read_csv(args.log).dropna(subset="train_loss").add_prefix("author_")
    table = pd.merge_asof(
        ours, theirs, left_on="iteration", right_on="author_iteration", direction="nearest"
    )
    table.insert(0, "row", args.row)
    table.insert(1, "seed", args.seed)
    table["device"], table["log"] = result.device, args.log.name
    print(table.to_string(index=False))
    known = pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame()
    if len(known):
        known = known[(known["row"] != args.row) | (known["seed"] != args.seed)]
    pd.concat([known, table]).round(6).to_csv(RESULTS, index=False)


if __name__ == "__main__":
    main()
