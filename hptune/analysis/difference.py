"""The difference between two runs over their seeds, and between which ends it lies."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

SURE = 0.95  # probability


@dataclass(frozen=True)
class Difference:
    """How much more one run reached than another.

    Attributes:
        mean: Of the scores of the one, less that of the other.
        noise: Its standard error; None where seeds do not tell it.
        low, high: Ends between which it lies; None likewise.
        how: How it was judged, in words.
    """

    mean: float
    noise: float | None
    low: float | None
    high: float | None
    how: str

    @property
    def is_clear(self) -> bool:
        """Whether both ends lie on one side of 0."""
        return self.low is not None and self.high is not None and self.low * self.high > 0


def difference(
    one: Mapping[int, float], other: Mapping[int, float], *, paired: bool, sure: float = SURE
) -> Difference:
    """Compare two runs by their scores.

    Args:
        one, other: The score of each seed that came to its end; both have one at least.
        paired: Whether both ran the same seeds: then each seed is compared with itself. Else
            Welch's test, which takes neither equal noise nor equal numbers for granted.
        sure: Probability with which the difference lies between the ends.

    Source: Welch 1947; the quantiles are Student's, as a handful of seeds asks for.
    """
    common = sorted(one.keys() & other.keys()) if paired else []
    mean = statistics.fmean(one.values()) - statistics.fmean(other.values())
    if len(common) > 1:
        own = [one[seed] - other[seed] for seed in common]
        mean, variance = statistics.fmean(own), statistics.variance(own) / len(own)
        degrees, how = len(own) - 1.0, f"paired over {len(own)} seeds"
    elif not paired and min(len(one), len(other)) > 1:
        parts = [(statistics.variance(s.values()) / len(s), len(s) - 1) for s in (one, other)]
        variance = sum(part for part, _ in parts)
        degrees = variance**2 / (sum(p**2 / d for p, d in parts) or math.inf)
        how = f"Welch's test, {len(one)} and {len(other)} seeds"
    else:
        return Difference(mean, None, None, None, "one seed does not tell")
    if variance == 0:
        # Seeds that agree to the last digit are few, or hardly differ: no noise can be read off them.
        same = "no difference" if mean == 0 else "the seeds agree too closely to tell the noise"
        return Difference(mean, None, None, None, f"{how}; {same}")
    from scipy.special import stdtrit

    noise = math.sqrt(variance)
    half = float(stdtrit(degrees, (1 + sure) / 2)) * noise
    return Difference(mean, noise, mean - half, mean + half, how)
