"""Momentum: short runs show the best value early; cyclical momentum against the best constant.

The LR moves with momentum, so that candidates differ in momentum and not in how far they step: where a
step is as long as LR / (1 - momentum), that is held.

Source: Smith 2018, section 4.3 and Remark 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.ranking import rank, rank_survivors
from hptune.procedure import defaults
from hptune.procedure.compare import PairedRuns, decide, kept, not_compared
from hptune.procedure.lr_range import concluded_with_lr, lr_decisions, lrs_of
from hptune.procedure.outcome import Outcome
from hptune.procedure.session.context import Context
from hptune.results.records import Decision, Trial
from hptune.stages import MOMENTUM
from hptune.trials.paired import Candidates

MOVED = "LR / (1 - momentum) is held"
LOWER = (0.8, 0.5)  # one after the other, where the lowest candidate wins
RULE = "{}; within the noise the report's cyclical 0.95-0.85"


def stage(context: Context, values: Sequence[float] | None, seeds: int) -> Outcome:
    """Compare momenta; where another than the present one wins, confirm the LR with it."""
    options, base = context.options(MOMENTUM), context.short(MOMENTUM)
    runs, wanted = context.paired(seeds), values or options.values
    both = ("momentum", "momentum_min")
    if not context.check().has_momentum:
        why = f"{context.optimizer} has neither momentum, betas nor beta1"
        return not_compared(base, both, why)
    if not runs.worth(base, len(wanted) + 1):
        return kept(runs, base, both, len(wanted) + 1)
    candidates = run_momentum(
        runs,
        base,
        values=wanted,
        minimum=options.minimum,
        lower=() if values else LOWER,
        lr_moves=not context.is_adaptive,
    )
    decisions = decide_momentum(candidates, runs.by, lr=base.lr)
    return concluded_with_lr(runs, base, candidates, decisions, columns=(*both, "lr"))


def run_momentum(
    runs: PairedRuns,
    base: Trial,
    *,
    values: Sequence[float],
    minimum: float,
    lower: Sequence[float] = (),
    lr_moves: bool = True,
) -> Candidates:
    """Run each value as the maximum of cyclical momentum, then the best of them held constant.

    Args:
        base: A short run under the LR policy that will be used.
        values: Maxima to compare; one at or below `minimum` is held constant.
        minimum: Where momentum falls to while LR rises.
        lower: Further values, falling: each is run where the lowest one so far is the best.
        lr_moves: Whether LR / (1 - momentum) is held, not LR.
    """

    def change(value: float, low: float | None) -> dict[str, dict[str, Any]]:
        new = {"momentum": value, "momentum_min": low}
        if lr_moves and value != base.momentum:
            lr = base.lr * (1 - value) / (1 - base.momentum)
            new |= lrs_of(base, float(f"{lr:.2g}"))
        return {_label(value, low): new}

    # The present value first: it has been run, and must not be what the budget leaves out.
    wanted = sorted(values, key=lambda value: value != base.momentum)
    changes: dict[str, dict[str, Any]] = {}
    for value in wanted:
        changes |= change(value, minimum if value > minimum else None)
    candidates = runs.run(base, changes, least=1)
    best = _best(candidates, runs.by)
    for value in lower:
        if best.momentum == min(rs[0].trial.momentum for rs in candidates.values()) > value:
            candidates |= runs.run(base, change(value, None))
            best = _best(candidates, runs.by)
    if best.momentum_min is not None:
        candidates |= runs.run(base, change(best.momentum, None))
    return runs.repeat(candidates)


def _best(candidates: Candidates, by: Criterion) -> Trial:
    return candidates[rank(candidates, by).best][0].trial


def decide_momentum(
    candidates: Candidates, by: Criterion = LOSS, *, lr: float | None = None
) -> list[Decision]:
    """Choose momentum's maximum and minimum from paired runs, and the LR that goes with them.

    Args:
        lr: The one before; a decision on LR is made where the chosen candidate has another.
    """
    ranking = rank_survivors(candidates, by)
    preferred = _label(defaults.MOMENTUM, defaults.MOMENTUM_MIN)
    larger = candidates[ranking.best][0].trial.momentum > defaults.MOMENTUM
    tied = ranking.not_clearly_beaten if larger else ranking.ties
    chosen = preferred if preferred in tied else ranking.best
    trial = candidates[chosen][0].trial
    maximum = decide(
        candidates,
        ranking,
        chosen,
        stage=MOMENTUM,
        parameter="momentum",
        value=trial.momentum,
        rule=RULE.format(by),
        tied=f"the report's default {chosen} is kept",
    )
    constant = trial.momentum_min is None
    minimum = replace(
        maximum,
        parameter="momentum_min",
        value=trial.momentum if constant else trial.momentum_min,
        reason="held constant" if constant else "falls while LR rises",
        seconds=0.0,
    )
    decisions = [maximum, minimum]
    if lr not in (None, trial.lr):
        why = f"goes with momentum {trial.momentum:g}; it was {lr:g}"
        moved = replace(maximum, parameter="lr", rule=MOVED, reason=why, seconds=0.0)
        decisions += lr_decisions(replace(moved, value=trial.lr), trial)
    return decisions


def _label(momentum: float, minimum: float | None) -> str:
    return f"{momentum:g} constant" if minimum is None else f"{momentum:g}-{minimum:g}"
