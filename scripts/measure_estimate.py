"""Compares the time that `hptune run --dry-run` promises with what `hptune run` then takes.

Usage: python scripts/measure_estimate.py [NAME ...] [--data data] [--repeats 1] [--fresh]

Prints a line a run: promised and real seconds, and real over promised. With --fresh the run knows
nothing of what the dry run has measured. `--data` is the folder of the sets that configs/ name.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LENET, THREE_LAYER = ROOT / "configs" / "mnist-lenet.yaml", ROOT / "configs" / "cifar10-3layer.yaml"
CASES = {
    "digits": [],
    "digits-adamw": ["optimizer.name=adamw"],
    "digits-long": ["training.epochs=150"],
    "digits-baseline": ["procedure.final.baseline=step"],
    "csv": ["data.name=csv", "data.path=table.csv", "data.target=y"],
    "csv-regression": ["data.name=csv", "data.path=table.csv", "data.target=x0"],
    "mnist-lenet": [str(LENET), "data.path={data}/mnist", "data.subset=2000", "training.epochs=4"],
    "cifar10-3layer": [
        *(str(THREE_LAYER), "data.path={data}/cifar10"),
        *("data.subset=2000", "data.test_subset=1000", "training.epochs=4"),
    ],
}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CASES))
    parser.add_argument("--data", type=Path, default=ROOT / "data")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--fresh", action="store_true")
    args = parser.parse_args()
    ratios = []
    for name in args.names or CASES:
        for _ in range(args.repeats):
            with tempfile.TemporaryDirectory() as folder:
                promised, real = measure(name, Path(folder), args.data.resolve(), args.fresh)
            ratios.append(real / promised)
            print(f"{name:<18}{promised:8.1f} s{real:8.1f} s{ratios[-1]:8.2f}", flush=True)
    print(
        f"{os.cpu_count()} cores, n = {len(ratios)}: ratio {min(ratios):.2f} to {max(ratios):.2f}, "
        f"median {statistics.median(ratios):.2f}"
    )


def measure(name: str, folder: Path, data: Path, fresh: bool) -> tuple[float, float]:
    """Return the seconds that a case is said to take, and takes."""
    write_table(folder / "table.csv")
    words = [word.format(data=data) for word in CASES[name]]
    command = [sys.executable, "-m", "hptune", "run", *(w for w in words if w.endswith(".yaml"))]
    command += [part for word in words if "=" in word for part in ("--set", word)]
    dry = [*command, "--dry-run", "--json", "--out", "dry" if fresh else "run"]
    shown = subprocess.run(dry, cwd=folder, check=True, capture_output=True, text=True)
    began = time.perf_counter()
    whole = [*command, "--out", "run", "--quiet"]
    subprocess.run(whole, cwd=folder, check=True, capture_output=True)
    return json.loads(shown.stdout)["seconds"], time.perf_counter() - began


def write_table(path: Path) -> None:
    """Write a table of 2,000 rows with numbers, a category and two classes."""
    import numpy as np

    generator = np.random.default_rng(0)
    numbers = generator.normal(size=(2000, 8))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"x{k}" for k in range(8)), "kind", "y"])
        for row in numbers:
            kind = "abc"[int(abs(row[0]) * 2) % 3]
            chance = row[:3].sum() + (kind == "a") + generator.normal()
            writer.writerow([*(f"{v:.4f}" for v in row), kind, "yes" if chance > 0 else "no"])


if __name__ == "__main__":
    main()
