"""Refinement: what is left of the budget goes to trials that a model of all trials proposes.

The model is fed with every finished trial of the same problem, whatever its stage and length. What
was decided before gives way only to what the model says is clearly better at full length.

Sources: Snoek, Larochelle and Adams 2012 (the model); Thompson 1933 (the proposals).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.proposals import Region, propose
from hptune.analysis.ranking import candidate
from hptune.analysis.response_surface import FEWEST, ResponseSurface, Setting
from hptune.procedure.defaults import batch_sizes
from hptune.procedure.lr_range import FACTOR as LR_STEP
from hptune.procedure.outcome import Outcome
from hptune.procedure.plan import PROPOSALS, ROUNDING, SHORT
from hptune.procedure.session.context import Context
from hptune.procedure.session.fit import sizes_that_fit
from hptune.procedure.trial_settings import COLUMNS, Trials
from hptune.results.evidence import Comparison, Evidence, Model
from hptune.results.records import Decision, Trial, TrialResult
from hptune.stages import REFINE
from hptune.trials.run import Runner

# Around what was decided: LR as far as a range test can be wrong, momentum from hardly any to the
# largest in use, weight decay over the report's grid and one magnitude more.
LR_FACTOR, DECAY_FACTOR = 30.0, 100.0
MOMENTUM = (0.1, 0.99)
LEAST_DECAY = 1e-5  # the report's smallest magnitude, where none was decided
SHORT_SHARE = 2 / 3  # of what is left goes to short runs, the rest to whole ones
MOST_SHORT = 40  # short runs, by when they have shown what they can
# In how many the short runs are proposed at least, however many go side by side: each round knows what
# those before it found.
ROUNDS = 4
MOST = 200  # trials: the model's cost grows with their cube
RIVALS = 3  # that the record tells the probability of
CLEARLY = 0.8  # probability with which a challenger has to be better
RULE = "{} expected at full length, where it is better with a probability of {:g} at least"


def stage(context: Context, values: None, seeds: int) -> Outcome:
    """Spend what is left of the budget around what was decided.

    Args:
        context: The problem; the trials that it has searched feed the model.
        values: The model proposes them.
        seeds: A proposal is run once; one that comes again takes the next seed.
    """
    by, size, examples = context.criterion, context.batch_size(), len(context.task.train)
    base, sizes = context.whole(REFINE), [size]
    # A time was planned with the speed of one size: half of it may take twice as long.
    if "batch_size" not in base.fixed and not context.is_timed:
        sizes = sizes_that_fit(context, batch_sizes(size, examples))
    trials = Trials(base, examples, lr_grows_with_momentum=not context.is_adaptive)
    region = region_around(base, sizes, has_momentum=context.check().has_momentum)
    short = context.plan(size).proposal
    results = run_refine(context.runner, trials, region, known=context.searched, by=by, short=short)
    return decide_refine(trials, region, [*context.searched, *results], by)


def region_around(base: Trial, sizes: Sequence[int], *, has_momentum: bool = True) -> Region:
    """Return where refinement looks.

    Args:
        base: With what was decided.
        sizes: Batch sizes that fit.
        has_momentum: Whether there is momentum to choose.
    """
    low, high = MOMENTUM if has_momentum else (base.momentum, base.momentum)
    decay = base.weight_decay or LEAST_DECAY
    lowest = min(decay / DECAY_FACTOR, LEAST_DECAY) if base.weight_decay else LEAST_DECAY
    decays = (lowest, decay * DECAY_FACTOR)
    if "weight_decay" in base.fixed:
        decays = (decay, decay)
    return Region(
        lr=(base.lr / LR_FACTOR, base.lr * LR_FACTOR),
        momentum=(min(low, base.momentum), max(high, base.momentum)),
        weight_decay=decays,
        batch_sizes=tuple(sorted(sizes)),
    )


def run_refine(
    runner: Runner,
    trials: Trials,
    region: Region,
    *,
    known: Sequence[TrialResult] = (),
    by: Criterion = LOSS,
    short: float = SHORT,
) -> list[TrialResult]:
    """Run proposals at a part of the full length, then the best and what was decided at full length.

    One after another, or several at once where the runner has room for them beside each other.

    Args:
        runner: Runs the trials; what its budget has left is spent, where it is enough for `PROPOSALS`.
        trials: Of the problem.
        region: Where to look.
        known: Results of the stages before.
        by: What is better.
        short: Length of a short run over that of a whole one.
    """
    budget, results, first = runner.budget, list[TrialResult](), _first(trials, region, short)
    left = budget.allowed - budget.spent
    if left * (1 + ROUNDING) < PROPOSALS * short * trials.epochs:
        return []
    reserve = max((1 - SHORT_SHARE) * left, 2 * trials.epochs)  # what was decided, and its rival
    # Where whole runs would take more than half, none is made: the model reads those of a third.
    turn = budget.allowed - (reserve if 2 * reserve <= left else 0.0)
    share = (turn - budget.spent) / (short * trials.epochs) / ROUNDS
    at_once = max(round(min(runner.side_by_side, MOST_SHORT / ROUNDS, share)), 1)
    while len(results) < MOST:
        seen = trials.usable([*known, *results])
        if first and (not results or not trials.modelled(seen, by)):
            # Beside each other as many as a model lacks.
            count = min(runner.side_by_side, max(FEWEST - len(seen), 1))
            wanted, first = first[:count], first[count:]
        elif not trials.modelled(seen, by):  # nothing that was tried ends
            return results
        else:
            surface = trials.surface(seen, by)
            best = surface.best()
            fits = budget.spent + short * trials.epochs <= turn * (1 + 1e-9)
            whole = turn < budget.allowed and (not fits or len(results) >= MOST_SHORT)
            length, end, most = short, turn, at_once
            if whole:  # at once: the model knows by now what short runs tell
                length, end, most = 1.0, budget.allowed, runner.side_by_side
            affordable = (end - budget.spent) / (length * trials.epochs) + 1e-9
            count = max(int(min(affordable, most)), 1)
            rivals = {trial.digest: trial for trial in (trials.base, trials.trial(best))}
            wanted = [t for t in rivals.values() if whole and not trials.ran_whole(t, seen)][:count]
            for k in range(len(wanted), count):
                proposed = propose(surface, region, near=best, seed=len(seen) + k)
                wanted.append(trials.trial(proposed, length))
        unseen = list[Trial]()
        for trial in wanted:
            unseen.append(_unseen(trial, [*(r.trial for r in (*seen, *results)), *unseen]))
        while unseen and not runner.affords(unseen):
            unseen.pop()
        if not unseen:
            return results
        results += runner.run(unseen)
    return results


def decide_refine(
    trials: Trials, region: Region, results: Sequence[TrialResult], by: Criterion = LOSS
) -> Outcome:
    """Take the setting that is expected to end best where it is clearly better than what was decided.

    Args:
        trials: Of the problem.
        region: Where the best is looked for.
        results: Of all stages.
        by: What is better.
    """
    usable = trials.usable(results)
    own = [r for r in usable if r.trial.stage == REFINE]
    finished = [r for r in usable if trials.whole(r.trial) and math.isfinite(by.at_end(r))]
    base, chosen, told = trials.base, trials.base, "too few trials for a model"
    surface = trials.surface(usable, by) if trials.modelled(usable, by) else None
    # What has run at full length goes before what the model alone recommends.
    others = _others(trials, finished) or _others(trials, usable)
    if surface and others:
        rival = trials.trial(surface.best(others))
        better = surface.probability(trials.setting(rival), trials.setting(base))
        told = (
            f"the best rival, {_label(rival, base)}, is better than what was decided with a "
            f"probability of {better:.2f}"
        )
        if better >= CLEARLY and own:  # what has run nothing changes nothing
            chosen = rival
        else:
            told += ", so what was decided before is kept"
    values: dict[str, Any] = {
        "lr": chosen.lr,
        "lr_min": chosen.lr_min,
        "momentum": chosen.momentum,
        "momentum_min": chosen.momentum_min or chosen.momentum,
        "weight_decay": chosen.weight_decay,
        "batch_size": chosen.batch_size,
    }
    decisions = [
        Decision(
            stage=REFINE,
            parameter=name,
            value=value,
            rule=RULE.format(by, CLEARLY),
            reason=f"{told}; modelled on {len(usable)} trials" if name == "lr" else "with the LR",
            trials=tuple(r.trial.id for r in own),
            seconds=sum(r.seconds for r in own) if name == "lr" else 0.0,
        )
        for name, value in values.items()
        if value is not None and (own or name == "lr") and not _is_fixed(name, chosen)
    ]
    # Side by side as far as they are of one length: whole runs, else those of a third.
    compared = finished or [r for r in own if math.isfinite(by.at_end(r))]
    ran = bool(own and compared)  # else there is no decision that rests on them
    record: list[Evidence] = [_record(decisions[0], compared, chosen, base, by)] if ran else []
    if surface:
        record.append(_model(surface, trials, region, usable, chosen, by))
    return Outcome(decisions, own, record)


def _is_fixed(name: str, trial: Trial) -> bool:
    """Say whether a loop of the user's own sets a value itself."""
    return name.removesuffix("_min") in trial.fixed


