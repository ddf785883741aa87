"""The bench of judgement: how far from the best are the values that hptune decides?

Usage: nice -n 19 python -m scripts.quality problems | grid [PROBLEM ...]

Everything that was run is stored in scripts/quality/results/ and not run again.
"""

from __future__ import annotations

import argparse

import torch

from scripts.quality.grid import run_grid
from scripts.quality.problems import PROBLEMS


def main() -> None:
    """Run one part of the bench."""
    parser = argparse.ArgumentParser(prog="python -m scripts.quality", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("problems", help="list the problems")
    grid = commands.add_parser("grid", help="train at every LR of a grid")
    grid.add_argument("problems", nargs="*", choices=[[], *PROBLEMS])
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.command == "problems":
        for name, problem in PROBLEMS.items():
            print(name, problem.make(0))
    if args.command == "grid":
        for name in args.problems or PROBLEMS:
            run_grid(name)


if __name__ == "__main__":
    main()
