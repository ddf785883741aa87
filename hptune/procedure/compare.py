"""Candidates side by side: paired runs, more seeds where the best tie, the decision and its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.ranking import Ranking, comparison, dominated, rank
from hptune.procedure.outcome import Outcome
from hptune.procedure.plan import TELLING
from hptune.results.records import Decision, Trial, Value
from hptune.trials.paired import Candidates, run_paired, total_seconds, trial_ids
from hptune.trials.run import Runner

MOST_SEEDS = (
    7  # of them, a lead of twice the noise is found in over 80 % (scripts/quality/identical.py)
)
CONTENDERS = 3  # tied candidates that are repeated at most


@dataclass(frozen=True)
class PairedRuns:
    """Runs candidates with the same seeds, within the runner's budget.

    Attributes:
        runner: Runs the trials and knows the budget.
        asked: Whether the user asked for them, whatever they cost.
        share: Of what is left of the budget, that a comparison may take.
    """

    runner: Runner
    seeds: int = 1
    by: Criterion = LOSS
    asked: bool = False
    share: float = 1.0

    def cost_of_telling(self, base: Trial, count: int, cost: float = 1.0) -> float:
        """Return the epochs that it takes to tell so many candidates apart by runs like `base`.

        Args:
            cost: Epochs of a candidate over those of `base`.
        """
        return cost * self.runner.epochs(base) * count * max(self.seeds, TELLING)

    def worth(self, base: Trial, count: int, *, cost: float = 1.0) -> bool:
        """Say whether so many candidates can be told apart for what they may take of the budget."""
        budget, cost = self.runner.budget, self.cost_of_telling(base, count, cost)
        return self.asked or budget.affords(cost / self.share)

    def run(
        self,
        base: Trial,
        changes: Mapping[str, Mapping[str, Any]],
        *,
        least: int = 0,
        to_the_end: bool = False,
    ) -> Candidates:
        """Run candidates, and stop on the way those that cannot win any more.

        Args:
            base: The trial that each candidate changes.
            changes: The candidates by label, those that matter most first.
            least: Candidates to run whatever they cost.
            to_the_end: Whether none is stopped.
        """
        beaten = None if to_the_end else partial(dominated, by=self.by)
        least = len(changes) if self.asked else least
        return run_paired(
            self.runner, base, changes, seeds=self.seeds, dominated=beaten, least=least
        )

    def repeat(self, candidates: Candidates) -> Candidates:
        """Run tied candidates once more with another seed, until one wins or the budget is spent.

        With several seeds at once where there is room for them side by side.
        """
        candidates = dict(candidates)
        while True:
            ranking = rank(candidates, self.by)
            tied = ranking.ties[:CONTENDERS]
            seeds = min(len(candidates[label]) for label in tied)
            fewest = [label for label in tied if len(candidates[label]) == seeds]
            if ranking.failed or len(tied) < 2 or seeds >= MOST_SEEDS:
                return candidates
            room = max(self.runner.side_by_side // len(fewest), 1)
            trials = [
                candidates[label][0].trial.change(seed=candidates[label][0].trial.seed + seed)
                for seed in range(seeds, min(seeds + room, MOST_SEEDS))
                for label in fewest
            ]
            while trials and not self.runner.affords(trials):
                trials = trials[: -len(fewest)]
            if not trials:
                return candidates
            for label, result in zip(cycle(fewest), self.runner.run(trials), strict=False):
                candidates[label] = [*candidates[label], result]


def decide(
    candidates: Candidates,
    ranking: Ranking,
    chosen: str,
    *,
    stage: str,
    parameter: str,
    value: Value,
    rule: str,
    tied: str,
    beside: str = "",
) -> Decision:
    """Return the decision for one of the candidates, with the ranking as its reason.

    Args:
        chosen: Label of the candidate that is decided for.
        tied: Why a candidate is taken that only ties with the best.
        beside: What else there is to say of the candidates.
    """
    return Decision(
        stage=stage,
        parameter=parameter,
        value=value,
        rule=rule,
        reason=ranking.reason + beside + ("" if chosen == ranking.best else f"; tied, so {tied}"),
        trials=trial_ids(candidates),
        warnings=ranking.warnings,
        seconds=total_seconds(candidates, stage),
    )


def kept(
    runs: PairedRuns, base: Trial, parameters: Sequence[str], count: int, *, cost: float = 1.0
) -> Outcome:
    """Return the outcome of a stage that cannot tell its candidates apart for what is left.

    Args:
        base: A short run with the values that are kept.
        parameters: What the stage decides.
        count: Candidates that it would compare.
        cost: Epochs of a candidate over those of `base`.
    """
    cost, allowed = runs.cost_of_telling(base, count, cost), runs.runner.budget
    return not_compared(
        base,
        parameters,
        f"telling {count} candidates apart takes about {cost:.3g} epochs, and "
        f"{max(allowed.allowed - allowed.spent, 0) * runs.share:.3g} are left for it; raise "
        "procedure.budget",
    )


def not_compared(base: Trial, parameters: Sequence[str], why: str) -> Outcome:
    """Return the outcome of a stage that compares nothing, and says why."""
    return Outcome(
        [
            Decision(
                stage=base.stage,
                parameter=name,
                value=value,
                rule="kept, as it was before",
                reason=f"not compared: {why}",
            )
            for name in parameters
            if (value := getattr(base, name)) is not None
        ]
    )


def concluded(
    candidates: Candidates,
    decisions: Sequence[Decision],
    by: Criterion,
    *,
    columns: Sequence[str],
    chosen: str | None = None,
    interval: tuple[float, float] | None = None,
) -> Outcome:
    """Return the outcome of a comparison.

    Args:
        decisions: What was decided, first on what was compared.
        columns: The columns of results.csv that the candidates set.
        chosen: Label of the candidate decided for; by default the one that has what was decided.
        interval: Plausible bounds of the value.
    """
    chosen = chosen or chosen_among(candidates, decisions, columns)
    record = comparison(
        candidates, by, decisions[0], columns=columns, chosen=chosen, interval=interval
    )
    results = [result for rs in candidates.values() for result in rs]
    return Outcome(list(decisions), results, [record])


def chosen_among(
    candidates: Candidates, decisions: Sequence[Decision], columns: Sequence[str]
) -> str:
    """Return the label of the first candidate that has in its columns what was decided."""
    decided = {decision.parameter: decision.value for decision in decisions}

    def own(trial: Trial, column: str) -> Value:
        value: Value = getattr(trial, column)
        return trial.momentum if value is None else value  # momentum that is held constant

    return next(
        label
        for label, results in candidates.items()
        if all(own(results[0].trial, c) == decided[c] for c in columns if c in decided)
    )