def modelled_again(
    context: Context, chosen: Trial, results: Sequence[TrialResult]
) -> list[Evidence]:
    """Return what the model says with the final runs, in the place of what it said before them.

    Args:
        context: The problem; where refinement is none of its stages, there is no model.
        chosen: A run with what was decided in the end.
        results: Of all stages, the final one too.
    """
    adaptive, by = context.is_adaptive, context.criterion
    trials = Trials(chosen, len(context.task.train), lr_grows_with_momentum=not adaptive)
    usable = trials.usable(results)
    if not context.refines or not trials.modelled(usable, by):
        return []
    region = region_around(chosen, sorted({r.trial.batch_size for r in usable}))
    return [_model(trials.surface(usable, by), trials, region, usable, chosen, by)]


def _others(trials: Trials, results: Sequence[TrialResult]) -> list[Setting]:
    """Return the settings of some trials as whole runs, but for what was decided before."""
    settings = (replace(trials.setting(r.trial), length=1.0) for r in results)
    return [s for s in dict.fromkeys(settings) if s != trials.setting(trials.base)]


def _model(
    surface: ResponseSurface,
    trials: Trials,
    region: Region,
    usable: Sequence[TrialResult],
    chosen: Trial,
    by: Criterion,
) -> Model:
    """Return what the model says of the values decided, as a record."""
    at = replace(trials.setting(chosen), length=1.0)
    others = dict.fromkeys(replace(s, length=1.0) for s in surface.settings)
    rivals = {s: surface.probability(at, s) for s in others if s != at}
    nearest = sorted(rivals, key=rivals.__getitem__)[:RIVALS]
    # Between what was tried: beyond, and along what was never varied, the model cannot say. Where the LR
    # that was decided is an end of what was tried, the best may lie a step of a bracket beyond it.
    grids = {}
    for axis in COLUMNS:
        tried = [getattr(r.trial, axis) for r in usable]
        low, high = min(tried) * 0.999, max(tried) * 1.001
        if axis == "lr" and chosen.lr <= min(tried):
            low /= LR_STEP
        if axis == "lr" and chosen.lr >= max(tried):
            high *= LR_STEP
        grid = [value for value in region.values(axis) if low <= value <= high]
        if len(grid) > 1:
            grids[axis] = grid
    lines = {axis: surface.line(axis, at, grid) for axis, grid in grids.items()}
    sign = -1 if by.higher_is_better else 1
    return Model(
        stage=REFINE,
        trials=tuple(r.trial.id for r in usable),
        by=by.name,
        values={axis: getattr(chosen, axis) for axis in COLUMNS},
        intervals={axis: list(surface.interval(axis, at, grid)) for axis, grid in grids.items()},
        lines={
            axis: {
                "values": line.values.tolist(),
                "mean": (sign * line.mean).tolist(),
                "low": (sign * line.low).tolist(),
                "high": (sign * line.high).tolist(),
            }
            for axis, line in lines.items()
        },
        rivals={_label(trials.trial(s), chosen): rivals[s] for s in nearest},
    )


