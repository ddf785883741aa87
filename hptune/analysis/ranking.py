"""Which of several paired candidates is better, and which differences are only noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hptune.analysis.smoothing import noise_of
from hptune.errors import StageError
from hptune.results.records import Status, TrialResult

# Of how far the losses came down: below this two runs of one seed cannot be told apart.
FLOOR = 0.005
SIGNIFICANT = 2.0  # noises between two candidates that differ


@dataclass(frozen=True)
class Ranking:
    """Candidates by their validation loss at the end of the run.

    Attributes:
        order: Labels, the best first; diverged ones last, those that lasted longer before others.
        best: The first of the order.
        ties: Labels that the noise does not tell from the best, the best among them.
        noise: Standard deviation of a difference between two candidates.
        reason: The losses and the noise in words.
        warnings: What speaks against trusting the order.
        failed: Whether no candidate came to an end.
    """

    order: tuple[str, ...]
    best: str
    ties: tuple[str, ...]
    noise: float
    reason: str
    warnings: tuple[str, ...]
    failed: bool


def rank(candidates: Mapping[str, Sequence[TrialResult]]) -> Ranking:
    """Rank candidates that were run with the same seeds.

    Several seeds give the noise from the paired differences; a single one from the
    raggedness of the curves' ends, and never less than `FLOOR` of the losses' fall.

    Args:
        candidates: Results by label, one a seed, the seeds in the same order for all.
    """
    losses = {label: _losses(results) for label, results in candidates.items()}
    survived = {
        label: sum(len(r.curve) / r.trial.iterations for r in results) / len(results)
        for label, results in candidates.items()
    }
    means = {label: float(np.mean(values)) for label, values in losses.items()}
    order = sorted(candidates, key=lambda k: (means[k], -survived[k]))
    best = order[0]
    if not math.isfinite(means[best]):
        return Ranking(
            tuple(order),
            best,
            (best,),
            math.nan,
            "every candidate diverged",
            ("every candidate diverged",),
            failed=True,
        )
    noise = _noise(candidates, losses, best)
    ties = tuple(k for k in order if means[k] - means[best] <= SIGNIFICANT * noise)
    shown = ", ".join(
        f"{k}: {means[k]:.4g}" if math.isfinite(means[k]) else f"{k}: diverged" for k in order
    )
    seeds = len(losses[best])
    reason = (
        f"validation loss {shown}; noise {noise:.2g} "
        f"({f'{seeds} seeds' if seeds > 1 else 'from the curves, one seed'})"
    )
    return Ranking(tuple(order), best, ties, noise, reason, (), failed=False)


def rank_survivors(candidates: Mapping[str, Sequence[TrialResult]]) -> Ranking:
    """Rank candidates of which one has to be chosen.

    Raises:
        StageError: Not one of them came to an end.
    """
    ranking = rank(candidates)
    if ranking.failed:
        first = next(iter(candidates.values()))[0]
        raise StageError(
            f"{first.trial.stage}: all of {', '.join(candidates)} {first.status}: "
            f"{first.message or 'the loss was not finite'}; lower the LR, or check model and data"
        )
    return ranking


def _losses(results: Sequence[TrialResult]) -> list[float]:
    return [
        r.val_loss
        if r.status in (Status.COMPLETE, Status.PRUNED)
        and r.val_loss is not None
        and math.isfinite(r.val_loss)
        else math.inf
        for r in results
    ]


def _noise(
    candidates: Mapping[str, Sequence[TrialResult]], losses: Mapping[str, list[float]], best: str
) -> float:
    finite = {k: v for k, v in losses.items() if all(map(math.isfinite, v))}
    start = np.median([r.curve.train_loss[0] for r in candidates[best] if len(r.curve)])
    floor = FLOOR * abs(float(start) - float(np.mean(losses[best])))
    differences = [
        np.subtract(values, losses[best]) for label, values in finite.items() if label != best
    ]
    if len(losses[best]) > 1 and differences:
        # Pooled over the candidates: a handful of seeds alone says little of the spread.
        spread = math.sqrt(float(np.mean([np.var(d, ddof=1) for d in differences])))
        return max(floor, spread / math.sqrt(len(losses[best])))
    ends = [_end_noise(r) for label in finite for r in candidates[label]]
    return max(floor, float(np.median(ends)))


def _end_noise(result: TrialResult) -> float:
    values = result.curve.val_loss
    values = values[np.isfinite(values)]
    return noise_of(values[-max(5, len(values) // 4) :])
