"""The bench of judgement: how far from the best is what hptune decides, and what do others reach?

Usage: nice -n 19 python -m scripts.quality problems|grid|judge|rivals|identical|table [PROBLEM ...]

What was run is stored in scripts/quality/results/ and is not run again. To judge changed code, give
`judge` another --label. The photos need `shared/data/unpack data`, some rivals the extra `bench`.
"""

from __future__ import annotations

import argparse

import torch

from scripts.quality import rivals
from scripts.quality.grid import run_grid
from scripts.quality.identical import CHEAP, SHARES, run_identical
from scripts.quality.judge import run_judge
from scripts.quality.problems import PROBLEMS
from scripts.quality.table import write_table


def main() -> None:
    """Run one part of the bench."""
    args = _arguments()
    torch.set_num_threads(1)
    for seed in args.seeds if args.command in ("judge", "rivals") else [0]:
        for name in args.problems or PROBLEMS:
            _run(args, name, seed)
    if args.command == "table":
        write_table()


def _run(args: argparse.Namespace, name: str, seed: int) -> None:
    if args.command == "problems":
        print(name, PROBLEMS[name].make(0))
    elif args.command == "grid":
        for optimizer in args.optimizers:
            run_grid(name, args.first, optimizer)
    elif args.command == "judge":
        for optimizer in args.optimizers:
            for budget in args.budget:
                run_judge(
                    name, seed, budget=budget, stages=args.stages, label=args.label,
                    optimizer=optimizer,
                )  # fmt: skip
    elif args.command == "rivals":
        for rival in args.rivals:
            for budget in args.budget if rival in rivals.SEARCHES or args.long else [0.0]:
                rivals.run_rival(name, rival, seed, budget=budget)
    elif args.command == "identical" and name in CHEAP:
        for share in SHARES:
            run_identical(name, share)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.quality", description=__doc__)
    commands = {
        "problems": "list the problems",
        "grid": "train at every LR of a grid, whole runs: the ground truth",
        "judge": "run hptune's whole procedure",
        "rivals": "run recipes without search, and searches by Optuna",
        "identical": "train equal candidates, for rules on noise",
        "table": "print the table and write docs/judgement.md",
    }
    parsers = parser.add_subparsers(dest="command", required=True)
    for command, text in commands.items():
        own = parsers.add_parser(command, help=text)
        own.add_argument("problems", nargs="*", help=f"of {', '.join(PROBLEMS)}; all by default")
        if command == "grid":
            own.add_argument("--first", type=int, metavar="N", help="the first N seeds alone")
        if command in ("judge", "rivals"):
            own.add_argument("--seeds", type=int, nargs="+", default=[0])
            own.add_argument("--budget", type=float, nargs="+", default=[3.0])
        if command == "judge":
            own.add_argument("--stages", type=lambda text: text.split(","), default=None)
            own.add_argument("--label", default="main", help="names the code that decides")
        if command in ("grid", "judge"):
            text = "in the place of a problem's own, compared in a table of their own"
            own.add_argument("--optimizers", nargs="+", default=[None], help=text)
        if command == "rivals":
            known = [*rivals.RECIPES, *rivals.SEARCHES]
            own.add_argument("--long", action="store_true", help="recipes get the search's epochs")
            own.add_argument("--rivals", nargs="+", choices=known, default=list(rivals.RECIPES))
    args = parser.parse_args()
    for name in args.problems:
        if name not in PROBLEMS:
            parser.error(f"{name}: no such problem; choose of {', '.join(PROBLEMS)}")
    return args


if __name__ == "__main__":
    main()
