"""The final run: 1cycle with the decided values over several seeds, and the test set once.

Source: Smith 2018, section 5; the verdict: Remarks 1 and 2.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.fitting import TrainingReading, read_training
from hptune.errors import StageError
from hptune.procedure.context import Context, Outcome
from hptune.results.evidence import FinalRun
from hptune.results.records import Decision, Status, Trial, TrialResult
from hptune.results.tables import result_row
from hptune.stages import FINAL, TRAIN
from hptune.step import target_of
from hptune.task import Task
from hptune.training.evaluation import EVALUATION_BATCH
from hptune.trials.run import Runner

BROKEN = 0.1  # of the fall that the search's best run saw
HALVINGS = 2  # of the LR, before a diverged seed is left as it is


def stage(context: Context, values: None, seeds: int) -> Outcome:
    """Train with the decided values over several seeds, and read the test set of those that count.

    Args:
        context: With what the search has run.
        values: A final run has none to compare.
        seeds: Repeats.
    """
    spent = context.runner.budget.spent
    results, lowered = run_final_safely(
        context.runner,
        _whole(context, FINAL),
        seeds=seeds,
        search=context.searched,
        by=context.criterion,
    )
    counted = context.runner.read_test(results[-seeds:])
    outcome = Outcome(lowered, results[:-seeds]) + _summed_up(context, counted)
    if spent:
        times = spent / context.planned_epochs
        told = f"the search cost {spent:.3g} epochs, {times:.2f} times the final run's"
        first = outcome.decisions[len(lowered)]
        outcome.decisions[len(lowered)] = replace(first, reason=f"{first.reason}; {told}")
    return outcome + _beside(context, counted)


def train(context: Context, seeds: int) -> Outcome:
    """Train by hand, with the values that the user may have given, and read the test set."""
    base = _whole(context, TRAIN)
    results = run_final(context.runner, base, seeds=seeds, stage=TRAIN)
    results = context.runner.read_test(results)
    return _summed_up(context, results) + _beside(context, results)


def _whole(context: Context, stage: str) -> Trial:
    batch_size = context.batch_size()
    return context.base(stage, context.lengths(batch_size).final, batch_size=batch_size)


def _summed_up(context: Context, results: list[TrialResult]) -> Outcome:
    decision = decide_final(results, guessing(context.task))
    return Outcome([decision], results, [record_of(results, decision.parameter)])


def _beside(context: Context, final: Sequence[TrialResult]) -> Outcome:
    """Train the comparison that the config asks for, if any."""
    from hptune.procedure.baseline import decide_baseline, run_baseline

    options, runner = context.options(FINAL), context.runner
    if options.baseline is None:
        return Outcome()
    results = run_baseline(
        runner,
        final[0].trial,
        policy=options.baseline,
        epochs=options.baseline_length,
        seeds=len(final),
    )
    results = runner.read_test(results)
    by = context.criterion_of(next(iter(context.task.metrics), LOSS.name))
    decision = decide_baseline(final, results, by)
    column = decision.parameter.removeprefix("baseline_")
    return Outcome([decision], results, [record_of(results, column, baseline=True)])


def run_final(runner: Runner, base: Trial, *, seeds: int, stage: str = FINAL) -> list[TrialResult]:
    """Train with the decided values, once a seed.

    Args:
        runner: Runs the trials.
        base: The full-length run.
        seeds: Repeats; the first has the base's seed.
        stage: FINAL in the procedure, TRAIN by hand.
    """
    return runner.run([base.change(stage=stage, seed=base.seed + k) for k in range(seeds)])


def run_final_safely(
    runner: Runner,
    base: Trial,
    *,
    seeds: int,
    search: Sequence[TrialResult] = (),
    by: Criterion = LOSS,
) -> tuple[list[TrialResult], list[Decision]]:
    """Run the final runs; where a seed breaks, run all of them again with half the LR.

    The search looks at short runs of few seeds, so the LR it finds may be too large for a long
    run of another seed. A seed has broken that diverges, or that ends clearly worse on the
    validation set than the search's short runs did, and no better on the training set: it was
    thrown out and did not come back. One that fits the training set better has overfitted.

    Args:
        runner: Runs the trials.
        base: The full-length run.
        seeds: Repeats; the first has the base's seed.
        search: What the search ran.
        by: What is better.

    Returns:
        All results, the last `seeds` of them those that count; and the decisions on the LR
        where it had to be lowered.
    """
    results: list[TrialResult] = []
    trial = base
    for attempt in range(HALVINGS + 1):
        last = run_final(runner, trial, seeds=seeds)
        results += last
        broken = sum(_has_broken(result, search, by) for result in last)
        if not broken or attempt == HALVINGS:
            break
        runner.progress.message(
            f"{broken} of {seeds} seeds diverged or ended worse than the search's short runs at "
            f"LR {trial.lr:g}; again with half of it"
        )
        trial = trial.change(
            lr=trial.lr / 2, lr_min=None if trial.lr_min is None else trial.lr_min / 2
        )
    if trial is base:
        return results, []
    shared: dict[str, Any] = {
        "stage": FINAL,
        "rule": "halved until every seed completes, and not worse than the short runs",
        "trials": tuple(result.trial.id for result in results),
    }
    reason = f"seeds broke at {base.lr:g}"
    decisions = [Decision(parameter="lr", value=trial.lr, reason=reason, **shared)]
    if trial.lr_min is not None:
        decisions.append(Decision(parameter="lr_min", value=trial.lr_min, reason=reason, **shared))
    return results, decisions


def _has_broken(result: TrialResult, search: Sequence[TrialResult], by: Criterion) -> bool:
    """Say whether a final run diverged, or was thrown out and did not come back."""
    if result.status is not Status.COMPLETE:
        return result.status is Status.DIVERGED
    fits = [
        r.train_loss for r in search if r.status is Status.COMPLETE and r.train_loss is not None
    ]
    overfits = result.train_loss is not None and result.train_loss < min(fits, default=-math.inf)
    return by.at_end(result) > _worst_to_expect(search, by) and not overfits


def _worst_to_expect(search: Sequence[TrialResult], by: Criterion) -> float:
    """Return the cost above which a final run has broken: the best short run's, and a margin."""
    done = [r for r in search if r.status is Status.COMPLETE and math.isfinite(by.at_end(r))]
    if not done:
        return math.inf
    best = min(done, key=by.at_end)
    return by.at_end(best) + BROKEN * max(by.start(best) - by.at_end(best), 0.0)


