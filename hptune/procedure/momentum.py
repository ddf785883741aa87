"""Momentum: short runs show the best value early; cyclical momentum against the best constant.

Source: Smith 2018, section 4.3 and Remark 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.ranking import rank, rank_survivors
from hptune.procedure import defaults
from hptune.procedure.compare import concluded, run_candidates, run_repeats
from hptune.procedure.context import Context, Outcome
from hptune.procedure.lr_range import confirm_again
from hptune.results.records import Decision, Trial
from hptune.stages import MOMENTUM
from hptune.trials.paired import Candidates, total_seconds, trial_ids
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
    outcome, chosen = concluded(
        candidates, decide_momentum(candidates, by), by, columns=("momentum", "momentum_min")
    )
    if chosen.momentum == base.momentum:
        return outcome
    return outcome + confirm_again(context, chosen, seeds)


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
    base = base.change(stage=MOMENTUM)
    # The present value first: it has been run, and must not be what the budget leaves out.
    wanted = sorted(values, key=lambda value: value != base.momentum)

    def run(changes: Sequence[tuple[float, float | None]], least: int) -> Candidates:
        wanted = {_label(*change): _change(*change) for change in changes}
        return run_candidates(runner, base, wanted, seeds=seeds, by=by, least=least)

    candidates = run(_cyclical(wanted, minimum), 1)
    best = candidates[rank(candidates, by).best][0].trial
    if best.momentum_min is not None:
        candidates |= run([(best.momentum, None)], 0)
    return run_repeats(runner, candidates, by)


def decide_momentum(candidates: Candidates, by: Criterion = LOSS) -> list[Decision]:
    """Choose momentum's maximum and minimum from paired runs."""
    ranking = rank_survivors(candidates, by)
    preferred = _label(defaults.MOMENTUM, defaults.MOMENTUM_MIN)
    larger = candidates[ranking.best][0].trial.momentum > defaults.MOMENTUM
    tied = ranking.not_clearly_beaten if larger else ranking.ties
    chosen = preferred if preferred in tied else ranking.best
    trial = candidates[chosen][0].trial
    reason = ranking.reason
    if chosen != ranking.best:
        reason += f"; tied, so the report's default {chosen} is kept"
    common: dict[str, Any] = {
        "stage": MOMENTUM,
        "rule": RULE.format(by),
        "trials": trial_ids(candidates),
        "warnings": tuple(ranking.warnings),
    }
    minimum = trial.momentum if trial.momentum_min is None else trial.momentum_min
    return [
        Decision(
            parameter="momentum",
            value=trial.momentum,
            reason=reason,
            seconds=total_seconds(candidates, MOMENTUM),
            **common,
        ),
        Decision(
            parameter="momentum_min",
            value=minimum,
            reason="held constant" if trial.momentum_min is None else "falls while LR rises",
            **common,
        ),
    ]


def _cyclical(values: Sequence[float], minimum: float) -> list[tuple[float, float | None]]:
    return [(value, minimum if value > minimum else None) for value in values]


def _change(momentum: float, minimum: float | None) -> dict[str, Any]:
    return {"momentum": momentum, "momentum_min": minimum}


def _label(momentum: float, minimum: float | None) -> str:
    return f"{momentum:g} constant" if minimum is None else f"{momentum:g}-{minimum:g}"
