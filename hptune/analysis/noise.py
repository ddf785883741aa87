"""How far two paired runs of equal candidates lie apart: guessed from curves, corrected by repeats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hptune.analysis.criterion import Criterion
from hptune.analysis.smoothing import FEW_EXAMPLES, FloatArray, sampling_error
from hptune.results.records import TrialResult

# Of how far the losses came down: below this two runs of one seed cannot be told apart.
FLOOR = 0.005
# Seeds that the noise guessed from the curves is worth when seeds speak too.
GUESS_WEIGHT = 2.0


def noise_of_difference(
    candidates: Mapping[str, Sequence[TrialResult]],
    costs: Mapping[str, Sequence[float]],
    best: str,
    by: Criterion,
) -> float:
    """Return the standard deviation of the difference between two candidates, for one seed.

    Args:
        costs: What each of them reached, as `by` judges it.
        best: Label of the leader, whose costs are finite.
    """
    finite = {k: values for k, values in costs.items() if all(map(math.isfinite, values))}
    end = float(np.mean(costs[best]))
    fall = abs(typical_start(candidates[best], by) - end)
    guess = max(
        FLOOR * fall,
        _jitter_at_end([by.known_evaluations(r.curve) for k in finite for r in candidates[k]]),
    )
    if by.examples:
        # What nets have not learned, paired runs share, so only the fall is uncertain. Over few
        # examples that cannot be relied on.
        uncertain = end if by.examples < FEW_EXAMPLES else min(abs(end), fall)
        guess = max(guess, sampling_error(uncertain, by.examples))
    squares, degrees = 0.0, 0  # of the paired differences from the best
    for label, values in finite.items():
        n = min(len(values), len(costs[best]))
        if label != best and n > 1:
            squares += float(np.var(np.subtract(values[:n], costs[best][:n]))) * n
            degrees += n - 1
    pooled = math.sqrt((GUESS_WEIGHT * guess**2 + squares) / (GUESS_WEIGHT + degrees))
    return max(FLOOR * fall, pooled)


def _jitter_at_end(evaluations: Sequence[FloatArray]) -> float:
    """Return the standard deviation of the last evaluation, guessed from the last two or three.

    The step between two of them holds the trend as well; the bend of three has less of it but
    goes back to where the LR was higher and the curve noisier. The smaller of both is taken.
    """
    # The median of |N(0, 1)| is 0.6745; a step has twice an evaluation's variance, a bend six times.
    steps = [abs(float(np.diff(e[-2:])[0])) / math.sqrt(2) for e in evaluations if len(e) > 1]
    bends = [abs(float(np.diff(e[-3:], 2)[0])) / math.sqrt(6) for e in evaluations if len(e) > 2]
    return min((float(np.median(v)) / 0.6745 for v in (steps, bends) if v), default=0.0)


def typical_start(results: Sequence[TrialResult], by: Criterion) -> float:
    """Return the median cost at the start of runs; 0 where none is known."""
    starts = [value for r in results if not math.isnan(value := by.start(r))]
    return float(np.median(starts or [0.0]))
