"""What each part of the default plan buys: the procedure without it, at the same budget.

Usage: nice -n 19 python -m scripts.quality.ablation [PROBLEM ...] [--budgets 3 6] [--seeds 0 1 2]

What a part does not spend, those after it do. Every run is stored in scripts/quality/results/ablation.csv; a
table is printed: lost (see docs/judgement.md) against the grid of NAdamW on the same split, and the paired
difference from the whole plan, more than 0 where the part helps.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from unittest.mock import patch

import torch

from hptune.procedure.defaults import usual_lr
from scripts.quality import store
from scripts.quality.identical import CHEAP
from scripts.quality.judge import run_judge
from scripts.quality.problems import PROBLEMS
from scripts.quality.score import Score, search_cost

OPTIMIZER = "nadamw"
OTHERS = [name for name in CHEAP if name != "digits-adamw"]  # the same digits


@dataclass(frozen=True)
class Arm:
    """A plan: its stages, None for all, whether it has a duel, and whether it is given the usual LR."""

    stages: tuple[str, ...] | None = None
    duel: bool = True
    usual: bool = False


ARMS = {
    "the whole plan": Arm(),
    "without the duel": Arm(duel=False),
    "without refinement": Arm(("lr-range", "final")),
    "without the bracket": Arm(("refine", "final"), usual=True),
    "the bracket alone": Arm(("lr-range", "final"), duel=False),
    "the usual LR alone": Arm(("final",), duel=False, usual=True),
}


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problems", nargs="*", default=OTHERS)
    parser.add_argument("--budgets", type=float, nargs="+", default=[3.0, 6.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    torch.set_num_threads(1)
    for budget in args.budgets:
        for name in args.problems:
            for seed in args.seeds:
                for label in ARMS:
                    run_arm(label, name, seed, budget)
    for line in table():
        print(" | ".join(line))


def run_arm(label: str, name: str, seed: int, budget: float) -> None:
    """Run a plan on a problem's split, unless that is stored."""
    arm, settings = ARMS[label], {}
    if arm.usual:
        settings["hyper_parameters.lr"] = usual_lr(PROBLEMS[name].iterations)
    with ExitStack() as stack:
        if not arm.duel:
            stack.enter_context(patch("hptune.procedure.plan.DUEL", 0.0))
            stack.enter_context(patch("hptune.procedure.final.run_duel", lambda *_: {}))
        run_judge(
            name, seed, budget=budget, stages=arm.stages, label=label, optimizer=OPTIMIZER,
            where="ablation", settings=settings,
        )  # fmt: skip


HEAD = ["budget", "plan", "runs", "lost %", "worst", "more than the whole plan", "regret", "search"]


def table() -> list[list[str]]:
    """Return a row for each budget and plan that is stored, under `HEAD`."""
    lines = []
    rows = store.read("ablation")
    for budget in sorted({row["budget"] for row in rows}, key=float):
        own = store.chosen(rows, budget=budget)
        found = {label: _scores(store.chosen(own, label=label)) for label in ARMS}
        whole = found["the whole plan"]
        for label, scores in found.items():
            apart = [100 * (s.lost - whole[k].lost) for k, s in scores.items() if k in whole]
            if len(apart) < 2:
                continue
            losts = [100 * score.lost for score in scores.values()]
            regrets = [score.regret for score in scores.values() if score.regret is not None]
            cost = [search_cost(row) for row in store.chosen(own, label=label)]
            error = statistics.stdev(apart) / math.sqrt(len(apart))
            lines.append([
                f"{float(budget):g}", label, str(len(losts)), f"{statistics.mean(losts):.2f}",
                f"{max(losts):.1f}", f"{statistics.mean(apart):+.2f} ± {error:.2f}",
                f"{statistics.mean(regrets):+.2f}", f"{statistics.mean(cost):.2f}",
            ])  # fmt: skip
    return lines


def _scores(rows: Sequence[dict[str, str]]) -> dict[tuple[str, str], Score]:
    return {(row["problem"], row["seed"]): Score.of(row, OPTIMIZER) for row in rows}


if __name__ == "__main__":
    main()
