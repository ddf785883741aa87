"""Momentum: short runs show the best value early; cyclical momentum against the best constant.

Source: Smith 2018, section 4.3 and Remark 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.ranking import rank, rank_survivors
from hptune.procedure import defaults
from hptune.procedure.compare import decide, run_candidates, run_repeats
from hptune.procedure.lr_range import concluded_with_lr
from hptune.procedure.outcome import Outcome
from hptune.procedure.session.context import Context
from hptune.results.records import Decision, Trial
from hptune.stages import MOMENTUM
from hptune.trials.paired import Candidates
from hptune.trials.run import Runner

RULE = "{}; within the noise the report's cyclical 0.95-0.85"


def stage(context: Context, values: Sequence[float] | None, seeds: int) -> Outcome:
    """Compare momenta; where another than the present one wins, confirm the LR with it."""
    options, by, base = context.options(MOMENTUM), context.criterion, context.short(MOMENTUM)
    candidates = run_momentum(
        context.runner,
        base,
        values=values or options.values,
        minimum=options.minimum,
        seeds=seeds,
        by=by,
    )
    decisions = decide_momentum(candidates, by)
    return concluded_with_lr(
        context, base, candidates, decisions, columns=("momentum", "momentum_min"), seeds=seeds
    )


def run_momentum(
    runner: Runner,
    base: Trial,
    *,
    values: Sequence[float],
    minimum: float,
    seeds: int,
    by: Criterion = LOSS,
) -> Candidates:
    """Run each value as the maximum of cyclical momentum, then the best of them held constant.

    Args:
        runner: Runs the trials.
        base: A short run under the LR policy that will be used.
        values: Maxima to compare; one at or below `minimum` is held constant.
        minimum: Where momentum falls to while LR rises.
        seeds: Repeats of each candidate.
        by: What is better.
    """
    run = partial(run_candidates, runner, base, seeds=seeds, by=by)
    # The present value first: it has been run, and must not be what the budget leaves out.
    wanted = sorted(values, key=lambda value: value != base.momentum)
    minima = {value: minimum if value > minimum else None for value in wanted}
    changes = {
        _label(value, low): {"momentum": value, "momentum_min": low}
        for value, low in minima.items()
    }
    candidates = run(changes, least=1)
    best = candidates[rank(candidates, by).best][0].trial
    if best.momentum_min is not None:
        constant = {"momentum": best.momentum, "momentum_min": None}
        candidates |= run({_label(best.momentum, None): constant})
    return run_repeats(runner, candidates, by)


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
