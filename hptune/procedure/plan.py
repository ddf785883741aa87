"""What the procedure will run, before it runs: trials, epochs, time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hptune.results.records import Stage

# Short runs that the search stages need in the usual case: three to confirm the LR, five
# for momentum, five for weight decay, four for batch size, and the range test counts as two.
USUAL_SHORT_RUNS = 19
STAGES = (Stage.LR_RANGE, Stage.MOMENTUM, Stage.WEIGHT_DECAY, Stage.BATCH_SIZE, Stage.FINAL)
_RUNS = {Stage.LR_RANGE: 3, Stage.MOMENTUM: 5, Stage.WEIGHT_DECAY: 5, Stage.BATCH_SIZE: 4}
_TESTS = {Stage.LR_RANGE: 1}
SHORTEST = 50  # iterations; a shorter run has barely left the initial loss
RANGE_TEST = (100, 400)  # iterations at least and at most


@dataclass(frozen=True)
class PlannedStage:
    """A stage before it runs.

    Attributes:
        stage: Which.
        trials: How many it usually needs.
        epochs: Of training, all its trials together.
        seconds: Estimated, None where the speed is not known.
    """

    stage: Stage
    trials: int
    epochs: float
    seconds: float | None = None


@dataclass(frozen=True)
class Lengths:
    """Lengths of the procedure's runs, iterations."""

    range_test: int
    short: int
    final: int


def lengths(
    *, epochs: float, per_epoch: int, budget: float, search_seeds: int, trial_epochs: float | None
) -> Lengths:
    """Choose the lengths of the runs.

    Args:
        epochs: Of the final run.
        per_epoch: Iterations an epoch.
        budget: Search epochs over the final run's epochs.
        search_seeds: Repeats of each search trial.
        trial_epochs: Length of the short runs where the user fixes it.
    """
    final = max(1, round(epochs * per_epoch))
    if trial_epochs is None:
        share = round(budget * final / (USUAL_SHORT_RUNS * search_seeds))
        short = min(final, max(SHORTEST, share))
    else:
        short = max(1, round(trial_epochs * per_epoch))
    low, high = RANGE_TEST
    return Lengths(range_test=min(max(2 * short, low), high), short=short, final=final)


def plan(
    stages: Sequence[Stage],
    runs: Lengths,
    *,
    per_epoch: int,
    search_seeds: int,
    final_seeds: int,
    seconds_per_iteration: float | None,
) -> list[PlannedStage]:
    """List the stages with what they usually cost."""
    planned = []
    for stage in stages:
        if stage is Stage.FINAL:
            trials, iterations = final_seeds, runs.final * final_seeds
        else:
            trials = (_RUNS[stage] + _TESTS.get(stage, 0)) * search_seeds
            iterations = (
                _RUNS[stage] * runs.short + _TESTS.get(stage, 0) * runs.range_test
            ) * search_seeds
        planned.append(
            PlannedStage(
                stage=stage,
                trials=trials,
                epochs=iterations / per_epoch,
                seconds=None
                if seconds_per_iteration is None
                else iterations * seconds_per_iteration,
            )
        )
    return planned
