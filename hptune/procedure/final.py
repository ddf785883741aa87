"""The final run: 1cycle with the decided values over several seeds, and the test set once.

Source: Smith 2018, section 5; the verdict: Remarks 1 and 2.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.fitting import read_training
from hptune.analysis.ranking import rank
from hptune.errors import StageError
from hptune.procedure.advice import advise
from hptune.procedure.compare import concluded
from hptune.procedure.duel import decide_duel, run_duel
from hptune.procedure.outcome import Outcome
from hptune.procedure.refine import modelled_again
from hptune.procedure.session.context import Context
from hptune.results.evidence import FinalRun
from hptune.results.records import Decision, Status, Trial, TrialResult
from hptune.results.tables import result_row
from hptune.stages import FINAL, TRAIN
from hptune.step import target_of
from hptune.task import Task
from hptune.training.averaging import first_averaged
from hptune.training.evaluation import EVALUATION_BATCH
from hptune.trials.run import Runner

BROKEN = 0.1  # of the fall that the search's best run saw
FEWEST = 2  # seeds that are worth a second attempt where there is not the time for all
HALVINGS = 2  # of the LR, before a diverged seed is left as it is


def stage(context: Context, values: None, seeds: int) -> Outcome:
    """Train with the decided values over several seeds, and read the test set of those that count."""
    spent, base, runs = context.budget.spent, context.whole(FINAL), context.paired(seeds)
    before = Outcome()
    # The other seeds at once with the duel, where there is room: mostly the decided LR wins it.
    ahead = range(1, seeds if runs.runner.side_by_side > 2 else 1)
    others = [base.change(seed=base.seed + k) for k in ahead]
    duel = run_duel(runs, base, others)
    if duel and not rank(duel, runs.by).failed:  # else the final runs go on with lower LRs
        before = concluded(duel, decide_duel(duel, runs.by), runs.by, columns=("lr",))
        lr = before.decisions[0].value
        base = next(r.trial for r in before.results if r.trial.lr == lr)
        ran = [r for other in others if (r := runs.runner.run_dir.result(other))]
        before.results = [r for r in (*before.results, *ran) if r.trial.lr != lr]
        spent += sum(rival.epochs for rival in before.results)
    results, lowered = run_final_safely(
        runs.runner,
        base,
        seeds=max(context.seeds_in_time(seeds, int(bool(duel))), 1),
        search=[r for r in context.searched if r.trial.optimizer == base.optimizer],
        again=lambda: context.seeds_in_time(seeds, 0),
    )
    counted = [r for r in results if r.trial.lr == results[-1].trial.lr]
    known = [*context.searched, *before.results, *results]
    outcome = _read(context, counted)
    outcome.evidence += modelled_again(context, counted[0].trial, known)
    if spent:
        times = spent / context.planned_epochs
        told = f"the search cost {spent:.3g} epochs, {times:.2f} times the final run's"
        first = outcome.decisions[0]
        outcome.decisions[0] = replace(first, reason=f"{first.reason}; {told}")
    return before + Outcome(lowered, results[: -len(counted)]) + outcome


def train(context: Context, seeds: int) -> Outcome:
    """Train by hand, with the values that the user may have given, and read the test set."""
    return _read(context, run_final(context.runner, context.whole(TRAIN), seeds=seeds))


def _read(context: Context, results: Sequence[TrialResult]) -> Outcome:
    """Read the test set and sum up; train the comparison that the config asks for, if any."""
    from hptune.procedure.baseline import decide_baseline, run_baseline

    options, runner = context.options(FINAL), context.runner
    measures = [context.criterion_of(name) for name in context.task.metrics]
    results = runner.read_test(results, lowest=lambda result: rose(result, measures))
    record = record_of(results)
    record = replace(record, advice=advise(context, record))
    decision = decide_final(results, guessing(context.task), advice=record.advice)
    outcome = Outcome([decision], results, [record])
    if options.baseline is None:
        return outcome
    trial = results[0].trial
    beside = run_baseline(
        runner, trial, policy=options.baseline, epochs=options.baseline_length, seeds=len(results)
    )
    beside = runner.read_test(beside)
    by = context.criterion_of(next(iter(context.task.metrics), LOSS.name))
    decision = decide_baseline(results, beside, by)
    return outcome + Outcome([decision], beside, [record_of(beside, baseline=True)])


def run_final(runner: Runner, base: Trial, *, seeds: int) -> list[TrialResult]:
    """Train a run of full length once a seed; the first has the base's seed."""
    return runner.run([base.change(seed=base.seed + k) for k in range(seeds)])


