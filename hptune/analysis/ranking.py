"""Which of several paired candidates is better, and which differences are only noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.noise import noise_of_difference, typical_start
from hptune.errors import StageError
from hptune.results.evidence import Candidate, Comparison
from hptune.results.records import Decision, Status, TrialResult
from hptune.results.tables import result_row

# Probability that the better of two equal candidates is named the winner, for each side, at one look.
# Ties are looked at again with each further seed, until one seems to win: over up to seven seeds that
# names a winner among equals in 9 % of real trainings at most; 0.05 named one in 18 % over four, in 26 %
# over six (scripts/quality/identical.py).
CHANCE = 0.0125
CLEARLY = 3.0  # noises by which a candidate wins that short runs favour
ALONE = "compared with nothing: the budget had room for no other value, or no other can be run"
# Of the leader's fall: who lags this far behind at half of a run does not come back, and is worse
# whatever the noise may be.
DOMINATED = 0.25
FAR = 4.0  # noises, beside


@dataclass(frozen=True)
class Ranking:
    """Candidates by what they reached at the end of the run.

    Attributes:
        order: Labels, the best first; diverged ones last, those that lasted longer before others.
        best: The first of the order.
        scores: Mean cost of each.
        ties: Labels that the noise does not tell from the best, the best among them; with one seed
            each all that are not far behind, since the noise is not known.
        near: Labels within one standard deviation of the best, the best among them.
        noises: Standard deviation of the difference between each and the best.
        noise: The same between the best and another of as many seeds.
        reason: The losses and the noise in words.
        warnings: What speaks against trusting the order.
        failed: Whether no candidate came to an end.
    """

    order: tuple[str, ...]
    best: str
    scores: Mapping[str, float]
    ties: tuple[str, ...]
    near: tuple[str, ...]
    noises: Mapping[str, float]
    noise: float
    reason: str
    warnings: tuple[str, ...]
    failed: bool

    @property
    def not_clearly_beaten(self) -> tuple[str, ...]:
        """Labels that the best does not beat clearly, the best among them.

        Short runs favour what learns fast: a large momentum, little weight decay. Where such a
        candidate is the best, it has to beat the usual one clearly, for over the long run that
        lead is lost.
        """
        most = self.scores[self.best] + CLEARLY * self.noise
        return tuple(k for k in self.order if k in self.ties or self.scores[k] <= most)


def rank(candidates: Mapping[str, Sequence[TrialResult]], by: Criterion = LOSS) -> Ranking:
    """Rank candidates that were run with the same seeds.

    Some may have been repeated with more seeds than others: two are compared over the seeds
    that both have. The noise is that of the repeats' paired differences; where there are none,
    it is guessed from the raggedness of the curves' ends, from the losses' fall and from the size
    of the validation set.

    Args:
        candidates: Results by label, one a seed, the seeds in the same order for all.
    """
    costs = {label: [by.at_end(r) for r in results] for label, results in candidates.items()}
    survived = {
        label: sum(len(r.curve) / r.trial.iterations for r in results) / len(results)
        for label, results in candidates.items()
    }
    scores = _scores(costs)
    order = tuple(sorted(candidates, key=lambda k: (scores[k], -survived[k])))
    best = order[0]
    if not math.isfinite(scores[best]):
        nothing = "no candidate came to its end"
        alone = (best,)
        return Ranking(
            order, best, scores, alone, alone, {}, math.nan, nothing, (nothing,), failed=True
        )
    single, degrees = noise_of_difference(candidates, costs, best, by)
    noises = {k: single / math.sqrt(min(len(costs[k]), len(costs[best]))) for k in order}
    # Student's quantile: the fewer repeats have shown the noise, the more of it a lead must be.
    quantile = float(t.ppf(1 - CHANCE, degrees)) if degrees else FAR
    fall = abs(typical_start(candidates[best], by) - scores[best])
    least = 0.0 if degrees else DOMINATED * fall

    def within(noises_apart: float, least: float = 0.0) -> tuple[str, ...]:
        most = {k: scores[best] + max(noises_apart * noises[k], least) for k in order}
        return tuple(k for k in order if scores[k] <= most[k])

    return Ranking(
        order=order,
        best=best,
        scores=scores,
        ties=within(quantile, least),
        near=within(1.0),
        noises=noises,
        noise=noises[best],
        reason=_in_words(order, scores, candidates, noises[best], by),
        warnings=(ALONE,) if len(candidates) == 1 else (),
        failed=False,
    )


def rank_survivors(
    candidates: Mapping[str, Sequence[TrialResult]], by: Criterion = LOSS
) -> Ranking:
    """Rank candidates of which one has to be chosen.

    Raises:
        StageError: Not one of them came to an end.
    """
    ranking = rank(candidates, by)
    if ranking.failed:
        results = [r for rs in candidates.values() for r in rs]
        lost = max(results, key=lambda r: list(Status).index(r.status))
        raise StageError(
            f"{lost.trial.stage}: all of {', '.join(candidates)} {lost.status}: "
            f"{lost.message or 'the loss was not finite'}; {_remedy(lost)}"
        )
    return ranking


def _remedy(lost: TrialResult) -> str:
    if lost.status is Status.FAILED:
        return f"logs/{lost.trial.id}.txt has what it said; mend that"
    return "lower the LR, or check model and data"


def dominated(
    candidates: Mapping[str, Sequence[TrialResult]], by: Criterion = LOSS
) -> tuple[str, ...]:
    """Return the candidates that cannot win any more, from what all did up to the same point.

    Those that lag behind the leader by far more than the noise and a good part of all that it
    has learned. The report's runs differ little before their LR falls, so few are cut.
    """
    ranking = rank(candidates, by)
    if ranking.failed:
        return ()
    means = {k: float(np.mean([by.at_end(r) for r in rs])) for k, rs in candidates.items()}
    leader = means[ranking.best]
    fall = typical_start(candidates[ranking.best], by) - leader
    margin = max(DOMINATED * fall, FAR * ranking.noise)
    return tuple(k for k, mean in means.items() if leader + margin < mean < math.inf)


def _in_words(
    order: Sequence[str],
    scores: Mapping[str, float],
    candidates: Mapping[str, Sequence[TrialResult]],
    noise: float,
    by: Criterion,
) -> str:
    """Return a ranking as one sentence, and all values after it."""
    best, seeds = order[0], len(candidates[order[0]])
    shown = {
        label: by.shown(scores[label])
        if math.isfinite(scores[label])
        else _worst(candidates[label])
        for label in order
    }
    if len(order) == 1:
        return f"{best} was compared with nothing; it reached validation {by.name} {shown[best]}"
    told = (
        f"over {seeds} seeds"
        if seeds > 1
        else "guessed from the curves of one seed, which alone cannot tell"
    )
    values = [
        f"{label}: {value}" + ", stopped early" * (candidates[label][0].status is Status.PRUNED)
        for label, value in shown.items()
    ]
    return (
        f"{best} was best of {len(order)} by validation {by.name}, {shown[best]} against "
        f"{shown[order[1]]}; the noise is {noise:.2g}, {told} ({', '.join(values)})"
    )


def _worst(results: Sequence[TrialResult]) -> Status:
    """Return how the trials of a candidate ended, the worst of them."""
    return max((r.status for r in results), key=list(Status).index)


def _scores(costs: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return a mean cost a candidate, on the footing of the one with the most seeds."""
    means = {label: float(np.mean(values)) for label, values in costs.items()}
    reference = min(costs, key=lambda label: (-len(costs[label]), means[label]))
    mean, shared = means[reference], costs[reference]
    if not math.isfinite(mean):
        return means
    return {
        label: mean + float(np.mean(values) - np.mean(shared[: len(values)]))
        for label, values in costs.items()
    }


