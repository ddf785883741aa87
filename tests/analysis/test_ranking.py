"""Ranking beyond a single loss and seed: metrics, unequal repeats, small sets, the dominated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hptune.analysis.criterion import Criterion
from hptune.analysis.ranking import dominated, rank
from hptune.procedure.compare import MOST_SEEDS
from hptune.results.records import Curve, Status, Trial, TrialResult
from hptune.stages import SWEEP

ACCURACY = Criterion("accuracy", higher_is_better=True)


def result(
    loss: float,
    *,
    seed: int = 0,
    accuracy: float = 0.9,
    status: Status = Status.COMPLETE,
    start: float = 2.3,
) -> TrialResult:
    val = loss + (start - loss) * np.exp(-np.linspace(0, 12, 40))
    nothing = np.full(40, np.nan)
    return TrialResult(
        trial=Trial(
            stage=SWEEP, task="t", seed=seed, iterations=40, batch_size=8, lr=0.1,
            momentum=0.9, weight_decay=0.0,
        ),
        status=status, data="d", model="m", device="cpu", started="", epochs=1.0, seconds=1.0,
        curve=Curve(
            np.arange(40), nothing, nothing, nothing, nothing, val, val,
            {"accuracy": np.linspace(0.1, accuracy, 40)}, nothing,
        ),
        val_loss=loss, val_metrics={"accuracy": accuracy},
    )  # fmt: skip


def test_a_metric_judges_where_it_is_asked_for():
    candidates = {"a": [result(0.5, accuracy=0.8)], "b": [result(0.7, accuracy=0.9)]}
    assert rank(candidates).best == "a"
    by_accuracy = rank(candidates, ACCURACY)
    assert (
        by_accuracy.best == "b" and "by validation accuracy, 0.9 against 0.8" in by_accuracy.reason
    )
    assert str(ACCURACY) == "highest validation accuracy"


def test_candidates_with_unequal_repeats_are_compared_over_the_seeds_both_have():
    # Seed 1 is a hard one for everyone: "b" must not win by having been spared it.
    candidates = {
        "a": [result(0.50, seed=0), result(0.80, seed=1)],
        "b": [result(0.60, seed=0)],
    }
    assert rank(candidates).order == ("a", "b")


LEVELS = st.lists(st.floats(0.4, 1.5), min_size=4, max_size=4)


@given(gap=st.floats(0.02, 0.3), spread=st.floats(0.0, 0.5), levels=LEVELS)
@settings(max_examples=40, deadline=None)
def test_a_constant_advantage_wins_however_much_the_seeds_differ(gap, spread, levels):
    candidates = {
        "a": [result(level + spread * k, seed=k) for k, level in enumerate(levels)],
        "b": [result(level + spread * k + gap, seed=k) for k, level in enumerate(levels)],
    }
    assert rank(candidates).order == ("a", "b")


def test_a_small_validation_set_makes_a_tie_of_what_a_large_one_tells_apart():
    candidates = {"a": [result(0.50)], "b": [result(0.53)]}
    assert rank(candidates, Criterion(examples=10_000)).near == ("a",)
    assert rank(candidates, Criterion(examples=25)).near == ("a", "b")
    # Two nets that have hardly learned differ in what they guess, which few examples do not show.
    early = {"a": [result(1.05, start=1.1)], "b": [result(1.09, start=1.1)]}
    assert rank(early, Criterion(examples=1000)).near == ("a",)
    assert rank(early, Criterion(examples=27)).near == ("a", "b")


@pytest.mark.parametrize("count", [2, 3, 4, 5])
@pytest.mark.parametrize("seeds", [1, 2, 3, 4])
def test_of_equal_candidates_a_winner_is_seldom_named(count: int, seeds: int):
    random = np.random.default_rng(count * 10 + seeds)

    def named() -> bool:
        ends = 0.5 + 0.02 * random.normal(size=(count, seeds))
        candidates = {str(k): [result(v) for v in own] for k, own in enumerate(ends)}
        return len(rank(candidates, Criterion(examples=5000)).ties) == 1

    assert sum(named() for _ in range(200)) <= (0 if seeds == 1 else 29)  # 10 %, and its chance


def test_a_lead_of_twice_the_noise_is_found_with_as_many_seeds_as_ties_get():
    random = np.random.default_rng(0)

    def found() -> bool:
        ends = 0.5 + 0.02 * random.normal(size=(3, MOST_SEEDS))
        ends[1:] += 2 * 0.02 * 2**0.5  # the noise is that of a difference
        candidates = {str(k): [result(v) for v in own] for k, own in enumerate(ends)}
        return rank(candidates, Criterion(examples=5000)).ties == ("0",)

    assert sum(found() for _ in range(200)) >= 160


def test_repeats_can_make_the_noise_smaller_or_larger_than_the_guess():
    def noise(differences: list[float]) -> float:
        seeds = range(len(differences))
        return rank(
            {
                "a": [result(0.5, seed=k) for k in seeds],
                "b": [result(0.6 + d, seed=k) for k, d in zip(seeds, differences, strict=True)],
            },
            Criterion(examples=100),
        ).noise

    guess = noise([0.0])
    assert noise([0.0, 0.0, 0.0, 0.0]) < guess / 2
    assert noise([0.3, -0.3, 0.2, -0.2]) > 2 * guess


def test_only_one_candidate_is_no_comparison_and_says_so():
    assert "compared with nothing" in rank({"a": [result(0.5)]}).warnings[0]


def test_the_dominated_are_far_behind_and_never_all_of_them():
    candidates = {
        "leader": [result(0.5)],
        "behind": [result(0.8)],
        "lost": [result(2.0)],
        "diverged": [result(0.4, status=Status.DIVERGED)],
    }
    assert dominated(candidates) == ("lost",)
    assert dominated({"diverged": candidates["diverged"]}) == ()


@pytest.mark.parametrize("level", [-100.0, 0.0, 1e4])
def test_dominated_does_not_depend_on_the_losss_level(level: float):
    candidates = {
        k: [result(level + v, start=level + 2.3)] for k, v in (("a", 0.5), ("b", 0.8), ("c", 2.0))
    }
    assert dominated(candidates) == ("c",)