def run_final_safely(
    runner: Runner,
    base: Trial,
    *,
    seeds: int,
    search: Sequence[TrialResult] = (),
    again: Callable[[], int] | None = None,
) -> tuple[list[TrialResult], list[Decision]]:
    """Run the final runs; where a seed breaks, run all of them again with half the LR.

    The search looks at short runs of few seeds, so the LR it finds may be too large for a long
    run of another seed. A seed has broken that diverges, or that ends with a training loss
    clearly above that of the search's short runs of no higher LR: it was thrown out and did not
    come back.

    Args:
        runner: Runs them.
        base: The first.
        seeds: How many.
        search: Results of the short runs.
        again: Says how many there is time for with half the LR; by default for all.

    Returns:
        All results, those with the last LR being those that count; and the decisions on the LR
        where it had to be lowered.
    """
    results: list[TrialResult] = []
    trial = base
    for attempt in range(HALVINGS + 1):
        last = run_final(runner, trial, seeds=seeds)
        results += last
        broken = sum(_has_broken(result, search) for result in last)
        if not broken or attempt == HALVINGS or "lr" in trial.fixed:
            break
        if again:
            ended = any(result.status is Status.COMPLETE for result in last)
            if (affordable := again()) < min(FEWEST, seeds) and ended:
                break
            seeds = max(affordable, 1)
        runner.progress.message(
            f"{broken} of {len(last)} seeds diverged or fit worse than short runs of no higher LR at "
            f"LR {trial.lr:g}; again with half of it"
        )
        trial = trial.change(
            lr=trial.lr / 2, lr_min=None if trial.lr_min is None else trial.lr_min / 2
        )
    if trial is base:
        return results, []
    decisions = [
        Decision(
            stage=FINAL,
            parameter=name,
            value=value,
            rule="halved until every seed completes, and fits no worse than short runs of no higher LR",
            reason=f"seeds broke at {base.lr:g}",
            trials=tuple(result.trial.id for result in results),
        )
        for name, value in (("lr", trial.lr), ("lr_min", trial.lr_min))
        if value is not None
    ]
    return results, decisions


def _has_broken(result: TrialResult, search: Sequence[TrialResult]) -> bool:
    """Say whether a final run diverged, or was thrown out and did not come back.

    Short runs of a higher LR say nothing: what a lower one fits less of in the whole run, it may
    have been chosen for.
    """
    if result.status is not Status.COMPLETE:
        return result.status is Status.DIVERGED
    own = result.trial
    done = [
        (r.train_loss, r) for r in search if r.status is Status.COMPLETE and r.trial.lr <= own.lr
    ]
    known = [(loss, LOSS.start(r)) for loss, r in done if loss is not None]
    stopped_early = len(result.curve) < result.trial.iterations
    if not known or result.train_loss is None or stopped_early:
        return False
    best, start = min(known)
    return result.train_loss > best + BROKEN * max(start - best, 0.0)


def rose(result: TrialResult, measures: Sequence[Criterion]) -> bool:
    """Say whether a run's weights were better at its lowest validation loss than at its end.

    Clearly so by the loss, or the run was stopped for it; and no worse by any other measure: a loss
    may rise from overconfidence alone while the accuracy still does, too.
    """
    curve = result.curve
    stopped = len(curve) < result.trial.iterations
    if not stopped and read_training(curve).verdict != "overfit":
        return False
    at = int(np.nanargmin(curve.val_loss))
    return all(by.evaluations(curve)[at] <= by.at_end(result) for by in measures)


def guessing(task: Task) -> float | None:
    """Return the accuracy on the validation set that always answering one class can reach.

    Within its standard error; None where the task has no classes.
    """
    if task.classes is None:
        return None
    counts = torch.zeros(task.classes, dtype=torch.int64)
    for batch in task.validation.batches(EVALUATION_BATCH):
        targets = target_of(batch)
        if not isinstance(targets, torch.Tensor) or targets.is_floating_point():
            return None
        known = (targets >= 0) & (targets < task.classes)
        if task.ignored is not None:
            known &= targets != task.ignored
        counts += torch.bincount(targets[known].cpu(), minlength=task.classes)
    examples = int(counts.sum())
    if not examples:
        return None
    share = int(counts.max()) / examples
    return share + math.sqrt(share * (1 - share) / examples)


