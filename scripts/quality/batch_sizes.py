"""What smaller batches gain, and down to how many updates: NAdamW at several sizes, each at its own LR.

Usage: python -m scripts.quality.batch_sizes [PROBLEM ...]

All sizes pass over the data equally often, so that half the size makes twice the updates. LRs are tried a
factor of 2 apart, from the grid's best one on, until the best has worse ones on both sides.
"""

from __future__ import annotations

import argparse
import math
import statistics
from dataclasses import replace

from scripts.quality import store
from scripts.quality.grid import grid_curve, trained
from scripts.quality.problems import PROBLEMS

SIZES = (64, 32, 16, 8)
SEEDS = 3
OPTIMIZER = "nadamw"
FACTOR = 2.0  # between LRs
HEAD = ["problem", "updates", *(f"gained with {size}" for size in SIZES[1:])]
FEWEST = 8  # iterations of an epoch, as of hptune's first batch size


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problems", nargs="*", default=list(PROBLEMS))
    for name in parser.parse_args().problems:
        for size in _sizes(name):
            _run(name, size)
    for line in [HEAD, *table()]:
        print(" | ".join(line))


def table() -> list[list[str]]:
    """Return a row a problem under `HEAD`: what is gained on the largest size, at the best LR of each."""
    sizes: dict[str, set[int]] = {}
    for row in store.read("batch-sizes"):
        sizes.setdefault(row["problem"], set()).add(int(row["batch_size"]))
    lines = []
    for name, own in sizes.items():
        before = min(_losses(name, max(own)).values())
        fall = grid_curve(name, optimizer=OPTIMIZER).start - before
        gains = {size: 100 * (before - min(_losses(name, size).values())) / fall for size in own}
        cells = [f"{gains[n]:+.1f} %" if n in own and n < max(own) else "-" for n in SIZES[1:]]
        updates = replace(PROBLEMS[name], batch_size=max(own)).iterations
        lines.append((updates, [name, f"{updates} with {max(own)}", *cells]))
    return [line for _, line in sorted(lines)]


def _sizes(name: str) -> list[int]:
    examples = len(PROBLEMS[name].make(0).train)
    return [size for size in SIZES if examples // size >= FEWEST]


def _seeds(name: str) -> range:
    return range(min(SEEDS, PROBLEMS[name].seeds))


def _run(name: str, size: int) -> None:
    """Train at LRs around the best until it lies between others."""
    wanted = [grid_curve(name, optimizer=OPTIMIZER).best_lr]
    while wanted:
        for lr in wanted:
            for seed in _seeds(name):
                key = {"batch_size": size, "lr": lr, "seed": seed}
                if not store.has("batch-sizes", problem=name, **key):
                    row = trained(name, lr, seed, optimizer=OPTIMIZER, batch_size=size)
                    store.add("batch-sizes", {**row, "batch_size": size})
        losses = _losses(name, size)
        best = min(losses, key=losses.__getitem__)
        beside = [float(f"{lr:.3g}") for lr in (best / FACTOR, best * FACTOR)]
        wanted = [
            lr for lr in beside if not any(math.isclose(lr, at, rel_tol=0.1) for at in losses)
        ]


def _losses(name: str, size: int) -> dict[float, float]:
    """Return the mean loss by LR; a run that broke or rose counts as untrained."""
    start, found = grid_curve(name, optimizer=OPTIMIZER).start, dict[float, list[float]]()
    for row in store.chosen(store.read("batch-sizes"), problem=name, batch_size=size):
        loss = min(store.number(row["val_loss"]), start)
        found.setdefault(float(row["lr"]), []).append(loss)
    return {lr: statistics.mean(losses) for lr, losses in found.items()}


if __name__ == "__main__":
    main()
