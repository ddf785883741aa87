"""Repeats: where the best candidates tie, more seeds tell them apart, as far as the budget goes."""

from __future__ import annotations

from hptune.analysis.criterion import Criterion
from hptune.analysis.ranking import rank
from hptune.trials.paired import Candidates
from hptune.trials.run import Runner

MOST_SEEDS = 4  # the report's own number of repeats
CONTENDERS = 3  # tied candidates that are repeated at most


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
