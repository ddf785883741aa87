"""The difference of two runs over their seeds, against scipy's own tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hptune.analysis.difference import difference

A = {0: 0.91, 1: 0.93, 2: 0.92, 3: 0.95}
B = {0: 0.90, 1: 0.915, 2: 0.91, 3: 0.935}


def test_the_same_seeds_are_compared_in_pairs():
    found = difference(A, B, paired=True)
    by_scipy = stats.ttest_rel(list(A.values()), list(B.values())).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((by_scipy.low, by_scipy.high))
    assert found.mean == pytest.approx(0.0125) and found.is_clear
    assert found.how == "paired over 4 seeds"


def test_other_seeds_are_compared_by_welch():
    other = {7: 0.90, 8: 0.94, 9: 0.89}
    found = difference(A, other, paired=False)
    by_scipy = stats.ttest_ind(list(A.values()), list(other.values()), equal_var=False)
    ends = by_scipy.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))
    assert not found.is_clear and "Welch" in found.how


def test_of_paired_runs_only_the_seeds_that_both_finished_count():
    found = difference(A, {0: 0.90, 1: 0.915}, paired=True)
    assert found.mean == pytest.approx(np.mean([0.01, 0.015])) and "2 seeds" in found.how


@pytest.mark.parametrize(
    ("one", "other", "paired"),
    [({0: 0.9}, {0: 0.8}, True), ({0: 0.9}, {1: 0.8, 2: 0.7}, False), (A, {0: 0.1}, True)],
)
def test_one_seed_cannot_tell(one: dict[int, float], other: dict[int, float], paired: bool):
    found = difference(one, other, paired=paired)
    assert found.noise is None and not found.is_clear and "one seed" in found.how


def test_seeds_that_all_differ_by_the_same_tell_no_noise():
    found = difference({0: 0.5, 1: 0.75}, {0: 0.25, 1: 0.5}, paired=True)
    assert found.mean == 0.25 and not found.is_clear and "too closely" in found.how
    assert "no difference" in difference(A, A, paired=True).how


def test_intervals_of_equal_runs_cover_zero_as_often_as_they_say():
    rng, missed = np.random.default_rng(0), 0
    for _ in range(400):
        one, other = rng.normal(0, 1, 4), rng.normal(0, 3, 3)
        missed += difference(dict(enumerate(one)), dict(enumerate(other)), paired=False).is_clear
    assert 4 <= missed <= 36  # 20 expected
