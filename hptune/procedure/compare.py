"""Candidates side by side: paired runs, more seeds where the best tie, and the record of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hptune.analysis.criterion import Criterion
from hptune.analysis.ranking import comparison, dominated, rank
from hptune.procedure.context import Outcome
from hptune.results.records import Decision, Trial
from hptune.trials.paired import Candidates, run_paired
from hptune.trials.run import Runner

MOST_SEEDS = 4  # the report's own number of repeats
CONTENDERS = 3  # tied candidates that are repeated at most


def run_candidates(
    runner: Runner,
    base: Trial,
    changes: Mapping[str, Mapping[str, Any]],
    *,
    seeds: int,
    by: Criterion,
    least: int,
) -> Candidates:
    """Run candidates with the same seeds, and stop on the way those that cannot win any more.

    Args:
        runner: Runs the trials and knows the budget.
        base: The trial that each candidate changes.
        changes: The candidates by label, those that matter most first.
        seeds: Repeats of each candidate.
        by: What is better.
        least: Candidates to run whatever they cost.
    """
    return run_paired(
        runner,
        base,
        changes,
        seeds=seeds,
        dominated=lambda candidates: dominated(candidates, by),
        least=least,
    )


def run_repeats(runner: Runner, candidates: Candidates, by: Criterion) -> Candidates:
    """Run the tied candidates once more with another seed, until one wins or the budget is spent.

    Args:
        runner: Runs the trials and knows the budget.
        candidates: Paired results of one stage.
        by: What is better.

    Returns:
        The candidates, those that tied with more seeds than the others.
    """
    candidates = dict(candidates)
    while True:
        ranking = rank(candidates, by)
        tied = ranking.ties[:CONTENDERS]
        seeds = min(len(candidates[label]) for label in tied)
        short = [label for label in tied if len(candidates[label]) == seeds]
        again = {label: candidates[label][0].trial for label in short}
        trials = [trial.change(seed=trial.seed + seeds) for trial in again.values()]
        if ranking.failed or len(tied) < 2 or seeds >= MOST_SEEDS or not runner.affords(trials):
            return candidates
        for label, result in zip(again, runner.run(trials), strict=True):
            candidates[label] = [*candidates[label], result]


def concluded(
    candidates: Candidates,
    decisions: Sequence[Decision],
    by: Criterion,
    *,
    columns: Sequence[str],
    chosen: str | None = None,
    interval: tuple[float, float] | None = None,
) -> tuple[Outcome, Trial]:
    """Return the outcome of a comparison, and the first trial of the candidate decided for.

    Args:
        candidates: What was compared.
        decisions: What was decided, first on what was compared.
        by: What is better.
        columns: The columns of results.csv that the candidates set.
        chosen: Label of the candidate decided for; by default the one that has what was decided.
        interval: Plausible bounds of the value.
    """
    if chosen is None:
        chosen = next(k for k, rs in candidates.items() if _has(rs[0].trial, decisions))
    record = comparison(
        candidates,
        by,
        stage=decisions[0].stage,
        parameter=decisions[0].parameter,
        columns=columns,
        chosen=chosen,
        rule=decisions[0].rule,
        interval=interval,
    )
    results = [result for rs in candidates.values() for result in rs]
    return Outcome(list(decisions), results, [record]), candidates[chosen][0].trial


def _has(trial: Trial, decisions: Sequence[Decision]) -> bool:
    """Return whether a trial has the values decided for."""
    for decision in decisions:
        name = decision.parameter
        own = getattr(trial, name, decision.value)  # the epochs, say, are the final run's
        if own is None and name == "momentum_min":
            own = trial.momentum
        if own != decision.value:
            return False
    return True
