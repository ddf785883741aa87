"""Total batch size: candidates compared at near-constant execution time, each with its own LR.

Or, with `train_longer`, after as many updates: a large batch then costs more, and what is left of the gap
to a small one is not for want of steps.

Sources: Smith 2018, section 4.2 and Remark 4 (time); Hoffer 2017, section 5 (as many updates, square
root of the LR), Goyal 2017 (linear).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.ranking import rank_survivors
from hptune.procedure.compare import PairedRuns, decide, kept
from hptune.procedure.defaults import batch_sizes
from hptune.procedure.lr_range import concluded_with_lr
from hptune.procedure.outcome import Outcome
from hptune.procedure.plan import batch_cost
from hptune.procedure.session.context import Context
from hptune.procedure.session.fit import sizes_that_fit
from hptune.results.records import Decision, Trial
from hptune.stages import BATCH_SIZE
from hptune.training.lengths import iterations_per_epoch, micro_batch
from hptune.trials.paired import Candidates

RULE = "{} at near-constant time; within the noise the faster per epoch"
LONGER = "{} after as many updates; within the noise the fewest epochs"
ALLOWANCE = 1.3  # for caches and allocators, which favour some sizes
FEWEST_ITERATIONS = 10  # a run of fewer steps says nothing of a batch size


def check(context: Context, values: Sequence[int]) -> None:
    """Refuse batch sizes that the data do not fill, or that cannot be cut into parts.

    Raises:
        InputError: One is larger than the training set, or no multiple of its parts.
    """
    for value in values:
        iterations_per_epoch(len(context.task.train), value)
        training = context.experiment.training
        micro_batch(value, training.accumulate, training.devices_per_trial)


def stage(context: Context, values: Sequence[int] | None, seeds: int) -> Outcome:
    """Compare batch sizes at near-constant time; confirm the LR of one that is new."""
    options, base = context.options(BATCH_SIZE), context.short(BATCH_SIZE)
    examples = len(context.task.train)
    given = values or options.values or ()
    check(context, given)
    sizes = given or batch_sizes(base.batch_size, examples)
    runs, longer = context.paired(seeds), options.train_longer
    cost = batch_cost(sizes, base.batch_size) if longer else 1.0
    if not runs.worth(base, len(sizes), cost=cost):
        return kept(runs, base, ("batch_size",), len(sizes), cost=cost)
    sizes = sizes_that_fit(context, sizes) or [base.batch_size]
    how: dict[str, Any] = {"scaling": options.lr_scaling, "longer": longer}
    candidates = run_batch_size(runs, base, values=sizes, **how)
    decisions = decide_batch_size(
        candidates, base=base, examples=examples, epochs=context.epochs, by=runs.by, longer=longer
    )
    return concluded_with_lr(runs, base, candidates, decisions, columns=("batch_size", "lr"))


def scaled_lr(lr: float, ratio: float, scaling: str) -> float:
    """Return the LR for a batch `ratio` times as large, by scaling "sqrt" or "linear".

    To two significant figures.
    """
    return float(f"{lr * (math.sqrt(ratio) if scaling == 'sqrt' else ratio):.2g}")


def plausible_gain(measured: float, ratio: float) -> float:
    """Return the measured gain in examples per second of a batch `ratio` times as large, bounded.

    An iteration of a larger batch takes no less time than one of a smaller, and not much
    more than in proportion; a busy machine measures anything.
    """
    low, high = sorted((ratio, 1.0))
    return min(max(measured, low / ALLOWANCE), high * ALLOWANCE)


def run_batch_size(
    runs: PairedRuns, base: Trial, *, values: Sequence[int], scaling: str, longer: bool = False
) -> Candidates:
    """Run each batch size for as long as `base` takes at its own, by measured speed.

    Or for as many iterations.

    Args:
        runs: Runs the candidates; its runner measures the speeds.
        base: A short run with the decided LR, momentum and weight decay.
        scaling: How LR follows the batch size, "sqrt" or "linear".
        longer: Whether all make as many updates.
    """
    # The present size first: it has been run, and must not be what the budget leaves out.
    values = sorted(values, key=lambda value: abs(math.log(value / base.batch_size)))
    as_long = (
        dict.fromkeys(values, base.iterations) if longer else _at_equal_time(runs, base, values)
    )
    changes: dict[str, dict[str, Any]] = {}
    for value, iterations in as_long.items():
        if not longer and iterations < FEWEST_ITERATIONS and value != base.batch_size:
            runs.runner.progress.message(
                f"batch size {value}: left out, {iterations} iterations fit into the time"
            )
            continue
        lr = scaled_lr(base.lr, value / base.batch_size, scaling)
        changes[str(value)] = {
            "batch_size": value,
            "iterations": max(iterations, 1),
            "lr": lr,
            "lr_min": None if base.lr_min is None else float(f"{base.lr_min * lr / base.lr:.4g}"),
        }
    return runs.repeat(runs.run(base, changes, least=1))


def _at_equal_time(runs: PairedRuns, base: Trial, values: Sequence[int]) -> dict[int, int]:
    """Return the iterations that each batch size makes while `base` runs, by measured speed."""
    speed = {
        value: runs.runner.examples_per_second(base.change(batch_size=value))
        for value in sorted({*values, base.batch_size})
    }
    examples = base.iterations * base.batch_size
    found = {}
    for value in values:
        known = speed[value] and speed[base.batch_size]  # else a trial fails, and is recorded so
        ratio = value / base.batch_size
        gain = plausible_gain(speed[value] / speed[base.batch_size], ratio) if known else 1.0
        found[value] = round(examples * gain / value)
    return found


def decide_batch_size(
    candidates: Candidates,
    *,
    base: Trial,
    examples: int,
    epochs: float,
    by: Criterion = LOSS,
    longer: bool = False,
) -> list[Decision]:
    """Choose the batch size, with the LR and the epochs that belong to it.

    Args:
        base: The trial that the candidates were made from.
        epochs: Length of the final run at the base batch size.
        longer: Whether all have made as many updates: then the larger ones have cost more.
    """
    ranking = rank_survivors(candidates, by)
    passes = {label: _epochs(candidates[label][0].trial, examples) for label in ranking.near}
    chosen = (min if longer else max)(ranking.near, key=lambda label: passes[label])
    trial = candidates[chosen][0].trial
    decision = decide(
        candidates,
        ranking,
        chosen,
        stage=BATCH_SIZE,
        parameter="batch_size",
        value=trial.batch_size,
        rule=(LONGER if longer else RULE).format(by),
        tied=f"{chosen}, which passes over the data {'least often' if longer else 'fastest'}, is taken",
        beside=_accuracies(candidates),
    )
    if trial.batch_size == base.batch_size:
        return [decision]
    why = f"goes with batch size {trial.batch_size} in the place of {base.batch_size}"
    lr = replace(
        decision,
        parameter="lr",
        value=trial.lr,
        rule="LR scaled with the batch size",
        reason=why,
        seconds=0.0,
    )
    minimum = replace(lr, parameter="lr_min", value=trial.lr_min)
    same_time = epochs * _epochs(trial, examples) / _epochs(base, examples)
    length = replace(
        lr,
        parameter="epochs",
        value=max(1, round(same_time)),
        rule="as many updates" if longer else "near-constant execution time",
        reason=f"{why}, which ran {epochs:g} epochs "
        + ("for as many updates" if longer else "in the same time"),
    )
    return [decision, lr, *([] if trial.lr_min is None else [minimum]), length]


def _epochs(trial: Trial, examples: int) -> float:
    return trial.iterations / iterations_per_epoch(examples, trial.batch_size)


def _accuracies(candidates: Candidates) -> str:
    """Say the accuracies too: the report found the larger batch better there, the smaller in loss."""
    shown = []
    for label, results in candidates.items():
        values = [r.val_metrics.get("accuracy") for r in results]
        known = [value for value in values if value is not None]
        if known:
            shown.append(f"{label}: {sum(known) / len(known):.2%}")
    return f"; accuracy {', '.join(shown)}" if shown else ""
