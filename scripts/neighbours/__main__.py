"""The experiments on the papers around the report: run what is missing, and write docs/neighbours.md.

Usage: nice -n 19 python -m scripts.neighbours [NAME ...] [--long] [--device cuda]

What was run is stored in scripts/neighbours/results/ and is not run again; remove a file to run it anew.
The photos need `shared/data/unpack data`, the search the extra `search`, the Hessian `landscape`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from scripts.neighbours import EXPERIMENTS, find
from scripts.neighbours.page import write_page
from scripts.neighbours.stored import run


def main() -> None:
    """Run the experiments that are named, all by default."""
    args = _arguments()
    if args.device == "cpu":
        torch.set_num_threads(1)
    for name in args.names or EXPERIMENTS:
        if not args.page:
            run(find(name), args.runs, device=args.device, long=args.long)
    write_page([find(name) for name in EXPERIMENTS])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.neighbours", description=__doc__)
    known = ", ".join(EXPERIMENTS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {known}; all by default")
    parser.add_argument("--long", action="store_true", help="the longer form, for a GPU")
    parser.add_argument("--page", action="store_true", help="write page and figures alone")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or mps [cpu]")
    text = "where run directories are kept [runs/neighbours]"
    parser.add_argument("--runs", type=Path, default=Path("runs/neighbours"), help=text)
    args = parser.parse_args()
    for name in args.names:
        if name not in EXPERIMENTS:
            parser.error(f"{name}: no such experiment; choose of {known}")
    return args


if __name__ == "__main__":
    main()
