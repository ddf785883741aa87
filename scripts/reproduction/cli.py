"""Runs rows of the report's tables with the report's hyper-parameters and prints ours beside theirs.

Usage: scripts/reproduce --table 1|2|super-convergence [--rows ID ...] [--seeds 4]
       [--device auto] [--scale 1.0] [--minutes N] [--tuned | --as-tuned] [--change NAME] [--list]
       [--results FILE]

A row is a config of configs/ with changes (scripts/reproduction/rows.yaml). It trains on all
training images; the test set is read along the way, as the author did, and at the end, which is
what is reported. Finished seeds are kept in runs/reproduction/ROW and not run again, so rows can be
collected in pieces: --minutes starts no seed that would not end in time. --scale shortens every run
and says so. --tuned runs hptune's own procedure instead, with no hyper-parameter given and with
validation images split off the training set; --as-tuned then trains with what it decided on all
training images, as the report's rows are trained. --change makes one change to the row (jpeg-again,
torch-init, ...), to see what it costs. Rows go to scripts/reproduction/results.csv.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from hptune.config.build import build_task
from hptune.config.load import load_experiment
from hptune.config.schema import Experiment
from hptune.errors import HptuneError, InputError
from hptune.procedure.session.session import Session
from hptune.results.records import Status, TrialResult
from hptune.stages import FINAL
from hptune.trials.progress import Silent
from scripts.reproduction.changes import CHANGES

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ROWS, RESULTS = HERE / "rows.yaml", HERE / "results.csv"
RUNS = ROOT / "runs" / "reproduction"
COLUMNS = (
    *("row", "table", "tuned", "change", "scale", "epochs", "seeds", "test_accuracy", "std"),
    *("best_test_accuracy", "report", "report_std", "seconds_a_seed", "search_epochs"),
    *("decided", "device", "precision", "torch"),
)
TEST_ALONG_THE_WAY = ["data.validation_folder=test", "data.test_folder=test"]
TABLES = ("1", "2", "super-convergence")


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line, or of these words."""
    parser = argparse.ArgumentParser(
        prog="scripts/reproduce",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--table", choices=TABLES)
    parser.add_argument("--rows", nargs="*", default=[])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    ours = parser.add_mutually_exclusive_group()
    ours.add_argument("--tuned", action="store_true")
    ours.add_argument("--as-tuned", action="store_true")
    parser.add_argument("--change", choices=CHANGES)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--list", action="store_true")
    return parser.parse_args(words)


def main() -> None:
    """Run the rows that were asked for."""
    args = options()
    rows = list(wanted(args.table, args.rows))
    if args.list:
        for row in rows:
            print(f"{row['table']:<18}{row['id']:<34}{report_of(row)}")
        return
    if args.scale != 1:
        print(f"Every run is {args.scale:g} of its length: not the report's numbers.")
    deadline = time.monotonic() + 60 * args.minutes
    for row in rows:
        try:
            experiment = experiment_of(row, args)
            results, facts = (tuned if args.tuned else reported)(row, experiment, args, deadline)
        except HptuneError as error:
            print(f"{row['id']}: skipped: {error}", flush=True)
            continue
        if results:
            record(row, results, facts, args)
        if time.monotonic() > deadline:
            print("The time is up; the same command goes on from here.")
            return


def wanted(table: str | None, names: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table, or those that are named."""
    rows = yaml.safe_load(ROWS.read_text())
    known = [row["id"] for row in rows]
    for name in names:
        if name not in known:
            raise SystemExit(f"--rows: {name!r}; must be one of {', '.join(known)}")
    for row in rows:
        if (table is None or row["table"] == table) and (not names or row["id"] in names):
            yield row


def experiment_of(row: dict[str, Any], args: argparse.Namespace) -> Experiment:
    """Return a row's experiment, with nothing but its length known where hptune is to tune it.

    Raises:
        InputError: It is to be trained as tuned, and has not been tuned.
    """
    if args.as_tuned:
        path = RUNS / f"{name_of(row, args)}-tuned" / "tuned.yaml"
        if not path.exists():
            raise InputError(f"--as-tuned: no {path}; must have been tuned; run --tuned first")
        changed = CHANGES[args.change].settings if args.change else ()
        return load_experiment(path, [*TEST_ALONG_THE_WAY, *changed])
    changes = [
        f"{key}={'null' if value is None else value}" for key, value in row.get("set", {}).items()
    ]
    path = ROOT / "configs" / f"{row['config']}.yaml"
    if not args.tuned and "data.subset" not in row.get("set", {}):
        changes += TEST_ALONG_THE_WAY
    if args.tuned:
        names = ("lr", "lr_min", "momentum", "momentum_min", "weight_decay", "batch_size")
        changes += [f"hyper_parameters.{name}=null" for name in names]
    if args.change:
        changes += CHANGES[args.change].settings
    experiment = load_experiment(path, changes)
    training = experiment.training
    # Reading the test set takes as long in a short run as in a whole one.
    readings = max(2, round(training.evaluations * args.scale))
    return load_experiment(
        path,
        [
            *changes,
            f"training.epochs={training.epochs * args.scale}",
            f"training.evaluations={readings}",
        ],
    )


def reported(
    row: dict[str, Any], experiment: Experiment, args: argparse.Namespace, deadline: float
) -> tuple[list[TrialResult], dict[str, Any]]:
    """Train with the report's values, seed by seed, as far as the time goes."""
    results: list[TrialResult] = []
    task = None
    if args.change and (of_task := CHANGES[args.change].of_task):
        task = of_task(build_task(experiment))
        task = task.change(fingerprint=f"{task.fingerprint}-{args.change}")
    with Session.open(
        experiment, folder(row, args), device=args.device, progress=Silent(), task=task
    ) as session:
        # All at once where time does not matter: the executor trains them side by side.
        pieces = [args.seeds] if deadline == math.inf else range(1, args.seeds + 1)
        for seeds in pieces:
            longest = max((result.seconds for result in results), default=0.0)
            if time.monotonic() + longest > deadline:
                break
            known = len(results)
            results = session.train(seeds=seeds).results
            for seed, last in enumerate(results[known:], known):
                print(
                    f"  {row['id']} seed {seed}: {last.status} "
                    f"{100 * (last.test_metrics['accuracy'] or 0):.2f} %, {last.seconds:.0f} s",
                    flush=True,
                )
        precision = session.run_dir.facts().get("precision")
    values = experiment.hyper_parameters.model_dump()
    return results, {"precision": precision, "decided": shown(values) if args.as_tuned else ""}


def tuned(
    row: dict[str, Any], experiment: Experiment, args: argparse.Namespace, deadline: float
) -> tuple[list[TrialResult], dict[str, Any]]:
    """Run hptune's procedure from nothing."""
    procedure = experiment.procedure.model_copy(
        update={"final": experiment.procedure.final.model_copy(update={"seeds": args.seeds})}
    )
    experiment = experiment.model_copy(update={"procedure": procedure})
    with Session.open(
        experiment, folder(row, args), device=args.device, progress=Silent()
    ) as session:
        outcome = session.run()
        precision = session.run_dir.facts().get("precision")
    final = [r for r in outcome.results if r.trial.stage == FINAL][-args.seeds :]
    search = {r.trial.id: r.epochs for r in outcome.results if r.trial.stage != FINAL}
    return final, {
        "search_epochs": round(sum(search.values()), 1),
        "decided": shown({d.parameter: d.value for d in outcome.decisions}),
        "precision": precision,
    }


def shown(values: dict[str, Any]) -> str:
    """Return hyper-parameters in one line."""
    names = ("lr", "momentum", "momentum_min", "weight_decay", "batch_size")
    return " ".join(f"{name}={values[name]:g}" for name in names if name in values)


def folder(row: dict[str, Any], args: argparse.Namespace) -> Path:
    """Return the run directory of a row."""
    parts = (name_of(row, args), kind_of(args), args.change)
    return RUNS / "-".join(part for part in parts if part)


def kind_of(args: argparse.Namespace) -> str:
    """Return whose values a row is run with, empty for the report's."""
    return "as-tuned" if args.as_tuned else "tuned" if args.tuned else ""


def name_of(row: dict[str, Any], args: argparse.Namespace) -> str:
    """Return the name of a row at its length."""
    return row["id"] + (f"-scale-{args.scale:g}" if args.scale != 1 else "")


def record(
    row: dict[str, Any], results: list[TrialResult], facts: dict[str, Any], args: argparse.Namespace
) -> None:
    """Print a row and keep it in the table."""
    done = [r for r in results if r.status is Status.COMPLETE]
    values = [100 * (r.test_metrics["accuracy"] or 0.0) for r in done]
    best = [100 * (r.best_val_metrics["accuracy"] or 0.0) for r in done]
    mean = statistics.mean(values) if values else float("nan")
    std = statistics.stdev(values) if len(values) > 1 else float("nan")
    changed = f", {CHANGES[args.change].words}" if args.change else ""
    ours = f"{mean:.2f} ± {std:.2f} % (n = {len(values)})"
    kind = f", {kind_of(args)}" if kind_of(args) else ""
    verdict = f"; {verdict_on(mean, row)}" if args.scale == 1 else ""
    print(f"{row['id']}{kind}{changed}: {ours}, report {report_of(row)}{verdict}")
    entry = {
        "row": row["id"], "table": row["table"],
        "tuned": "as-tuned" if args.as_tuned else args.tuned,
        "change": args.change or "", "scale": args.scale,
        "epochs": round(results[0].epochs, 2), "seeds": len(values),
        "test_accuracy": round(mean, 2), "std": round(std, 2),
        "best_test_accuracy": "" if args.tuned or not best else round(statistics.mean(best), 2),
        "report": row["report"][0], "report_std": row["report"][1],
        "seconds_a_seed": round(statistics.mean(r.seconds for r in results), 1),
        "device": results[0].device, "torch": torch.__version__, **facts,
    }  # fmt: skip
    rows = []
    if args.results.exists():
        with args.results.open(newline="") as file:
            rows = list(csv.DictReader(file))
    names = ("row", "tuned", "change", "scale", "device")
    rows = [r for r in rows if any(r[name] != str(entry[name]) for name in names)]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows([*rows, entry])
    args.results.write_text(text.getvalue())  # in one go: an error above leaves the file as it was


def report_of(row: dict[str, Any]) -> str:
    """Return what was reported, in words."""
    mean, std = row["report"]
    if mean is None:
        return "gives no number"
    return f"{mean}" + (f" ± {std}" if std is not None else "") + " %"


def verdict_on(mean: float, row: dict[str, Any]) -> str:
    """Say how an accuracy in percent stands to what was reported."""
    reported, std = row["report"]
    if reported is None or math.isnan(mean):
        return "nothing to compare"
    if mean > reported:
        return "above it"
    if mean >= reported - (std or 0.0):
        return "within its standard deviation"
    return f"falls short by {reported - mean:.2f}"


if __name__ == "__main__":
    main()
