"""Holds the wall time of `hptune run --time` against the time that was asked for.

Usage: python -m scripts.quality.time_limit [--times 1m 5m] [--problems digits mnist] [--jobs N]

Every run is a command of its own, start and report included; a table is printed: wall time over
the time asked for, what was chosen, the seconds that the plan had, and what the run reached. The
problems are too long for their time on two cores, so that something has to be given up. MNIST is
read from data/mnist (data/README.md).
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hptune.procedure.session.duration import seconds_of

ROOT = Path(__file__).resolve().parents[2]

PROBLEMS: dict[str, list[str]] = {
    "digits": [
        "data.name=digits",
        "data.validation=0.2",
        "data.test=0.3",
        "model.args.hidden=[1024,1024,1024]",
        "training.epochs=400",
    ],
    "mnist": [
        "data.name=image-folder",
        f"data.path={ROOT / 'data' / 'mnist'}",
        "data.validation=0.2",
        "data.normalize=none",
        "data.subset=20000",
        "model.name=lenet",
        "training.epochs=20",
    ],
}


def main() -> None:
    """Run every problem in every time, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", nargs="+", default=["1m", "5m"])
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS))
    parser.add_argument("--jobs", default="1")
    args = parser.parse_args()
    print("problem | time | wall s | wall / time | chosen | seeds run | epochs searched | error %")
    for problem in args.problems:
        for limit in args.times:
            with tempfile.TemporaryDirectory() as folder:
                print(" | ".join(measured(problem, limit, args.jobs, Path(folder))), flush=True)


def measured(problem: str, limit: str, jobs: str, out: Path) -> list[str]:
    """Run one problem in one time and return its row."""
    config = out / "experiment.yaml"
    config.write_text("name: timed\n")
    words = [sys.executable, "-m", "hptune", "run", str(config), "--quiet", "--time", limit]
    words += ["--out", str(out / "run"), "--jobs", jobs]
    for setting in PROBLEMS[problem]:
        words += ["--set", setting]
    began = time.monotonic()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    wall = time.monotonic() - began
    timings = json.loads((out / "run" / "timings.json").read_text())
    kept = next(value for key, value in timings.items() if key.startswith("time/"))
    with (out / "run" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    final = [row for row in rows if row["stage"] == "final" and row["test_accuracy"]]
    searched = sum(float(row["epochs"]) for row in rows if row["stage"] != "final")
    error = 100 - 100 * sum(float(row["test_accuracy"]) for row in final) / len(final)
    return [
        problem,
        limit,
        f"{wall:.0f}",
        f"{wall / seconds_of(limit):.2f}",
        kept["told"],
        str(len(final)),
        f"{searched:.0f}",
        f"{error:.2f}",
    ]


if __name__ == "__main__":
    main()