def guessing(task: Task) -> float | None:
    """Return the accuracy on the validation set that always answering one class can reach.

    Within its standard error; None where the task has no classes.
    """
    if task.classes is None:
        return None
    counts = torch.zeros(task.classes, dtype=torch.int64)
    for batch in task.validation.batches(EVALUATION_BATCH):
        targets = target_of(batch)
        if (
            not isinstance(targets, torch.Tensor)
            or targets.ndim != 1
            or targets.is_floating_point()
        ):
            return None
        counts += torch.bincount(targets[targets >= 0].cpu(), minlength=task.classes)
    examples = int(counts.sum())
    if not examples:
        return None
    share = int(counts.max()) / examples
    return share + math.sqrt(share * (1 - share) / examples)


def decide_final(results: Sequence[TrialResult], guess: float | None = None) -> Decision:
    """Sum up the final run: mean and standard deviation over the seeds, and whether it fits.

    Args:
        results: One a seed.
        guess: The accuracy on the validation set that takes no learning.

    Raises:
        StageError: No seed ended with a value.
    """
    done = [result for result in results if result.status is Status.COMPLETE]
    stage = results[0].trial.stage
    if not done:
        raise StageError(f"{stage}: no seed completed: {results[0].message}; lower the LR")
    name, values = _headline(done)
    reading, _ = _most_common([read_training(result.curve) for result in done])
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    lost = len(results) - len(done)
    warnings = [f"{lost} of {len(results)} seeds did not complete"] if lost else []
    accuracies = [r.val_metrics.get("accuracy") for r in done]
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    if guess is not None and known and statistics.mean(known) <= guess:
        warnings.append(
            f"validation accuracy {statistics.mean(known):.3g} is no better than always answering "
            "the most frequent class; check the labels, the inputs' scale and the model"
        )
    return Decision(
        stage=stage,
        parameter=name,
        value=statistics.mean(values),
        rule=f"mean over {len(values)} seed{'s' * (len(values) > 1)}, read once at the end",
        reason=f"{statistics.mean(values):.4f}{spread}; {reading.verdict}: "
        + "; ".join(reading.reasons),
        trials=tuple(result.trial.id for result in results),
        warnings=(*warnings, *(reading.advice if reading.verdict != "balanced" else ())),
        seconds=sum(result.seconds for result in results),
    )


def record_of(results: Sequence[TrialResult], column: str, *, baseline: bool = False) -> FinalRun:
    """Return what final runs reached and how they fit, as a record.

    Args:
        results: One a seed.
        column: The headline's column of results.csv.
        baseline: Whether these are a comparison's runs.
    """
    done = [result for result in results if result.status is Status.COMPLETE]
    reading, agreement = _most_common([read_training(result.curve) for result in done])
    rows = [result_row(result) for result in results]
    scores = [row.get(column) if row["status"] == Status.COMPLETE else None for row in rows]
    return FinalRun(
        stage=results[0].trial.stage,
        trials=tuple(result.trial.id for result in results),
        column=column,
        scores=tuple(float(score) if isinstance(score, int | float) else None for score in scores),
        verdict=reading.verdict,
        agreement=agreement,
        reasons=reading.reasons,
        advice=reading.advice,
        baseline=baseline,
    )


def _most_common(readings: Sequence[TrainingReading]) -> tuple[TrainingReading, str]:
    """Return the first reading with the most common verdict, and how many of the seeds agree."""
    counts = Counter(reading.verdict for reading in readings)
    verdict, most = counts.most_common(1)[0]
    others = ", ".join(f"{n} {other}" for other, n in counts.items() if other != verdict)
    agreement = f"{most} of {len(readings)} seeds" + (f"; {others}" if others else "")
    first = next(reading for reading in readings if reading.verdict == verdict)
    return first, agreement if len(readings) > 1 else ""


def _headline(results: Sequence[TrialResult]) -> tuple[str, list[float]]:
    """Return the first metric of the test set, else of the validation set, else the loss."""
    for prefix, metrics in (
        ("test", [r.test_metrics for r in results]),
        ("val", [r.val_metrics for r in results]),
    ):
        for name in metrics[0]:
            values = [m[name] for m in metrics]
            known = [value for value in values if value is not None]
            if len(known) == len(values):
                return f"{prefix}_{name}", known
    losses = [r.test_loss if r.test_loss is not None else r.val_loss for r in results]
    return "test_loss" if results[0].test_loss is not None else "val_loss", [
        loss for loss in losses if loss is not None
    ]
