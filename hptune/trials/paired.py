"""Paired trials: candidates that differ in the hyper-parameter under study and in nothing else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from hptune.results.records import Status, Trial, TrialResult
from hptune.training.lengths import evaluation_points
from hptune.training.result import summary
from hptune.trials.run import Runner

Candidates = dict[str, list[TrialResult]]
"""Results by the candidate's label, one a seed, the seeds in the same order for all."""

Dominated = Callable[[Candidates], Collection[str]]
"""Says which candidates cannot win any more, from what all of them did up to the same point."""

# Of a run: where the dominated are dropped. A 1cycle's LR peaks shortly before its middle, where a
# large LR looks worst; the margin of `analysis.ranking.dominated` is there to let it come back.
RUNGS = (0.5, 0.75)


def run_paired(
    runner: Runner,
    base: Trial,
    changes: Mapping[str, Mapping[str, Any]],
    *,
    seeds: int,
    dominated: Dominated | None = None,
    least: int | None = None,
) -> Candidates:
    """Run every candidate with the same seeds: initial weights, batch order and augmentation agree.

    Args:
        runner: Runs the trials.
        base: The trial that each candidate changes; its seed is the first.
        changes: The candidates by label, each as the fields of `base` that it changes, those
            that matter most first.
        seeds: Repeats of each candidate.
        dominated: Asked on the way which candidates to stop early; by default all run to the end.
        least: Candidates to run whatever they cost; of the others those that the budget
            affords. By default all are run.
    """
    trials = {
        label: [base.change(seed=base.seed + k, **change) for k in range(seeds)]
        for label, change in changes.items()
    }
    trials = _affordable(runner, trials, len(trials) if least is None else least)
    dropped: Candidates = {}
    pauses = dominated is not None and len(trials) > 1 and runner.pauses
    for rung in RUNGS if pauses else ():
        going = {label: ts for label, ts in trials.items() if label not in dropped}
        partial = _run_all(runner, going, rung)
        for label in dominated(partial) if dominated else ():
            dropped[label] = partial[label]
            for result in partial[label]:
                if runner.run_dir.result(result.trial) is None:
                    runner.keep(result)
    rest = {label: ts for label, ts in trials.items() if label not in dropped}
    done = dropped | _run_all(runner, rest)
    return {label: done[label] for label in trials}


def _affordable(
    runner: Runner, trials: Mapping[str, list[Trial]], least: int
) -> dict[str, list[Trial]]:
    """Return the first candidates, as many as the budget affords, and tell of those left out."""
    kept: dict[str, list[Trial]] = {}
    for label, own in trials.items():
        if len(kept) < least or runner.affords([t for ts in (*kept.values(), own) for t in ts]):
            kept[label] = own
    if left := [label for label in trials if label not in kept]:
        runner.progress.message(f"  left out, the search's budget is spent: {', '.join(left)}")
    return kept


def _run_all(
    runner: Runner, trials: Mapping[str, Sequence[Trial]], rung: float | None = None
) -> Candidates:
    """Run all candidates together, to a fraction of their length or to the end."""
    flat = [trial for ts in trials.values() for trial in ts]
    if rung is None:
        results = runner.run(flat)
    else:
        until = [_reading_before(trial, rung) for trial in flat]
        results = [
            _cut(runner, result, pause)
            for result, pause in zip(runner.run(flat, until), until, strict=True)
        ]
    rest = iter(results)
    return {label: list(islice(rest, len(ts))) for label, ts in trials.items()}


def _reading_before(trial: Trial, rung: float) -> int:
    """Return the last reading of the validation set up to a fraction of a trial, iterations."""
    due = evaluation_points(trial.iterations, trial.settings.evaluations)
    return max([done for done in due if done <= rung * trial.iterations], default=due[0])


def _cut(runner: Runner, result: TrialResult, iterations: int) -> TrialResult:
    """Return what a result was after some iterations; a resumed run may have come further."""
    if len(result.curve) <= iterations:
        return result
    known = summary(runner.task, result.curve.until(iterations))
    return replace(result, status=Status.PRUNED, **known)


def trial_ids(candidates: Mapping[str, Sequence[TrialResult]]) -> tuple[str, ...]:
    """Return the ids of all trials."""
    return tuple(result.trial.id for results in candidates.values() for result in results)


def total_seconds(candidates: Mapping[str, Sequence[TrialResult]], stage: str) -> float:
    """Return what a stage's own trials cost, seconds; the same after a resume."""
    return sum(
        result.seconds
        for results in candidates.values()
        for result in results
        if result.trial.stage == stage
    )
