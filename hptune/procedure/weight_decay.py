"""Weight decay: a grid over magnitudes under the policy that will be used, then the exponent bisected.

Source: Smith 2018, section 4.4 and Remark 6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.fitting import on_plateau
from hptune.analysis.ranking import rank, rank_survivors
from hptune.procedure import defaults
from hptune.procedure.compare import PairedRuns, decide, kept, not_compared
from hptune.procedure.lr_range import concluded_with_lr
from hptune.procedure.outcome import Outcome
from hptune.procedure.session.context import Context
from hptune.results.records import Decision, Trial
from hptune.stages import WEIGHT_DECAY
from hptune.trials.branches import branch_point
from hptune.trials.paired import Candidates, run_paired

RULE = "{}; within the noise the magnitude nearest the net's complexity"
EXTRAPOLATIONS = 2


def first_grid(weight_layers: int, optimizer: str = "sgd") -> list[float]:
    """Return the report's first grid for a net of so many layers with weights."""
    scale = defaults.decay_scale(optimizer)
    grid = [1e-3, 1e-4, 1e-5, 0.0] if weight_layers >= defaults.DEEP else [1e-2, 1e-3, 1e-4]
    return [_rounded(value * scale) for value in grid]


def stage(context: Context, values: Sequence[float] | None, seeds: int) -> Outcome:
    """Compare weight decays; where another than the present one wins, confirm the LR with it."""
    options, base = context.options(WEIGHT_DECAY), context.short(WEIGHT_DECAY)
    if not context.check().has_weight_decay:
        why = f"{context.optimizer} has no weight decay"
        return not_compared(base, ("weight_decay",), why)
    given, runs = values or options.values, context.paired(seeds)
    net = (context.check().weight_layers, context.optimizer)
    grid = given or first_grid(*net)
    if not runs.worth(base, len(grid)):
        return kept(runs, base, ("weight_decay",), len(grid))
    candidates = run_weight_decay(
        runs,
        base,
        values=grid,
        refine=not given,
        from_snapshot=options.from_snapshot,
    )
    decision = decide_weight_decay(candidates, usual=defaults.weight_decay(*net), by=runs.by)
    return concluded_with_lr(runs, base, candidates, [decision], columns=("weight_decay",))


def run_weight_decay(
    runs: PairedRuns,
    base: Trial,
    *,
    values: Sequence[float],
    refine: bool,
    from_snapshot: bool = False,
) -> Candidates:
    """Run the grid; with `refine`, extrapolate at an edge and bisect the best two's exponent.

    Args:
        base: A short run under the LR and momentum that will be used.
        refine: Whether to go on from the grid.
        from_snapshot: Run the middle of the grid to its plateau and branch each candidate from
            there, which takes one seed and little more than half of the time.
    """
    run, by = runs.run, runs.by
    if from_snapshot:
        middle = sorted(values)[len(values) // 2]
        base = base.change(weight_decay=middle)
        base = base.change(snapshot=branch_point(runs.runner, base, on_plateau))
        # Another seed would need a parent of its own, and nothing is left to stop early.
        run = partial(run_paired, runs.runner, seeds=1)

    def compared(wanted: Sequence[float], least: int = 0) -> Candidates:
        changes = {_label(value): {"weight_decay": value} for value in wanted}
        return run(base, changes, least=least) if changes else {}

    # The present value first: it has been run, and must not be what the budget leaves out.
    candidates = compared(sorted(values, key=lambda value: value != base.weight_decay), least=1)
    if refine:
        for _ in range(EXTRAPOLATIONS):
            further = compared(_beyond(candidates, by))
            if not further:
                break
            candidates |= further
        candidates |= compared(_between(candidates, by))
    return candidates if from_snapshot else runs.repeat(candidates)


def decide_weight_decay(candidates: Candidates, *, usual: float, by: Criterion = LOSS) -> Decision:
    """Choose the weight decay from paired runs; among ties the magnitude nearest `usual`."""
    ranking = rank_survivors(candidates, by)
    best = float(ranking.best)
    tied = [float(label) for label in ranking.ties]
    tied += [decay for decay in map(float, ranking.not_clearly_beaten) if best < decay <= usual]
    chosen = min(tied, key=lambda value: _distance(value, usual))
    return decide(
        candidates,
        ranking,
        _label(chosen),
        stage=WEIGHT_DECAY,
        parameter="weight_decay",
        value=chosen,
        rule=RULE.format(by),
        tied=f"{chosen:g}, the nearest to the net's usual {usual:g}, is taken",
    )


def _beyond(candidates: Candidates, by: Criterion) -> list[float]:
    """Return the next magnitude where the best is at the edge of what was tried, else nothing."""
    values, best = sorted(map(float, candidates)), float(rank(candidates, by).best)
    if len(values) == 1 or best == 0 or best not in (values[0], values[-1]):
        return []
    return [_rounded(best * 10 if best == values[-1] else best / 10)]


def _between(candidates: Candidates, by: Criterion) -> list[float]:
    """Return the middle exponent of the best and its better neighbour, to one significant figure.

    Nothing where that has been tried.
    """
    values, order = sorted(map(float, candidates)), [float(v) for v in rank(candidates, by).order]
    best = values.index(order[0])
    neighbours = [
        value for value in values[max(best - 1, 0) : best + 2] if value not in (0, order[0])
    ]
    if order[0] == 0 or not neighbours:
        return []
    middle = _rounded(math.sqrt(order[0] * min(neighbours, key=order.index)))
    return [] if middle in values else [middle]


def _label(value: float) -> str:
    """Return a value in short, from which it can be read again."""
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))


def _rounded(value: float) -> float:
    """Round to one significant figure: more is not to be seen in a validation loss."""
    return float(f"{value:.0e}")


def _distance(value: float, usual: float) -> float:
    return abs(math.log10(value / usual)) if value > 0 else math.inf
