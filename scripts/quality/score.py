"""How a stored row of any method stands against the grid of its problem."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from scripts.quality import store
from scripts.quality.grid import MOMENTUM, GridCurve, grid_curve
from scripts.quality.problems import PROBLEMS


@dataclass(frozen=True)
class Score:
    """What a method reached on a split, against the grid.

    Attributes:
        lost: Of the final validation loss, over the fall.
        regret: Of the test error, points; None where a problem has no classes.
    """

    lost: float
    regret: float | None

    @classmethod
    def of(cls, row: Mapping[str, str], optimizer: str | None = None) -> Score:
        """Compare a row with the grid, on its own split where that is there.

        Args:
            row: Of any method.
            optimizer: Whose grid; by default that of the problem's own.
        """
        name, seed = row["problem"], int(row["seed"])
        whole, rows = grid(name, optimizer), grid_rows(name, optimizer)
        at_best = store.chosen(rows, lr=whole.best_lr)
        own = store.chosen(at_best, seed=seed) or at_best
        best = statistics.mean(store.number(r["val_loss"]) for r in own)
        fall = whole.start - min(whole.loss)
        lost = (min(store.number(row["val_loss"]), whole.start) - best) / fall
        if not own[0]["test_accuracy"]:
            return cls(lost, None)
        reference = statistics.mean(float(r["test_accuracy"]) for r in own)
        reached = float(row["test_accuracy"] or math.exp(-PROBLEMS[name].guess))
        return cls(lost, 100 * (reference - reached))


@cache
def grid(name: str, optimizer: str | None = None) -> GridCurve:
    """Return a problem's grid, by default with its own optimizer, read once."""
    return grid_curve(name, optimizer=optimizer)


@cache
def grid_rows(name: str, optimizer: str | None = None) -> list[dict[str, str]]:
    """Return the rows of a problem's grid."""
    optimizer = optimizer or PROBLEMS[name].optimizer
    return store.chosen(store.read("grid"), problem=name, optimizer=optimizer)


@cache
def gridded(optimizer: str | None = None) -> list[str]:
    """Return the problems whose grid has LRs that every seed was run at."""
    return [name for name in PROBLEMS if grid_rows(name, optimizer) and grid(name, optimizer).lr]


def lost_at_lr(row: Mapping[str, str], optimizer: str | None = None) -> float:
    """Return what the decided LR loses at full length with the grid's other values."""
    curve = grid(row["problem"], optimizer)
    return curve.lost(curve.at(float(row["lr"]))) if row["lr"] else 1.0


def search_cost(row: Mapping[str, str]) -> float:
    """Return the epochs of a search over those of the final run."""
    return float(row["search_epochs"] or 0) / PROBLEMS[row["problem"]].epochs


def is_like_grid(row: Mapping[str, str]) -> bool:
    """Say whether an interval is of the grid's batch size and momentum: another best LR goes with others."""
    size, momentum = int(row["batch_size"]), float(row["momentum"])
    return (size, momentum) == (PROBLEMS[row["problem"]].batch_size, MOMENTUM)


def within(row: Mapping[str, str], optimizer: str | None = None, lost: float = 0.0) -> bool:
    """Say whether the grid's best LR lies in the interval, or one that loses no more than so much."""
    low, high = float(row["lr_low"]), float(row["lr_high"])
    curve = grid(row["problem"], optimizer)
    pairs = zip(curve.lr, curve.loss, strict=True)
    return any(low <= lr <= high and curve.lost(loss) <= lost for lr, loss in pairs)
