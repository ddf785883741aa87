"""What the procedure will run, before it runs: trials, epochs, time, and the share of a stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hptune.stages import FINAL, LR_RANGE, procedure

SHORT_SWEEP = 4  # short runs that a stage compares
TEST_RUNS = 2  # short runs that an LR range test is as long as
SHORTEST = 50  # iterations; a shorter run has barely left the initial loss
RANGE_TEST = (100, 400)  # iterations at least and at most


@dataclass(frozen=True)
class PlannedStage:
    """A stage before it runs.

    Attributes:
        stage: Which.
        trials: How many it may need.
        epochs: Of training, all its trials together.
        short_runs: Those of its trials that are short runs.
        seconds: Estimated, None where the speed is not known.
    """

    stage: str
    trials: int
    epochs: float
    short_runs: int = 0
    seconds: float | None = None


@dataclass(frozen=True)
class Lengths:
    """Lengths of the procedure's runs, iterations."""

    range_test: int
    short: int
    final: int


def shares() -> dict[str, int]:
    """Return the short runs of the search's budget that each stage may take."""
    return {stage.name: stage.share for stage in procedure() if stage.share}


def lengths(
    *,
    epochs: float,
    per_epoch: int,
    budget: float,
    search_seeds: int,
    trial_epochs: float | None,
    range_test_epochs: float | None = None,
) -> Lengths:
    """Choose the lengths of the runs.

    Args:
        epochs: Of the final run.
        per_epoch: Iterations an epoch.
        budget: Search epochs over the final run's epochs.
        search_seeds: Repeats of each search trial.
        trial_epochs: Length of the short runs where the user fixes it.
        range_test_epochs: Likewise of the LR range test.
    """
    final = max(1, round(epochs * per_epoch))
    if trial_epochs is None:
        share = int(budget * final / (sum(shares().values()) * search_seeds))
        short = min(final, max(SHORTEST, share))
    else:
        short = max(1, round(trial_epochs * per_epoch))
    low, high = RANGE_TEST
    test = min(max(TEST_RUNS * short, low), high)
    if range_test_epochs is not None:
        test = max(1, round(range_test_epochs * per_epoch))
    return Lengths(range_test=test, short=short, final=final)


def allowances(stages: Sequence[str], budget_epochs: float) -> dict[str, float]:
    """Return the epochs that may be spent by the end of each search stage.

    Args:
        stages: Those that run.
        budget_epochs: For all search stages of the procedure together.
    """
    total, parts = 0.0, shares()
    allowed = {}
    for stage in stages:
        if stage in parts:
            total += parts[stage] / sum(parts.values()) * budget_epochs
            allowed[stage] = total
    return allowed


def plan(
    stages: Sequence[str],
    runs: Lengths,
    *,
    per_epoch: int,
    budget_epochs: float,
    test_seeds: int,
    search_seeds: int,
    final_seeds: int,
    baseline_length: float | None = None,
) -> list[PlannedStage]:
    """List the stages with what they cost at most.

    Args:
        stages: Those that run.
        runs: Lengths of the runs.
        per_epoch: Iterations an epoch.
        budget_epochs: For all search stages together.
        test_seeds: Repeats of the LR range test.
        search_seeds: Repeats of each search trial.
        final_seeds: Repeats of the final run.
        baseline_length: Over the final run's length, of a comparison that is trained beside it.
    """
    planned = []
    spent, allowed = 0.0, allowances(stages, budget_epochs * per_epoch)
    for stage in stages:
        if stage == FINAL:
            more = 0 if baseline_length is None else 1
            iterations = final_seeds * runs.final * (1 + (baseline_length or 0.0))
            planned.append(PlannedStage(stage, final_seeds * (1 + more), iterations / per_epoch))
            continue
        tests = test_seeds if stage == LR_RANGE else 0
        # A stage has what the ones before have left; the LR is confirmed whatever it costs.
        left = allowed[stage] - spent - tests * runs.range_test
        least = (SHORT_SWEEP - 1) * search_seeds if tests else 0
        short = max(least, min(int(left / runs.short), SHORT_SWEEP * search_seeds))
        iterations = tests * runs.range_test + short * runs.short
        spent += iterations
        planned.append(PlannedStage(stage, tests + short, iterations / per_epoch, short))
    return planned
