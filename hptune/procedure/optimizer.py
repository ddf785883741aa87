"""Optimizer, where it is auto: SGD and NAdamW, each at its own LR, compared by paired short runs.

The LR of each is found by what the LR range stage itself runs, and in its name: for the optimizer
that wins, that stage has hardly anything left to run.

Source: Choi et al. 2019, "On Empirical Comparisons of Optimizers for Deep Learning".
"""

from __future__ import annotations

import math

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.ranking import Ranking, rank_survivors
from hptune.procedure.compare import concluded, decide
from hptune.procedure.defaults import OPTIMIZERS
from hptune.procedure.lr_range import concluded_bracket, tested_and_bracketed
from hptune.procedure.outcome import Outcome
from hptune.procedure.plan import TELLING
from hptune.procedure.session.context import Context
from hptune.procedure.sweep_lr import at_its_lr, compared_at_their_lrs
from hptune.results.records import Decision
from hptune.stages import OPTIMIZER, STAGES
from hptune.trials.paired import Candidates

USUAL = OPTIMIZERS[0]
RULE = "{}, each at its own LR; within the noise " + USUAL
KEPT = "the usual one, which is no worse on most problems"
TOLD = 2.0  # noises that a difference has to be, if many seeds are to tell it


def stage(context: Context, values: None, seeds: int) -> Outcome:
    """Find the LR of each optimizer, and compare them with it; where that costs too much, keep one.

    Args:
        context: The problem, whose optimizer is open.
        values: There are none to list.
        seeds: Repeats of each trial.
    """
    plan, budget, by = context.plan(context.batch_size()), context.budget, context.criterion
    share, cost = context.share, plan.optimizers.epochs
    if not budget.affords(cost / share):
        left = max(budget.allowed - budget.spent, 0.0)
        enough = plan.budget + (cost / share - left) / plan.epochs
        return Outcome([not_compared(cost, share * left, enough)])
    repeats = len(OPTIMIZERS) * max(TELLING - seeds, 0) * plan.short / plan.per_epoch
    whole, found, at_lr = budget.allowed, {}, {}
    for left, name in zip(range(len(OPTIMIZERS), 0, -1), OPTIMIZERS, strict=True):
        # What one leaves is for the next; both are to be repeated.
        budget.allowed = budget.spent + (whole - repeats - budget.spent) / left
        context.progress.message(f"{name}: its LR")
        other = context.variant(STAGES[OPTIMIZER].parameter, name, same_task=True)
        found[name] = test, bracket = tested_and_bracketed(other, seeds, quiet=True)
        at_lr[name] = at_its_lr(other, test, bracket, stage=OPTIMIZER, by=by)
    budget.allowed = whole
    candidates = compared_at_their_lrs(at_lr, max(seeds, TELLING), by)
    decision = decide_optimizer(candidates, by)
    outcome = concluded(
        candidates, [decision], by, columns=("optimizer", "lr"), chosen=str(decision.value)
    ) + concluded_bracket(*found[str(decision.value)], by)
    outcome.results = [r for one in at_lr.values() for r in one.found]
    outcome.results += [r for rs in candidates.values() for r in rs if r.trial.stage == OPTIMIZER]
    return outcome


def decide_optimizer(candidates: Candidates, by: Criterion = LOSS) -> Decision:
    """Choose an optimizer from paired runs, each at its own LR; where they tie, the usual one."""
    ranking = rank_survivors(candidates, by)
    chosen = USUAL if USUAL in ranking.ties else ranking.best
    lrs = ", ".join(f"{label} {rs[0].trial.lr:g}" for label, rs in candidates.items())
    return decide(
        candidates,
        ranking,
        chosen,
        stage=OPTIMIZER,
        parameter=STAGES[OPTIMIZER].parameter,
        value=chosen,
        rule=RULE.format(by),
        tied=f"the usual {USUAL} is taken",
        beside=f"; each at its own LR ({lrs}){_cost_of_telling(ranking, candidates)}",
    )


def taken() -> Decision:
    """Return the decision of commands that do not compare optimizers."""
    return Decision(
        stage=OPTIMIZER,
        parameter=STAGES[OPTIMIZER].parameter,
        value=USUAL,
        rule=KEPT,
        reason=f"not compared: `hptune run` compares {' and '.join(OPTIMIZERS)} where its budget is enough",
    )


def not_compared(cost: float, left: float, enough: float) -> Decision:
    """Return the decision where the budget cannot bear a comparison.

    Args:
        cost: Epochs that it takes at least.
        left: Epochs that are left.
        enough: A budget that can.
    """
    return Decision(
        stage=OPTIMIZER,
        parameter=STAGES[OPTIMIZER].parameter,
        value=USUAL,
        rule=KEPT,
        reason=f"not compared: telling {' and '.join(OPTIMIZERS)} apart, each at its own LR, takes "
        f"about {cost:.3g} epochs, and {left:.3g} are left for it; raise procedure.budget to "
        f"{math.ceil(10 * enough - 1e-9) / 10:g}",
    )


def _cost_of_telling(ranking: Ranking, candidates: Candidates) -> str:
    """Return how many seeds would show a difference that the noise hides, "" where it does not."""
    if len(ranking.ties) < 2:
        return ""
    other, results = ranking.ties[1], candidates[ranking.best]
    lead = ranking.scores[other] - ranking.scores[ranking.best]
    if not lead > 0:
        return ""
    seeds = math.ceil(len(results) * (TOLD * ranking.noises[other] / lead) ** 2)
    epochs = len(candidates) * seeds * results[0].epochs
    return f"; {seeds} seeds would tell a difference of {lead:.2g}, in about {epochs:.3g} epochs"
