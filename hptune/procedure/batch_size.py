"""Total batch size: candidates compared at near-constant execution time, each with its own LR.

Source: Smith 2018, section 4.2 and Remark 4; LR scaling: Hoffer 2017 (square root), Goyal 2017 (linear).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.ranking import rank_survivors
from hptune.procedure.compare import PairedRuns, decide, kept
from hptune.procedure.lr_range import concluded_with_lr
from hptune.procedure.outcome import Outcome
from hptune.procedure.session.context import Context
from hptune.procedure.session.fit import sizes_that_fit
from hptune.results.records import Decision, Trial
from hptune.stages import BATCH_SIZE
from hptune.training.lengths import iterations_per_epoch, micro_batch
from hptune.trials.paired import Candidates

RULE = "{} at near-constant time; within the noise the faster per epoch"
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
    sizes = given or default_values(base.batch_size, examples)
    runs = context.paired(seeds)
    if not runs.worth(base, len(sizes)):
        return kept(runs, base, ("batch_size",), len(sizes))
    sizes = sizes_that_fit(context, sizes) or [base.batch_size]
    candidates = run_batch_size(runs, base, values=sizes, scaling=options.lr_scaling)
    decisions = decide_batch_size(
        candidates, base=base, examples=examples, epochs=context.epochs, by=runs.by
    )
    return concluded_with_lr(runs, base, candidates, decisions, columns=("batch_size", "lr"))


def default_values(batch_size: int, examples: int) -> list[int]:
    """Return half, once, twice and four times the batch size, as far as the data allow."""
    values = [batch_size // 2, batch_size, batch_size * 2, batch_size * 4]
    return [value for value in values if 1 <= value <= examples // 4 or value == batch_size]


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
    runs: PairedRuns, base: Trial, *, values: Sequence[int], scaling: str
) -> Candidates:
    """Run each batch size for as long as `base` takes at its own, by measured speed.

    Args:
        runs: Runs the candidates; its runner measures the speeds.
        base: A short run with the decided LR, momentum and weight decay.
        scaling: How LR follows the batch size, "sqrt" or "linear".
    """
    # The present size first: it has been run, and must not be what the budget leaves out.
    values = sorted(values, key=lambda value: abs(math.log(value / base.batch_size)))
    speed = {
        value: runs.runner.examples_per_second(base.change(batch_size=value))
        for value in sorted({*values, base.batch_size})
    }
    examples = base.iterations * base.batch_size
    changes: dict[str, dict[str, Any]] = {}
    for value in values:
        ratio = value / base.batch_size
        known = speed[value] and speed[base.batch_size]  # else a trial fails, and is recorded so
        gain = plausible_gain(speed[value] / speed[base.batch_size], ratio) if known else 1.0
        iterations = round(examples * gain / value)
        if iterations < FEWEST_ITERATIONS and value != base.batch_size:
            runs.runner.progress.message(
                f"batch size {value}: left out, {iterations} iterations fit into the time"
            )
            continue
        lr = scaled_lr(base.lr, ratio, scaling)
        changes[str(value)] = {
            "batch_size": value,
            "iterations": max(iterations, 1),
            "lr": lr,
            "lr_min": None if base.lr_min is None else float(f"{base.lr_min * lr / base.lr:.4g}"),
        }
    return runs.repeat(runs.run(base, changes, least=1))


def decide_batch_size(
    candidates: Candidates, *, base: Trial, examples: int, epochs: float, by: Criterion = LOSS
) -> list[Decision]:
    """Choose the batch size, with the LR and the epochs that belong to it.

    Args:
        base: The trial that the candidates were made from.
        epochs: Length of the final run at the base batch size.
    """
    ranking = rank_survivors(candidates, by)
    chosen = max(ranking.near, key=lambda label: _epochs(candidates[label][0].trial, examples))
    trial = candidates[chosen][0].trial
    decision = decide(
        candidates,
        ranking,
        chosen,
        stage=BATCH_SIZE,
        parameter="batch_size",
        value=trial.batch_size,
        rule=RULE.format(by),
        tied=f"{chosen}, which passes over the data fastest, is taken",
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
        rule="near-constant execution time",
        reason=f"{why}, which ran {epochs:g} epochs in the same time",
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
