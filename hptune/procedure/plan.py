"""What the procedure may cost, how that is shared out among the stages, and what they will run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hptune.procedure.defaults import OPTIMIZERS, has_usual_lr
from hptune.stages import BATCH_SIZE, FINAL, LR_RANGE, OPTIMIZER, REFINE

BRACKET = 3  # short runs that bracket an LR at least
CLOSED = 5  # of a bracket with worse neighbours on both sides, and one between: as it usually ends
# Of the final run: what a short run takes. A third ranks LRs as the whole run does; a tenth does
# not, and prefers an LR and a momentum that the whole run cannot bear
# (scripts/quality/taskset.py).
SHORT = 1 / 3
SHORTEST = 20  # iterations; a shorter run has barely left the initial loss
TEST = 1 / 4  # of the final run: what an LR range test takes
# Iterations at least and at most. Where whole runs have 30, a test of 100 took what the bracket needs
# (scripts/quality/problems.py: short-*).
RANGE_TEST = (50, 400)
CANDIDATES = 7  # short runs for an LR at most
SWEEP = 4  # candidates that a stage compares, and seeds that it takes to tell them apart
TELLING = 2
# Of what is left of the budget, for a comparison, that of optimizers too: refinement finds more with it
# (scripts/quality/order.py and results/optimizers.csv).
BESIDE_REFINEMENT = 1 / 4
# Short runs that refinement takes at least: one or two changed a decision in one of 28 runs, for the worse
# (scripts/quality/ablation.py).
PROPOSALS = 4
ROUNDING = 1e-9  # of a budget, in floating point
DUEL = 1.0  # final runs that the search leaves for its last comparison, at full length


def batch_cost(sizes: Sequence[int], present: int) -> float:
    """Return the mean of batch sizes over the present one: what as many updates cost."""
    return sum(sizes) / len(sizes) / present


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
        tests: Whether there is one; a bracket may begin at an LR that is usual for the optimizer.
        final_seeds: Repeats of the final run.
        trial_epochs: Length of the short runs where the user fixes it.
        shortest: Iterations of a short run at least.
        range_test_epochs: Likewise of the LR range test.
        baseline_length: Over the final run's length, of a comparison that is trained beside it.
        batch_cost: Epochs of a candidate of the batch-size stage over those of another short run.
    """

    epochs: float
    per_epoch: int
    budget: float
    search_seeds: int = 1
    test_seeds: int = 1
    tests: bool = True
    final_seeds: int = 1
    trial_epochs: float | None = None
    shortest: int = SHORTEST
    range_test_epochs: float | None = None
    baseline_length: float | None = None
    batch_cost: float = 1.0

    @property
    def final(self) -> int:
        """Length of the final run, iterations."""
        return max(1, round(self.epochs * self.per_epoch))

    @property
    def short(self) -> int:
        """Length of a short run, iterations."""
        if self.trial_epochs is not None:
            return max(1, round(self.trial_epochs * self.per_epoch))
        # A small budget is for a range test and a bracket all the same.
        affordable = self.budget / (BRACKET + 1) / self.search_seeds
        return min(self.final, max(self.shortest, int(self.final * min(SHORT, affordable))))

    @property
    def proposal(self) -> float:
        """Length of a short run that refinement proposes, over that of the final run."""
        return min(1.0, max(SHORT, self.shortest / self.final))

    @property
    def range_test(self) -> int:
        """Length of the LR range test, iterations."""
        if self.range_test_epochs is not None:
            return max(1, round(self.range_test_epochs * self.per_epoch))
        low, high = RANGE_TEST
        return min(max(int(TEST * self.final), low), high)

    @property
    def allowed(self) -> float:
        """Epochs that the search may take, the duel included: by the final run as long as it really is."""
        return self.budget * self.final / self.per_epoch

    @property
    def search(self) -> float:
        """Epochs that the search stages may take together; what one leaves is the next one's.

        The budget, less what the duel takes at the end where that leaves more than it takes.
        """
        reserved = DUEL if self.budget >= 2 * DUEL else 0.0
        return self.allowed - reserved * self.final / self.per_epoch

    @property
    def optimizers(self) -> PlannedStage:
        """What it takes to compare optimizers: each one's LR, and seeds enough to tell.

        An LR at the edge of a bracket that was broken off is no fair one, nor one to go on with
        (scripts/quality/results/optimizers.csv, at budget 4).
        """
        seeds, count = self.search_seeds, len(OPTIMIZERS)
        tests = self.test_seeds * sum(not has_usual_lr(name) for name in OPTIMIZERS)
        short = count * (CLOSED * seeds + max(TELLING - seeds, 0))
        iterations = tests * self.range_test + short * self.short
        return PlannedStage(OPTIMIZER, tests + short, iterations / self.per_epoch, short)

    def stages(self, stages: Sequence[str]) -> list[PlannedStage]:
        """List the stages with what they cost at most; a stage that costs too much is left out."""
        planned = []
        left = self.search * self.per_epoch
        beside = BESIDE_REFINEMENT if REFINE in stages else 1.0
        found = 0  # range tests and brackets that were run for the optimizer that has won
        for stage in stages:
            if stage == OPTIMIZER:
                cost = self.optimizers.epochs * self.per_epoch
                found = int(cost <= beside * left * (1 + ROUNDING))
                planned.append(self.optimizers if found else PlannedStage(stage, 0, 0.0))
                left -= planned[-1].epochs * self.per_epoch
                continue
            if stage == FINAL:
                left += (self.allowed - self.search) * self.per_epoch
                rivals = int(left * (1 + ROUNDING) >= self.final)
                trials = self.final_seeds * (1 if self.baseline_length is None else 2)
                iterations = self.final_seeds * self.final * (1 + (self.baseline_length or 0.0))
                iterations += rivals * self.final
                planned.append(PlannedStage(stage, trials + rivals, iterations / self.per_epoch))
                continue
            if stage == REFINE:  # all that is left
                each = self.final * self.proposal
                trials = max(int(left / each * (1 + ROUNDING)), 0)
                trials = trials if trials >= PROPOSALS else 0
                iterations = trials * each
                left -= iterations
                planned.append(PlannedStage(stage, trials, iterations / self.per_epoch, trials))
                continue
            tests = 0
            least = most = SWEEP * max(self.search_seeds, TELLING)
            of_left = 1.0 if stage == LR_RANGE else beside
            if stage == LR_RANGE:
                tests, done = (1 - found) * self.tests * self.test_seeds, found * CLOSED
                least, most = (
                    n * self.search_seeds for n in (max(BRACKET - done, 0), CANDIDATES - done)
                )
            each = self.short * (self.batch_cost if stage == BATCH_SIZE else 1.0)
            affordable = (of_left * left - tests * self.range_test) / each
            short = min(int(affordable * (1 + ROUNDING)), most)
            if short < least:  # the LR is bracketed whatever it costs
                short = least if stage == LR_RANGE else 0
            iterations = tests * self.range_test + short * each
            left -= iterations
            planned.append(PlannedStage(stage, tests + short, iterations / self.per_epoch, short))
        return planned
