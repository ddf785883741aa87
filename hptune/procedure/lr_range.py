"""Learning rate: an LR range test, and a bracket of short runs that begins where the test is read.

Source: Smith 2018, sections 4.1 and 5 ("try more than one maximum"); Smith 2017 for the test itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.ranking import Ranking, rank, rank_survivors
from hptune.procedure import defaults
from hptune.procedure.compare import PairedRuns, chosen_among, concluded, decide
from hptune.procedure.defaults import lr_min
from hptune.procedure.outcome import Outcome
from hptune.procedure.plan import BRACKET, CANDIDATES
from hptune.procedure.range_test import RangeTest, run_lr_range
from hptune.procedure.session.context import Context
from hptune.results.records import Decision, Trial, Value
from hptune.stages import LR_RANGE
from hptune.trials.paired import Candidates

FACTOR = 3.0  # between neighbouring candidates: one seed tells no closer ones apart
WIDE = 5  # candidates side by side: a bracket begins with as many, and goes on two by two
RULE = "bracketed by short runs: {}; within the noise the lower of two"


def stage(context: Context, values: Sequence[float] | None, seeds: int) -> Outcome:
    """Test for the LR and bracket it."""
    return concluded_bracket(*tested_and_bracketed(context, seeds), context.criterion)


def tested_and_bracketed(
    context: Context,
    seeds: int,
    *,
    stage: str = LR_RANGE,
    extra: Mapping[str, Value] | None = None,
    quiet: bool = False,
) -> tuple[RangeTest | None, Candidates]:
    """Run the LR range test of a problem, and the bracket that begins where the test is read.

    Where the optimizer has a usual LR, the bracket begins there, and there is a test only where the
    user has asked for this stage.

    Args:
        stage: Of the bracket's runs.
        quiet: Whether nothing is told of the values that hold.
    """
    size, runs = context.batch_size(quiet=quiet), context.paired(seeds)
    plan = context.plan(size)
    base = context.base(LR_RANGE, plan.range_test, batch_size=size, lr=1.0, quiet=quiet)
    base = base.change(extra=extra or {})
    short = context.shortened(base).change(stage=stage)
    usual = defaults.usual_lr(plan.final) if defaults.has_usual_lr(context.optimizer) else None
    if not context.check().has_schedule:
        first = usual or defaults.first_lr(adaptive=context.is_adaptive)
        context.progress.message(
            f"  lr {first:g} to begin with: no LR range test, for the loop sets its LR itself and "
            "does not call trial.schedule"
        )
        return None, run_bracket(runs, short, first)
    if usual:
        context.progress.message(f"  lr {usual:g} (usual for {context.optimizer}) to begin with")
        test = tested(context, runs, base) if context.asked else None
        return test, run_bracket(runs, short, usual)
    test = tested(context, runs, base)
    return test, run_bracket(runs, short, test.reading.lr_max, reached=test.reached(runs.by))


def concluded_bracket(test: RangeTest | None, candidates: Candidates, by: Criterion) -> Outcome:
    """Return the outcome of a range test and its bracket.

    Raises:
        StageError: No LR led to an end.
    """
    decisions = decide_lr(test, candidates, by=by)
    below, above = neighbours(rank(candidates, by))
    interval = (below, above) if below and above else None
    outcome = concluded(candidates, decisions, by, columns=("lr",), interval=interval)
    return Outcome(results=test.results, evidence=[test.record()]) + outcome if test else outcome


def tested(context: Context, runs: PairedRuns, base: Trial) -> RangeTest:
    """Run the LR range test of a problem, as its experiment says."""
    options = context.options(LR_RANGE)
    low, high = defaults.lr_range(adaptive=context.is_adaptive)
    return run_lr_range(
        runs.runner,
        base,
        low=options.lr_low or low,
        high=options.lr_high or high,
        mode="exponential" if options.mode == "auto" else options.mode,
        seeds=max(options.seeds, runs.seeds),
        examples=context.validation_examples,
    )


def concluded_with_lr(
    runs: PairedRuns,
    base: Trial,
    candidates: Candidates,
    decisions: Sequence[Decision],
    *,
    columns: Sequence[str],
) -> Outcome:
    """Return the outcome of a stage; where its value is new, with the LR bracketed anew.

    Momentum, weight decay and batch size are coupled with the LR.

    Args:
        base: The trial with the values before.
        candidates: What the stage compared.
        decisions: What it decided, first on what was compared.
        columns: The columns of results.csv that the candidates set, the stage's own first.
    """
    outcome = concluded(candidates, decisions, runs.by, columns=columns)
    if decisions[0].value == getattr(base, columns[0]) or "lr" in base.fixed:
        return outcome
    chosen = chosen_among(candidates, decisions, columns)
    trial = candidates[chosen][0].trial.change(stage=base.stage, snapshot=None)
    if not runs.worth(trial, BRACKET):
        return outcome
    bracket = run_bracket(runs, trial, trial.lr)
    again = decide_lr(None, bracket, stage=base.stage, by=runs.by)
    return outcome + concluded(bracket, again, runs.by, columns=("lr",))


def run_bracket(
    runs: PairedRuns,
    base: Trial,
    lr: float,
    *,
    reached: float = math.inf,
) -> Candidates:
    """Run short runs up and down from an LR until the best has worse neighbours, then one between them.

    A range test may be wrong by a factor of ten, so its reading is only where the bracket begins.

    Args:
        base: A short run under the policy that will be used.
        lr: To begin with.
        reached: The cost that a range test reached in passing; runs that all end above it are of
            no use, however they compare.
    """

    def run(wanted: Sequence[float]) -> Candidates:
        # To two significant figures, so that a table can be read and a trial found again.
        lrs = [_rounded(lr) for lr in wanted]
        changes = {_label(lr): lrs_of(base, lr) for lr in lrs}
        least = max(BRACKET - len(candidates), 0)
        # In the middle of a 1cycle, where the LR is largest, a higher one looks worse than it ends.
        return runs.run(base, changes, least=least, to_the_end=True)

    candidates: Candidates = {}
    # On both sides: far above the best LR the losses lie so close together that they show no way down.
    steps = (1, 2) if runs.runner.side_by_side >= WIDE else (1,)  # what usually follows, at once
    wanted = [lr, *(at for n in steps for at in (lr * FACTOR**n, lr / FACTOR**n))]
    while wanted and len(candidates) < CANDIDATES:
        further = run(wanted)
        if not further:
            return candidates
        candidates |= further
        ranking = rank(candidates, runs.by)
        below, above = neighbours(ranking)
        best = candidates[ranking.best][0]
        learned = runs.by.at_end(best) < min(reached + ranking.noise, runs.by.start(best))
        # Where none has learned, all of them are too high.
        if below is None or not learned:
            wanted = [min(map(float, candidates)) / FACTOR**n for n in steps]
        else:
            wanted = [] if above else [float(ranking.best) * FACTOR**n for n in steps]
    if below and above:
        better = min(below, above, key=lambda lr: ranking.scores[_label(lr)])
        candidates |= run([math.sqrt(float(ranking.best) * better)])
    return candidates


def neighbours(ranking: Ranking) -> tuple[float | None, float | None]:
    """Return the LRs next below and next above the best; None at an edge."""
    lrs, best = sorted(map(float, ranking.order)), float(ranking.best)
    at = lrs.index(best)
    return lrs[at - 1] if at else None, lrs[at + 1] if at + 1 < len(lrs) else None


def decide_lr(
    test: RangeTest | None,
    candidates: Candidates,
    *,
    stage: str = LR_RANGE,
    by: Criterion = LOSS,
) -> list[Decision]:
    """Choose the maximum and minimum LR from a bracket.

    Args:
        test: Which the bracket began at; None where it began at what was decided before.
    """
    ranking = rank_survivors(candidates, by)
    best, (below, above) = float(ranking.best), neighbours(ranking)
    # Short runs favour a high LR, that a long run of another seed may not bear.
    value = below if below and _label(below) in ranking.near else best
    beside, edge = f"; plausible {below or best:g} to {above or best:g}", ""
    if below is None or above is None:
        side = "lowest" if below is None else "highest"
        edge = f"{best:g} is the {side} LR that the budget had room for; raise procedure.budget"
    if test:
        began = _label(_rounded(test.reading.lr_max)) in candidates
        where = ", where the bracket began" if began else ""
        beside += f"; the range test{where}: {test.reading.reason}"
    maximum = decide(
        candidates,
        ranking,
        _label(value),
        stage=stage,
        parameter="lr",
        value=value,
        rule=RULE.format(by),
        tied=f"the lower, {value:g}, is taken",
        beside=beside,
    )
    tests = test.results if test else []
    maximum = replace(
        maximum,
        trials=tuple(result.trial.id for result in tests) + maximum.trials,
        warnings=maximum.warnings + ((edge,) if edge else ()),
        seconds=maximum.seconds + sum(result.seconds for result in tests),
    )
    return lr_decisions(maximum, candidates[_label(value)][0].trial)


def lr_decisions(maximum: Decision, trial: Trial) -> list[Decision]:
    """Return the decision on the maximum LR, and beside it that on the minimum where there is one."""
    if trial.lr_min is None:
        return [maximum]
    minimum = replace(
        maximum,
        parameter="lr_min",
        value=trial.lr_min,
        rule="a tenth of the maximum",
        reason="the report's rule; a third or a quarter also work",
        seconds=0.0,
    )
    return [maximum, minimum]


def lrs_of(base: Trial, lr: float) -> dict[str, float | None]:
    """Return what another maximum LR changes of a trial; a policy may have its own minimum."""
    return {"lr": lr, "lr_min": None if base.lr_min is None else lr_min(lr)}


def _rounded(lr: float) -> float:
    return float(f"{lr:.2g}")


def _label(lr: float) -> str:
    return f"{lr:g}"
