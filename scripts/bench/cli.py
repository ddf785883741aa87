"""Times hptune beside a hand-written plain loop, and beside other frameworks where they are there.

Usage: scripts/bench.py [--parts A,B] [--cases A,B] [--repeats 5] [--json FILE] [--plot FILE]

Contestants take turns, in the other order every second round, so that other work on the machine
strikes all alike. Shown are medians and quartiles of n rounds; ratios are of the same round. The
plain loop and the peers have processes of their own. A ratio of speed has the sign ≥ at its aim,
a ratio of time or memory the sign ≤.

training    one run against the plain loop's, examples/s     run      hptune run, cold start
lr-range    100 iterations, with and without validation      startup  --help, show, import torch
sweep       8 candidates against 8 plain runs                memory   peak of a training run
own-loop    the plain loop as a function of a trial, in time
scaling     1 to 32 candidates against as many times one     batch-size  images/s, 32 to 1024
modes       an iteration launched, replayed, compiled: of a GPU, where it is asked for
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

_DIGITS = ("digits/mlp",)
_CASES = (*_DIGITS, "cifar10/three-layer", "cifar10/resnet-20", "cifar10/resnet-56")
# The cases that a part is made for; None for all.
_ONLY: Mapping[str, tuple[str, ...] | None] = {
    "training": None,
    "lr-range": None,
    "own-loop": _DIGITS,
    "sweep": None,
    "scaling": _DIGITS,
    "batch-size": ("cifar10/three-layer",),
    "run": _DIGITS,
    "startup": _DIGITS,
    "memory": None,
    "modes": None,
}


def main() -> None:
    """Measure, print and write."""
    args = _arguments()
    # Not before: a wrong argument is told at once.
    from scripts.bench import commands, modes, own_loop, sweeps, training
    from scripts.bench.cases import CASES
    from scripts.bench.table import document, show, write
    from scripts.bench.training import device_of

    device = device_of(args.device)
    options = training.Options(device, args.repeats, args.peers, args.scale)
    parts: dict[str, training.Part] = {
        "training": training.training,
        "lr-range": training.lr_range,
        "own-loop": own_loop.own_loop,
        "sweep": sweeps.sweep,
        "scaling": partial(sweeps.scaling, plot=args.plot),
        "batch-size": training.batch_sizes,
        "run": commands.whole_run,
        "startup": commands.startup,
        "memory": commands.memory,
        "modes": modes.modes,
    }
    found: list[training.Row] = []
    skipped: list[str] = []
    for name in args.cases:
        if CASES[name].gpu and device == "cpu":
            skipped.append(f"{name}: needs a GPU")
            print(f"skipped: {skipped[-1]}", file=sys.stderr)
            continue
        for part in args.parts:
            only = _ONLY[part]
            if only is not None and name not in only:
                continue
            began = time.perf_counter()
            found += parts[part](CASES[name], options)
            print(f"{part} {name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
            if args.json:  # after each part: the whole may take longer than there is
                write(args.json, document(found, skipped, device))
    show(found)
    if args.json:
        write(args.json, document(found, skipped, device))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--parts", type=partial(_names, _ONLY), default=[name for name in _ONLY if name != "modes"]
    )
    parser.add_argument("--cases", type=partial(_names, _CASES), default=list(_CASES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda:N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="PNG of the part scaling")
    parser.add_argument("--no-peers", action="store_false", dest="peers")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of the timed runs' lengths, for a quick look"
    )
    return parser.parse_args()


def _names(known: Collection[str], text: str) -> list[str]:
    wanted = [name.strip() for name in text.split(",")]
    if unknown := [name for name in wanted if name not in known]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r}; must be of {', '.join(known)}")
    return wanted


if __name__ == "__main__":
    main()
