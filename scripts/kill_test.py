"""Kills `hptune run` at random moments, resumes it each time, and compares with an undisturbed run.

Usage: python scripts/kill_test.py [CONFIG] [--kills 20] [--seed 0]

The undisturbed run goes first; the killed one is given its timings.json, so that the batch
sizes are compared over the same lengths. Times and start stamps are left out of the comparison.
"""

from __future__ import annotations

import argparse
import csv
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TIMES = {"seconds", "examples_per_second", "peak_memory_mb", "started"}


def command(args: argparse.Namespace, out: Path) -> list[str]:
    config = [args.config] if args.config else []
    return [sys.executable, "-m", "hptune", "run", *config, "--out", str(out), "--quiet"]


def without_times(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


def differences(whole: Path, killed: Path) -> list[str]:
    """Return the files in which two run directories differ, and what is only in one."""
    names = sorted(
        {
            str(path.relative_to(root))
            for root in (whole, killed)
            for path in [*root.glob("*.csv"), *root.glob("curves/*.csv")]
        }
    )
    found = []
    for name in names:
        if not (whole / name).exists() or not (killed / name).exists():
            found.append(f"{name}: only in one of the runs")
        elif without_times(whole / name) != without_times(killed / name):
            found.append(f"{name}: differs")
    found += [f"{path.name}: half-written" for path in killed.rglob("*.part")]
    if (whole / "tuned.yaml").read_text() != (killed / "tuned.yaml").read_text():
        found.append("tuned.yaml: differs")
    return found


def main() -> int:
    """Run the test; return 0 where nothing differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", nargs="?")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    draw = random.Random(args.seed)
    root = Path(tempfile.mkdtemp(prefix="hptune-kill-"))
    whole, killed = root / "whole", root / "killed"
    began = time.perf_counter()
    subprocess.run(command(args, whole), check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    subprocess.run(command(args, whole), check=True, stdout=subprocess.DEVNULL)
    start = time.perf_counter() - began  # a finished run trains nothing more
    killed.mkdir()
    shutil.copy(whole / "timings.json", killed / "timings.json")
    landed = 0
    while landed < args.kills:
        process = subprocess.Popen(command(args, killed), stdout=subprocess.DEVNULL)
        # The kills spread over the work: each attempt gets a share of it beyond its start.
        moment = start * draw.uniform(0.3, 1.0) + draw.uniform(
            0, 2 * (seconds - start) / args.kills
        )
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            landed += 1
        rows = (
            len(without_times(killed / "results.csv")) if (killed / "results.csv").exists() else 0
        )
        print(f"kill {landed}: after {moment:.2f} s, {rows} trials on disk", flush=True)
    subprocess.run(command(args, killed), check=True, stdout=subprocess.DEVNULL)
    found = differences(whole, killed)
    for line in found:
        print(line)
    trials = len(without_times(whole / "results.csv"))
    print(
        f"{landed} kills; {trials} trials; "
        + ("the same as the undisturbed run" if not found else f"{len(found)} differences")
    )
    shutil.rmtree(root)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
