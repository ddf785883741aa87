"""Momentum: short runs show the best value early; cyclical momentum against the best constant.

Source: Smith 2018, section 4.3 and Remark 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.ranking import rank, rank_survivors
from hptune.procedure import defaults
from hptune.procedure.compare import PairedRuns, decide, kept, not_compared
from hptune.procedure.lr_range import concluded_with_lr
from hptune.procedure.outcome import Outcome
from hptune.procedure.session.context import Context
from hptune.results.records import Decision, Trial
from hptune.stages import MOMENTUM
from hptune.trials.paired import Candidates

RULE = "{}; within the noise the report's cyclical 0.95-0.85"


def stage(context: Context, values: Sequence[float] | None, seeds: int) -> Outcome:
    """Compare momenta; where another than the present one wins, confirm the LR with it."""
    options, base = context.options(MOMENTUM), context.short(MOMENTUM)
    runs, wanted = context.paired(seeds), values or options.values
    both = ("momentum", "momentum_min")
    if not context.check().has_momentum:
        return not_compared(
            base, both, f"{context.optimizer} has neither momentum, betas nor beta1"
        )
    if not runs.worth(base, len(wanted) + 1):
        return kept(runs, base, both, len(wanted) + 1)
    candidates = run_momentum(runs, base, values=wanted, minimum=options.minimum)
    decisions = decide_momentum(candidates, runs.by)
    return concluded_with_lr(runs, base, candidates, decisions, columns=both)


def run_momentum(
    runs: PairedRuns, base: Trial, *, values: Sequence[float], minimum: float
) -> Candidates:
    """Run each value as the maximum of cyclical momentum, then the best of them held constant.

    Args:
        base: A short run under the LR policy that will be used.
        values: Maxima to compare; one at or below `minimum` is held constant.
        minimum: Where momentum falls to while LR rises.
    """
    # The present value first: it has been run, and must not be what the budget leaves out.
    wanted = sorted(values, key=lambda value: value != base.momentum)
    minima = {value: minimum if value > minimum else None for value in wanted}
    changes = {
        _label(value, low): {"momentum": value, "momentum_min": low}
        for value, low in minima.items()
    }
    candidates = runs.run(base, changes, least=1)
    best = candidates[rank(candidates, runs.by).best][0].trial
    if best.momentum_min is not None:
        constant = {"momentum": best.momentum, "momentum_min": None}
        candidates |= runs.run(base, {_label(best.momentum, None): constant})
    return runs.repeat(candidates)


def decide_momentum(candidates: Candidates, by: Criterion = LOSS) -> list[Decision]:
    """Choose momentum's maximum and minimum from paired runs."""
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
    return [maximum, minimum]


def _label(momentum: float, minimum: float | None) -> str:
    return f"{momentum:g} constant" if minimum is None else f"{momentum:g}-{minimum:g}"
