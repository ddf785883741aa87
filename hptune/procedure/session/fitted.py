"""What fits into a time: final seeds are given up first, then search, then epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

FEWEST_SEEDS = 2  # that give a standard deviation; one alone only where even less would fit
LEAST_SEARCH = 2.0  # final runs: a range test, a bracket and the duel
BARE_SEARCH = 1.25  # a range test and a bracket
MOST_SEARCH = 12.0  # what is left of the time goes to the search, up to this
SHORTEST_FINAL = 100  # iterations; a shorter run is hardly trained
STEPS = 12  # halvings of an interval


@dataclass(frozen=True)
class Lengths:
    """Of a procedure: epochs of the final run, search over them, and repeats of the final run."""

    epochs: float
    budget: float
    seeds: int

    def __str__(self) -> str:
        plural = "s" * (self.seeds > 1)
        return f"{self.epochs:g} epochs, search {self.budget:g} times, {self.seeds} seed{plural}"


def fitted(
    asked: Lengths, *, per_epoch: int, seconds: float, takes: Callable[[Lengths], float]
) -> tuple[Lengths | None, float]:
    """Return the lengths that fill a time, those that give up the least of what was asked for.

    Args:
        asked: At full length.
        per_epoch: Iterations.
        seconds: There are.
        takes: Says what lengths take, seconds.

    Returns:
        The lengths, None where none fit; and the seconds of them, else of the shortest that there are.
    """
    shortest = math.inf
    for low, high in _ladder(asked, min(asked.epochs, SHORTEST_FINAL / per_epoch)):
        taken = takes(low)
        shortest = min(shortest, taken)
        if taken > seconds:
            continue
        best, share, step = low, 0.0, 0.5
        for _ in range(STEPS):
            between = _between(low, high, share + step)
            if takes(between) <= seconds:
                best, share = between, share + step
            step /= 2
        if takes(high) <= seconds:
            best = high
        return best, takes(best)
    return None, shortest


def _ladder(asked: Lengths, epochs: float) -> Iterator[tuple[Lengths, Lengths]]:
    """Yield what is tried in turn: the least and the most of it, which differ in one length."""
    whole, search, seeds = asked.epochs, asked.budget, asked.seeds
    few, less = min(seeds, FEWEST_SEEDS), min(search, LEAST_SEARCH)
    for count in range(seeds, few - 1, -1):
        yield Lengths(whole, search, count), Lengths(whole, max(search, MOST_SEARCH), count)
    yield Lengths(whole, less, few), Lengths(whole, search, few)
    for count, budget in ((few, less), (1, less), (1, min(search, BARE_SEARCH))):
        yield Lengths(epochs, budget, count), Lengths(whole, budget, count)


def _between(low: Lengths, high: Lengths, share: float) -> Lengths:
    """Return lengths on the way from low to high, as round numbers that are not above it."""
    budget = low.budget + share * (high.budget - low.budget)
    epochs = low.epochs + share * (high.epochs - low.epochs)
    return Lengths(
        max(low.epochs, _rounded_down(epochs)),
        max(low.budget, math.floor(budget * 10 + 1e-9) / 10),
        low.seeds,
    )


def _rounded_down(epochs: float) -> float:
    """Return whole epochs, and of few of them two digits."""
    if epochs >= 10:
        return math.floor(epochs)
    unit: float = 10.0 ** (math.floor(math.log10(epochs)) - 1)
    return round(math.floor(epochs / unit + 1e-9) * unit, 6)