def _first(trials: Trials, region: Region, short: float) -> list[Trial]:
    """Return the trials before there are enough for a model: the LR by 3, and a smaller momentum."""
    own = trials.setting(trials.base)
    damping = min(3 * (1 - own.momentum), 0.9)
    kept = own.lr * damping / (1 - own.momentum)  # LR / (1 - momentum) stays
    settings = [
        own,
        replace(own, lr=own.lr * 3),
        replace(own, lr=own.lr / 3),
    ]
    if region.momentum[0] < region.momentum[1]:
        settings.append(replace(own, lr=kept, momentum=1 - damping))
    return [trials.trial(setting, short) for setting in settings]


def _unseen(trial: Trial, seen: Sequence[Trial]) -> Trial:
    """Return a trial with the next seed where it is among others."""
    done = {other.digest for other in seen}
    while trial.digest in done:
        trial = trial.change(seed=trial.seed + 1)
    return trial


def _record(
    decision: Decision, finished: Sequence[TrialResult], chosen: Trial, base: Trial, by: Criterion
) -> Comparison:
    """Return the runs of full length, side by side; a setting with its seeds is a candidate."""
    groups: dict[str, list[TrialResult]] = {}
    for result in finished:
        groups.setdefault(_label(result.trial, base), []).append(result)
    costs = {k: sum(map(by.at_end, rs)) / len(rs) for k, rs in groups.items()}
    best = min(costs, key=costs.__getitem__)
    candidates = tuple(
        candidate(k, rs, by, COLUMNS, score=costs[k], best=costs[best], tied=k == best)
        for k, rs in groups.items()
    )
    return Comparison(
        stage=REFINE,
        parameter="lr",
        by=by.name,
        higher_is_better=by.higher_is_better,
        candidates=candidates,
        best=best,
        chosen=label if (label := _label(chosen, base)) in groups else None,
        rule=decision.rule,
        noise=None,
        epochs=sum(r.epochs for r in finished if r.trial.stage == REFINE),
    )


def _label(trial: Trial, base: Trial) -> str:
    """Return in what a setting differs from another, but for what only a loop of the user's own knows."""
    names = [name for name in COLUMNS if name not in trial.fixed]
    apart = [name for name in names if getattr(trial, name) != getattr(base, name)]
    return ", ".join(f"{name} {getattr(trial, name):g}" for name in apart) or "as before"
