"""Which of several paired candidates is better, and which differences are only noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hptune.analysis.smoothing import FEW_EXAMPLES, FloatArray, sampling_error
from hptune.errors import StageError
from hptune.results.records import Curve, Status, TrialResult

# Of how far the losses came down: below this two runs of one seed cannot be told apart.
FLOOR = 0.005
SIGNIFICANT = 1.0  # noises between two candidates that differ
CLEARLY = 3.0  # noises by which a candidate wins that short runs favour
# Seeds that the noise guessed from the curves is worth when seeds speak too.
GUESS_WEIGHT = 2.0
ALONE = "compared with nothing: the search's budget is spent; raise procedure.budget"
# Of the leader's fall: who lags this far behind at half of a run does not come back.
DOMINATED = 0.25
FAR = 4.0  # noises, beside


@dataclass(frozen=True)
class Criterion:
    """By what candidates are judged.

    Attributes:
        name: "loss", or a metric by its name; always of the validation set.
        higher_is_better: Of the metric.
        examples: In the validation set; None where it is not known.
    """

    name: str = "loss"
    higher_is_better: bool = False
    examples: int | None = None

    def __str__(self) -> str:
        return f"{'highest' if self.higher_is_better else 'lowest'} validation {self.name}"

    def at_end(self, result: TrialResult) -> float:
        """Return a result's value, as a cost; infinite where the run did not end with one."""
        value = result.val_loss if self.name == "loss" else result.val_metrics.get(self.name)
        ended = result.status in (Status.COMPLETE, Status.PRUNED)
        if not ended or value is None or not math.isfinite(value):
            return math.inf
        return self._sign * value

    def readings(self, curve: Curve) -> FloatArray:
        """Return a cost an iteration, NaN where none was read."""
        return self._sign * (curve.val_loss if self.name == "loss" else curve.metrics[self.name])

    def course(self, curve: Curve) -> FloatArray:
        """Return a curve's finite values, as costs."""
        values = self.readings(curve)
        return values[np.isfinite(values)]

    def start(self, result: TrialResult) -> float:
        """Return the cost at the start: the first reading, or the first training loss if lower.

        Some nets start far above the loss of guessing and are there after a few iterations: not
        that fall is what candidates share.
        """
        curve = result.curve
        first = self.course(curve)[:1].tolist()
        if self.name == "loss":
            first += curve.train_loss[:1].tolist()
        return min((value for value in first if math.isfinite(value)), default=math.nan)

    def shown(self, cost: float) -> str:
        """Return a cost as the user knows it."""
        return f"{self._sign * cost:.4g}" if math.isfinite(cost) else "diverged"

    @property
    def _sign(self) -> int:
        return -1 if self.higher_is_better else 1


LOSS = Criterion()


@dataclass(frozen=True)
class Ranking:
    """Candidates by what they reached at the end of the run.

    Attributes:
        order: Labels, the best first; diverged ones last, those that lasted longer before others.
        best: The first of the order.
        scores: Mean cost of each.
        ties: Labels that the noise does not tell from the best, the best among them.
        noise: Standard deviation of a difference between two candidates.
        reason: The losses and the noise in words.
        warnings: What speaks against trusting the order.
        failed: Whether no candidate came to an end.
    """

    order: tuple[str, ...]
    best: str
    scores: Mapping[str, float]
    ties: tuple[str, ...]
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
        return tuple(label for label in self.order if self.scores[label] <= most)