def decide_final(
    results: Sequence[TrialResult], guess: float | None = None, *, advice: Sequence[str] = ()
) -> Decision:
    """Sum up the final run: mean and standard deviation over the seeds, and whether it fits.

    A validation accuracy that is no better than `guess` is warned of; see `guessing`. So is a run
    that does not fit, with the advice.

    Raises:
        StageError: No seed ended with a value.
    """
    record = record_of(results)
    values = [score for score in record.scores if score is not None]
    mean, seeds = statistics.mean(values), len(values)
    spread = f" ± {statistics.stdev(values):.4f}" if seeds > 1 else ""
    warnings = []
    if lost := sum(result.status is not Status.COMPLETE for result in results):
        warnings.append(f"{lost} of {len(results)} seeds did not complete")
    ended = [r for r in results if r.status is Status.COMPLETE]
    if earlier := sum(map(_kept_earlier, ended)):
        spread += f"; of {earlier} of {len(ended)} seeds the weights of the lowest validation loss"
    if average := results[0].trial.settings.average:
        spread += (
            f"; weights averaged ({average}) from iteration {first_averaged(results[0].trial)} on"
        )
    done = [r.val_metrics.get("accuracy") for r in ended]
    accuracies = [accuracy for accuracy in done if accuracy is not None]
    if guess is not None and accuracies and statistics.mean(accuracies) <= guess:
        warnings.append(
            f"validation accuracy {statistics.mean(accuracies):.3g} is no better than always "
            "answering the most frequent class; check the labels, the inputs' scale and the model"
        )
    return Decision(
        stage=record.stage,
        parameter=record.column,
        value=mean,
        rule=f"mean over {seeds} seed{'s' * (seeds > 1)}, read once at the end",
        reason=f"{mean:.4f}{spread}; {record.verdict}: {'; '.join(record.reasons)}",
        trials=record.trials,
        warnings=(*warnings, *(advice if record.verdict != "balanced" else ())),
        seconds=sum(result.seconds for result in results),
    )


def _kept_earlier(result: TrialResult) -> bool:
    """Say whether a result is of other weights than the last ones."""
    if result.val_loss is None:
        return False
    last = LOSS.known_evaluations(result.curve)[-1]
    return not math.isclose(result.val_loss, last, rel_tol=1e-6)


def record_of(results: Sequence[TrialResult], *, baseline: bool = False) -> FinalRun:
    """Return what final runs, or those of a baseline, reached and how they fit, as a record.

    The headline is the first metric of the test set, else of the validation set, else the loss.

    Raises:
        StageError: No seed ended with a value.
    """
    first, done = results[0], [r for r in results if r.status is Status.COMPLETE]
    if not done:
        raise StageError(f"{first.trial.stage}: no seed completed: {first.message}; lower the LR")
    rows = [result_row(result) for result in results]
    ended = [row for row in rows if row["status"] == Status.COMPLETE]
    columns = [f"test_{name}" for name in done[0].test_metrics]
    columns += [f"val_{name}" for name in done[0].val_metrics] + ["test_loss"]
    known = (name for name in columns if all(row.get(name) is not None for row in ended))
    column = next(known, "val_loss")
    scores = [row.get(column) if row["status"] == Status.COMPLETE else None for row in rows]
    readings = [read_training(result.curve) for result in done]
    counts = Counter(reading.verdict for reading in readings).most_common()
    verdict = counts[0][0]
    reading = next(reading for reading in readings if reading.verdict == verdict)
    agreement = f"{counts[0][1]} of {len(done)} seeds"
    if len(counts) > 1:
        agreement += "; " + ", ".join(f"{n} {other}" for other, n in counts[1:])
    return FinalRun(
        stage=first.trial.stage,
        trials=tuple(result.trial.id for result in results),
        column=column,
        scores=tuple(float(score) if isinstance(score, int | float) else None for score in scores),
        verdict=verdict,
        agreement=agreement if len(done) > 1 else "",
        reasons=reading.reasons,
        advice=reading.advice,
        baseline=baseline,
    )
