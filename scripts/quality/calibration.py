"""Whether the model's 90 % intervals and its probabilities are what they say.

Usage: python -m scripts.quality.calibration [--every 1] [--noise 0] [--laws 30]

On the LCBench surrogate and on laws drawn at random (a valley in LR / (1 - momentum) with a gentle
and a steep side, beyond which runs diverge; weaker ones in weight decay and batch size; noise of
seeds, with three repeats). The interval of a hyper-parameter should hold its best value in 85-95 % of
the cases; of pairs said to be told apart with 0.8, about 80 % should be.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import cast

import numpy as np

from hptune.analysis.proposals import Region
from hptune.analysis.response_surface import FloatArray, ResponseSurface, Setting, along
from scripts.quality.lcbench import error, tables

SIZES = (16, 32, 64, 128, 256, 512)
REGION = Region(lr=(1e-4, 1e-1), momentum=(0.1, 0.99), weight_decay=(1e-5, 1e-1), batch_sizes=SIZES)
AXES: dict[str, list[float]] = {
    "lr": along(*REGION.lr),
    "momentum": [1 - value for value in along(0.9, 0.01)],
    "weight_decay": along(*REGION.weight_decay),
    "batch_size": [float(size) for size in SIZES],
}
TRIALS = (6, 12, 26)
REPEATS = 3  # of the first trial, as a stage runs early
PAIRS = 20
BINS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.01)
Law = Callable[[list[Setting]], FloatArray]


def main() -> None:
    """Print coverage and calibration, on the surrogate and on laws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--noise", type=float, default=0.0, help="points, on the surrogate")
    parser.add_argument("--laws", type=int, default=30)
    args = parser.parse_args()
    on_tables = [(_table(name), args.noise) for name in list(tables())[:: args.every]]
    for title, cases in (("LCBench", on_tables), ("laws", list(_laws(args.laws)))):
        for count in TRIALS:
            _show(f"{title}, {count} trials", cases, count)


def _table(name: str) -> Law:
    return lambda settings: error(
        name, np.array([[s.lr, s.momentum, s.weight_decay, s.batch_size] for s in settings])
    )


def _laws(count: int) -> Iterator[tuple[Law, float]]:
    """Yield laws and the standard deviation of their seeds."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        lr, decay, size = rng.uniform(-3.0, 0.5), rng.uniform(-5, -1), rng.uniform(4, 9)
        gentle, steep, weak = rng.uniform(0.05, 0.3), rng.uniform(0.3, 1.0), rng.uniform(0, 0.03)
        cliff = rng.uniform(0.5, 1.5)

        def law(
            settings: list[Setting],
            values: tuple[float, ...] = (lr, decay, size, gentle, steep, weak, cliff),
        ) -> FloatArray:
            return np.array([_cost(setting, *values) for setting in settings])

        yield law, rng.uniform(0.002, 0.02)


def _cost(
    s: Setting, lr: float, decay: float, size: float, gentle: float, steep: float, weak: float,
    cliff: float,
) -> float:  # fmt: skip
    off = math.log10(s.lr / (1 - s.momentum)) - lr
    if off > cliff:
        return math.inf
    valley = (gentle if off < 0 else steep) * off**2
    return (
        0.5
        + valley
        + weak * (math.log10(s.weight_decay) - decay) ** 2
        + weak * (math.log2(s.batch_size) - size) ** 2 / 4
        + 0.05 * (math.log10(1 - s.momentum) + 1) ** 2
    )


def _show(title: str, cases: list[tuple[Law, float]], count: int) -> None:
    held: dict[str, list[bool]] = {axis: [] for axis in AXES}
    said, right = [], []
    for seed, (law, noise) in enumerate(cases):
        rng = np.random.default_rng(seed)
        drawn = REGION.at(rng.uniform(size=(count, 4)))
        drawn += drawn[:1] * (REPEATS - 1) * (noise > 0)
        costs = law(drawn) + noise * rng.standard_normal(len(drawn))
        surface = ResponseSurface(drawn, costs)
        best = drawn[int(costs.argmin())]
        for axis, values in AXES.items():
            low, high = surface.interval(axis, best, values)
            truth = law([replace(best, **{axis: value}) for value in values])
            held[axis].append(low <= values[int(truth.argmin())] <= high)
        for one, other in _pairs(best, rng):
            better, worse = law([one, other])
            if better != worse:
                said.append(surface.probability(one, other))
                right.append(better < worse)
    coverage = ", ".join(f"{axis} {np.mean(held[axis]):.2f}" for axis in AXES)
    overall = np.mean([one for values in held.values() for one in values])
    print(f"{title}: 90 % intervals hold the best in {overall:.2f} ({coverage})")
    p = np.array(said)
    sure = np.maximum(p, 1 - p)
    true = np.where(p >= 0.5, right, ~np.array(right))
    cells = []
    for low, high in pairwise(BINS):
        own = (sure >= low) & (sure < high)
        if own.any():
            cells.append(f"{sure[own].mean():.2f}: {true[own].mean():.2f} of {own.sum()}")
    print(f"  said: true: {'; '.join(cells)}", flush=True)


def _pairs(best: Setting, rng: np.random.Generator) -> Iterator[tuple[Setting, Setting]]:
    """Yield pairs of settings that share about half of their values with the best trial."""
    names = tuple(AXES)
    for _ in range(PAIRS):
        pair = []
        for drawn in REGION.at(rng.uniform(size=(2, 4))):
            kept = [name for name in names if rng.uniform() < 0.5]
            pair.append(replace(drawn, **{name: getattr(best, name) for name in kept}))
        yield cast(tuple[Setting, Setting], tuple(pair))


if __name__ == "__main__":
    main()