def rank(candidates: Mapping[str, Sequence[TrialResult]], by: Criterion = LOSS) -> Ranking:
    """Rank candidates that were run with the same seeds.

    Some may have been repeated with more seeds than others: two are compared over the seeds
    that both have. The noise is guessed from the raggedness of the curves' ends, from the
    losses' fall and from the size of the validation set; where there are repeats, their paired
    differences correct the guess.

    Args:
        candidates: Results by label, one a seed, the seeds in the same order for all.
        by: What is better.
    """
    costs = {label: [by.at_end(r) for r in results] for label, results in candidates.items()}
    survived = {
        label: sum(len(r.curve) / r.trial.iterations for r in results) / len(results)
        for label, results in candidates.items()
    }
    scores = _scores(costs)
    order = sorted(candidates, key=lambda k: (scores[k], -survived[k]))
    best = order[0]
    if not math.isfinite(scores[best]):
        nothing = "every candidate diverged"
        return Ranking(
            tuple(order), best, scores, (best,), math.nan, nothing, (nothing,), failed=True
        )
    single = _noise(candidates, costs, best, by)
    noises = {k: single / math.sqrt(min(len(costs[k]), len(costs[best]))) for k in order}
    ties = tuple(k for k in order if scores[k] - scores[best] <= SIGNIFICANT * noises[k])
    shown = ", ".join(_shown(k, scores[k], candidates[k], by) for k in order)
    seeds = len(costs[best])
    told = f"{seeds} seeds" if seeds > 1 else "from the curves, one seed"
    return Ranking(
        order=tuple(order),
        best=best,
        scores=scores,
        ties=ties,
        noise=noises[best],
        reason=f"validation {by.name} {shown}; noise {noises[best]:.2g} ({told})",
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
        first = next(iter(candidates.values()))[0]
        raise StageError(
            f"{first.trial.stage}: all of {', '.join(candidates)} {first.status}: "
            f"{first.message or 'the loss was not finite'}; lower the LR, or check model and data"
        )
    return ranking


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
    fall = _start(candidates[ranking.best], by) - leader
    margin = max(DOMINATED * fall, FAR * ranking.noise)
    return tuple(k for k, mean in means.items() if leader + margin < mean < math.inf)


def _shown(label: str, score: float, results: Sequence[TrialResult], by: Criterion) -> str:
    early = ", stopped early" if results[0].status is Status.PRUNED else ""
    return f"{label}: {by.shown(score)}{early}"


def _scores(costs: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return a mean cost a candidate, on the footing of the one with the most seeds."""
    most = max(len(values) for values in costs.values())
    reference = min(
        (label for label in costs if len(costs[label]) == most),
        key=lambda label: float(np.mean(costs[label])),
    )
    mean = float(np.mean(costs[reference]))
    if not math.isfinite(mean):
        return {label: float(np.mean(values)) for label, values in costs.items()}
    return {
        label: mean + float(np.mean(values) - np.mean(costs[reference][: len(values)]))
        for label, values in costs.items()
    }


def _noise(
    candidates: Mapping[str, Sequence[TrialResult]],
    costs: Mapping[str, Sequence[float]],
    best: str,
    by: Criterion,
) -> float:
    """Return the standard deviation of a paired difference of one seed."""
    finite = [k for k, values in costs.items() if all(map(math.isfinite, values))]
    end = float(np.mean(costs[best]))
    fall = abs(_start(candidates[best], by) - end)
    guess = max(
        FLOOR * fall, _end_noise([by.course(r.curve) for k in finite for r in candidates[k]])
    )
    if by.examples:
        # What nets have not learned, paired runs share; over few examples that cannot be relied on.
        own = end if by.examples < FEW_EXAMPLES else min(abs(end), fall)
        guess = max(guess, sampling_error(own, by.examples))
    repeated = [k for k in finite if k != best and min(len(costs[k]), len(costs[best])) > 1]
    squares, degrees = 0.0, 0
    for k in repeated:
        n = min(len(costs[k]), len(costs[best]))
        differences = np.subtract(costs[k][:n], costs[best][:n])
        squares += float(np.var(differences)) * n
        degrees += n - 1
    spread = math.sqrt((GUESS_WEIGHT * guess**2 + squares) / (GUESS_WEIGHT + degrees))
    return max(FLOOR * fall, spread)


def _start(results: Sequence[TrialResult], by: Criterion) -> float:
    starts = [value for r in results if not math.isnan(value := by.start(r))]
    return float(np.median(starts or [0.0]))


def _end_noise(courses: Sequence[FloatArray]) -> float:
    """Return the standard deviation of the last reading, guessed from the last two or three.

    The step between two of them holds the trend as well, the bend of three has less of it but
    goes back to where the LR was higher and the curve noisier: the smaller of both.
    """
    # The median of |N(0, 1)| is 0.6745; a step has twice a reading's variance, a bend six times.
    steps = [abs(float(np.diff(c[-2:])[0])) / math.sqrt(2) for c in courses if len(c) > 1]
    bends = [abs(float(np.diff(c[-3:], 2)[0])) / math.sqrt(6) for c in courses if len(c) > 2]
    return min((float(np.median(v)) / 0.6745 for v in (steps, bends) if v), default=0.0)
