"""How the best LR moves with the length of a run.

Usage: python -m scripts.quality.lengths [PROBLEM ...] [--optimizer nadamw]

Trains the grid's LRs within a factor of 12 of its best at a third of the length, and prints the best LR of
both lengths (the bottom of a parabola through five points) and the power of the length by which it falls.
"""

from __future__ import annotations

import argparse
import math
import statistics

import numpy as np

from scripts.quality import store
from scripts.quality.grid import GridCurve, grid_curve, trained
from scripts.quality.problems import PROBLEMS

LENGTH = 1 / 3
NEAR = 12.0  # times the best LR and back
SEEDS = 3


def main() -> None:
    """Train what is missing and print a line a problem."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problems", nargs="*", default=list(PROBLEMS))
    parser.add_argument("--optimizer", help="in the place of a problem's own")
    args, powers = parser.parse_args(), []
    for name in args.problems:
        seeds = tuple(range(min(SEEDS, PROBLEMS[name].seeds)))
        optimizer = args.optimizer or PROBLEMS[name].optimizer
        whole = grid_curve(name, seeds, optimizer)
        lrs = [lr for lr in whole.lr if whole.best_lr / NEAR <= lr <= whole.best_lr * NEAR]
        losses = [_short(name, lr, seeds, whole.start, optimizer) for lr in lrs]
        short = GridCurve(lrs, losses, whole.start)
        best, at_short = bottom(whole), bottom(short)
        powers.append(math.log(at_short / best) / -math.log(LENGTH))
        print(f"{name}: {best:.3g} whole, {at_short:.3g} of a third; power {powers[-1]:.2f}")
    if len(powers) > 1:
        print(f"mean {statistics.mean(powers):.2f}, sd {statistics.stdev(powers):.2f}")


def bottom(curve: GridCurve) -> float:
    """Return the LR of the lowest loss, by a parabola through the five points around the lowest."""
    at = curve.lr.index(curve.best_lr)
    near = slice(max(0, at - 2), at + 3)
    bend, slope, _ = np.polyfit(np.log(curve.lr[near]), curve.loss[near], 2)
    return math.exp(-slope / (2 * bend)) if bend > 0 else curve.best_lr


def _short(name: str, lr: float, seeds: tuple[int, ...], start: float, optimizer: str) -> float:
    """Return the mean loss of runs of a third, trained where they are not stored."""
    losses = []
    for seed in seeds:
        key = {"problem": name, "optimizer": optimizer, "lr": lr, "seed": seed}
        if not store.has("lengths", **key):
            store.add("lengths", trained(name, lr, seed, LENGTH, optimizer))
        (row,) = store.chosen(store.read("lengths"), **key)
        losses.append(min(store.number(row["val_loss"]), start))
    return statistics.mean(losses)


if __name__ == "__main__":
    main()
