"""Paired trials: candidates that differ in the hyper-parameter under study and in nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hptune.results.records import Trial, TrialResult
from hptune.sweep.run import Runner

Candidates = dict[str, list[TrialResult]]
"""Results by the candidate's label, one a seed, the seeds in the same order for all."""


def run_paired(
    runner: Runner, base: Trial, changes: Mapping[str, Mapping[str, Any]], *, seeds: int
) -> Candidates:
    """Run every candidate with the same seeds: initial weights, batch order and augmentation agree.

    Args:
        runner: Runs the trials.
        base: The trial that each candidate changes; its seed is the first.
        changes: The candidates by label, each as the fields of `base` that it changes.
        seeds: Repeats of each candidate.
    """
    trials = [
        base.change(seed=base.seed + k, **change)
        for change in changes.values()
        for k in range(seeds)
    ]
    results = runner.run(trials)
    return {label: results[n * seeds : (n + 1) * seeds] for n, label in enumerate(changes)}


def trial_ids(candidates: Mapping[str, Sequence[TrialResult]]) -> tuple[str, ...]:
    """Return the ids of all trials."""
    return tuple(result.trial.id for results in candidates.values() for result in results)


def total_seconds(candidates: Mapping[str, Sequence[TrialResult]]) -> float:
    """Return what the trials cost, seconds; the same after a resume."""
    return sum(result.seconds for results in candidates.values() for result in results)
