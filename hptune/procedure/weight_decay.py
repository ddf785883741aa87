"""Weight decay: a grid over magnitudes under the policy that will be used, then the exponent bisected.

Source: Smith 2018, section 4.4 and Remark 6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.plateau import on_plateau
from hptune.analysis.ranking import rank, rank_survivors
from hptune.procedure.compare import concluded, run_candidates, run_repeats
from hptune.procedure.context import Context, Outcome
from hptune.procedure.lr_range import confirm_again
from hptune.results.records import Decision, Trial
from hptune.stages import WEIGHT_DECAY
from hptune.trials.branches import branch_point
from hptune.trials.paired import Candidates, run_paired, total_seconds, trial_ids
from hptune.trials.run import Runner

DEEP = 10  # layers with weights; from here on the report's grid for deep nets applies
RULE = "{}; within the noise the magnitude nearest the net's complexity"
# Decoupled decay is multiplied by LR alone, L2 also passes through the gradient: the
# useful magnitudes lie about two decades apart.
DECOUPLED = {"adamw": 100.0}
EXTRAPOLATIONS = 2


def usual_weight_decay(weight_layers: int, optimizer: str = "sgd") -> float:
    """Return the middle of the report's grid for a net: 1e-3 for a shallow one, 1e-4 for a deep one."""
    return (1e-4 if weight_layers >= DEEP else 1e-3) * DECOUPLED.get(optimizer.lower(), 1.0)


def first_grid(weight_layers: int, optimizer: str = "sgd") -> list[float]:
    """Return the report's first grid for a net of so many layers with weights."""
    scale = DECOUPLED.get(optimizer.lower(), 1.0)
    grid = [1e-3, 1e-4, 1e-5, 0.0] if weight_layers >= DEEP else [1e-2, 1e-3, 1e-4]
    return [_rounded(value * scale) for value in grid]


def stage(context: Context, values: Sequence[float] | None, seeds: int) -> Outcome:
    """Compare weight decays; where another than the present one wins, confirm the LR with it."""
    options, by, base = (
        context.options(WEIGHT_DECAY),
        context.criterion,
        context.short(WEIGHT_DECAY),
    )
    given = values or options.values
    candidates = run_weight_decay(
        context.runner,
        base,
        values=given or first_grid(context.weight_layers, context.optimizer),
        seeds=seeds,
        refine=not given,
        by=by,
        from_snapshot=options.from_snapshot,
    )
    usual = usual_weight_decay(context.weight_layers, context.optimizer)
    decision = decide_weight_decay(candidates, usual=usual, by=by)
    outcome, chosen = concluded(candidates, [decision], by, columns=("weight_decay",))
    if chosen.weight_decay == base.weight_decay:
        return outcome
    return outcome + confirm_again(context, chosen.change(snapshot=None), seeds)


def run_weight_decay(
    runner: Runner,
    base: Trial,
    *,
    values: Sequence[float],
    seeds: int,
    refine: bool,
    by: Criterion = LOSS,
    from_snapshot: bool = False,
) -> Candidates:
    """Run the grid; with `refine`, extrapolate at an edge and bisect the best two's exponent.

    Args:
        runner: Runs the trials.
        base: A short run under the LR and momentum that will be used.
        values: The grid.
        seeds: Repeats of each candidate.
        refine: Whether to go on from the grid.
        by: What is better.
        from_snapshot: Run the middle of the grid to its plateau and branch each candidate from
            there, which takes one seed and little more than half of the time.
    """
    base = base.change(stage=WEIGHT_DECAY)
    if from_snapshot:
        middle = sorted(values)[len(values) // 2]
        base = base.change(weight_decay=middle)
        base = base.change(snapshot=branch_point(runner, base, on_plateau))
        seeds = 1  # another seed would need a parent of its own

    def run(wanted: Sequence[float], least: int) -> Candidates:
        changes = {f"{v:g}": {"weight_decay": v} for v in wanted}
        if from_snapshot:  # nothing is left to stop early
            return run_paired(runner, base, changes, seeds=seeds, least=least)
        return run_candidates(runner, base, changes, seeds=seeds, by=by, least=least)

    # The present value first: it has been run, and must not be what the budget leaves out.
    candidates = run(sorted(values, key=lambda value: value != base.weight_decay), 1)
    if refine:
        for _ in range(EXTRAPOLATIONS):
            beyond = _beyond(candidates, by)
            further = run([beyond], 0) if beyond is not None else {}
            if not further:
                break
            candidates |= further
        between = _between(candidates, by)
        if between is not None:
            candidates |= run([between], 0)
    return candidates if from_snapshot else run_repeats(runner, candidates, by)


def decide_weight_decay(candidates: Candidates, *, usual: float, by: Criterion = LOSS) -> Decision:
    """Choose the weight decay from paired runs; among ties the magnitude nearest `usual`."""
    ranking = rank_survivors(candidates, by)
    best = float(ranking.best)
    tied = [float(label) for label in ranking.ties]
    tied += [decay for decay in map(float, ranking.not_clearly_beaten) if best < decay <= usual]
    chosen = min(tied, key=lambda value: _distance(value, usual))
    reason = ranking.reason
    if f"{chosen:g}" != ranking.best:
        reason += f"; tied, so {chosen:g}, the nearest to the net's usual {usual:g}, is taken"
    return Decision(
        stage=WEIGHT_DECAY,
        parameter="weight_decay",
        value=chosen,
        rule=RULE.format(by),
        reason=reason,
        trials=trial_ids(candidates),
        warnings=tuple(ranking.warnings),
        seconds=total_seconds(candidates, WEIGHT_DECAY),
    )


def _best(candidates: Candidates, by: Criterion) -> tuple[list[float], int]:
    """Return the values in rising order and the place of the best among them."""
    values = sorted(float(label) for label in candidates)
    return values, values.index(float(rank(candidates, by).best))


def _beyond(candidates: Candidates, by: Criterion) -> float | None:
    """Return the next magnitude where the best is at the edge of what was tried."""
    values, best = _best(candidates, by)
    if len(values) == 1:
        return None
    if best == len(values) - 1 and values[best] > 0:
        return _rounded(values[best] * 10)
    if best == 0 and values[0] > 0:
        return _rounded(values[0] / 10)
    return None


def _between(candidates: Candidates, by: Criterion) -> float | None:
    """Return the middle exponent of the best and its better neighbour, to one significant figure."""
    values, best = _best(candidates, by)
    order = list(rank(candidates, by).order)
    neighbours = [values[i] for i in (best - 1, best + 1) if 0 <= i < len(values) and values[i] > 0]
    if values[best] == 0 or not neighbours:
        return None
    neighbour = min(neighbours, key=lambda value: order.index(f"{value:g}"))
    middle = _rounded(math.sqrt(values[best] * neighbour))
    return None if middle in values else middle


def _rounded(value: float) -> float:
    """Round to one significant figure: more is not to be seen in a validation loss."""
    return float(f"{value:.0e}")


def _distance(value: float, usual: float) -> float:
    return abs(math.log10(value / usual)) if value > 0 else math.inf
