"""Times `hptune run` from a cold start and collects what its final run reached.

Usage: python scripts/measure_run.py [CONFIG] [--seeds 5] [--set KEY=VALUE ...]

Each run has its own seed and its own split of the data. Prints a line a run, then mean ± std.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", nargs="?")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    args = parser.parse_args()
    config = [args.config] if args.config else []
    overrides = [word for override in args.overrides for word in ("--set", override)]
    means, seconds = [], []
    for seed in range(args.seeds):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "hptune", "run", *config, "--out", folder, "--quiet"]
            command += ["--seed", str(seed), "--set", f"data.split_seed={seed}", *overrides]
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - began)
            with (Path(folder) / "results.csv").open() as file:
                rows = list(csv.DictReader(file))
            with (Path(folder) / "decisions.csv").open() as file:
                decided = {row["parameter"]: row["value"] for row in csv.DictReader(file)}
        final = [float(r["test_accuracy"]) for r in rows if r["stage"] == "final"]
        means.append(statistics.mean(final))
        shown = {k: decided[k] for k in ("lr", "momentum", "weight_decay", "batch_size")}
        print(
            f"seed {seed}: {means[-1]:.4f} test accuracy, {seconds[-1]:.1f} s, {shown}", flush=True
        )
    spread = statistics.stdev(means) if len(means) > 1 else 0.0
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, n = {len(means)}: "
        f"test accuracy {statistics.mean(means):.4f} ± {spread:.4f}, "
        f"median {statistics.median(seconds):.1f} s"
    )


if __name__ == "__main__":
    main()
