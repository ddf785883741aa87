"""What the procedure may cost, how that is shared out among the stages, and what they will run."""

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


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The lengths of the procedure's runs, and the budget of its stages.

    Attributes:
        epochs: Of the final run.
        per_epoch: Iterations an epoch.
        budget: Search epochs over the final run's epochs.
        search_seeds: Repeats of each search trial.
        test_seeds: Repeats of the LR range test.
        final_seeds: Repeats of the final run.
        trial_epochs: Length of the short runs where the user fixes it.
        range_test_epochs: Likewise of the LR range test.
        baseline_length: Over the final run's length, of a comparison that is trained beside it.
    """

    epochs: float
    per_epoch: int
    budget: float
    search_seeds: int = 1
    test_seeds: int = 1
    final_seeds: int = 1
    trial_epochs: float | None = None
    range_test_epochs: float | None = None
    baseline_length: float | None = None

    @property
    def final(self) -> int:
        """Length of the final run, iterations."""
        return max(1, round(self.epochs * self.per_epoch))

    @property
    def short(self) -> int:
        """Length of a short run, iterations."""
        if self.trial_epochs is not None:
            return max(1, round(self.trial_epochs * self.per_epoch))
        runs = sum(_shares().values()) * self.search_seeds
        return min(self.final, max(SHORTEST, int(self.budget * self.final / runs)))

    @property
    def range_test(self) -> int:
        """Length of the LR range test, iterations."""
        if self.range_test_epochs is not None:
            return max(1, round(self.range_test_epochs * self.per_epoch))
        low, high = RANGE_TEST
        return min(max(TEST_RUNS * self.short, low), high)

    def allowances(self, stages: Sequence[str], per_epoch: int = 1) -> dict[str, float]:
        """Return the epochs that may be spent by the end of each search stage of those that run.

        Args:
            stages: Those that run.
            per_epoch: Counts iterations where it is their number in an epoch.
        """
        total, shares = 0.0, _shares()
        allowed = {}
        for stage in stages:
            if stage in shares:
                share = shares[stage] / sum(shares.values())
                total += share * (self.budget * self.epochs * per_epoch)
                allowed[stage] = total
        return allowed

    def stages(self, stages: Sequence[str]) -> list[PlannedStage]:
        """List the stages with what they cost at most."""
        planned = []
        spent, allowed = 0.0, self.allowances(stages, self.per_epoch)
        for stage in stages:
            if stage == FINAL:
                trials = self.final_seeds * (1 if self.baseline_length is None else 2)
                iterations = self.final_seeds * self.final * (1 + (self.baseline_length or 0.0))
                planned.append(PlannedStage(stage, trials, iterations / self.per_epoch))
                continue
            tests = self.test_seeds if stage == LR_RANGE else 0
            # A stage has what the ones before have left; the LR is confirmed whatever it costs.
            left = allowed[stage] - spent - tests * self.range_test
            least = (SHORT_SWEEP - 1) * self.search_seeds if tests else 0
            short = max(least, min(int(left / self.short), SHORT_SWEEP * self.search_seeds))
            iterations = tests * self.range_test + short * self.short
            spent += iterations
            planned.append(PlannedStage(stage, tests + short, iterations / self.per_epoch, short))
        return planned


def _shares() -> dict[str, int]:
    """Return the short runs of the search's budget that each stage may take."""
    return {stage.name: stage.share for stage in procedure() if stage.share}