def comparison(
    candidates: Mapping[str, Sequence[TrialResult]],
    by: Criterion,
    decision: Decision,
    *,
    columns: Sequence[str],
    chosen: str | None,
    interval: tuple[float, float] | None = None,
) -> Comparison:
    """Return what a decision compared, as a record: the very numbers by which `rank` ranks.

    Args:
        decision: On what was compared.
        columns: The columns of results.csv that the candidates set.
        chosen: Label of the candidate that was decided for.
        interval: Plausible bounds of the value.
    """
    ranking = rank(candidates, by)
    return Comparison(
        stage=decision.stage,
        parameter=decision.parameter,
        by=by.name,
        higher_is_better=by.higher_is_better,
        candidates=tuple(
            candidate(
                label,
                results,
                by,
                columns,
                score=ranking.scores[label],
                best=ranking.scores[ranking.best],
                noise=ranking.noises.get(label),
                tied=label in ranking.ties and not ranking.failed,
            )
            for label, results in candidates.items()
        ),
        best=None if ranking.failed else ranking.best,
        chosen=chosen,
        rule=decision.rule,
        noise=None if ranking.failed else ranking.noise,
        interval=interval,
        epochs=sum(
            r.epochs for rs in candidates.values() for r in rs if r.trial.stage == decision.stage
        ),
    )


def candidate(
    label: str,
    results: Sequence[TrialResult],
    by: Criterion,
    columns: Sequence[str],
    *,
    score: float,
    best: float,
    tied: bool,
    noise: float | None = None,
) -> Candidate:
    """Return one candidate of a comparison, as a record; its score and the best one are costs."""
    row, ended = result_row(results[0]), math.isfinite(score)
    return Candidate(
        label=label,
        values={column: row.get(column) for column in columns},
        trials=tuple(r.trial.id for r in results),
        seeds=tuple(r.trial.seed for r in results),
        scores=tuple(by.value(by.at_end(r)) for r in results),
        score=by.value(score),
        difference=max(0.0, score - best) if ended else None,
        noise=noise if ended else None,
        tied=tied,
        status=_worst(results),
        epochs=sum(r.epochs for r in results),
    )
