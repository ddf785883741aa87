"""The named rule for divergence: NaN, infinity, zero, negative losses, and any blocking."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hptune.results.divergence import DivergenceMonitor, diverged_at


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, 3, 40])
def test_a_loss_that_is_no_number_diverges_there(bad: float, at: int):
    losses = [2.3] * 50
    losses[at] = bad
    assert diverged_at(losses) == at


@pytest.mark.parametrize("start", [2.3, 1e4, 1e-6, -5.0])
def test_a_rise_far_above_the_start_diverges_soon(start: float):
    high = start + 20 * max(abs(start), 1.0)
    losses = [start] * 20 + [high] * 20
    at = diverged_at(losses)
    assert at is not None and 20 <= at <= 30


def test_losses_from_zero_and_below_do_not_diverge_by_falling():
    assert diverged_at(list(np.linspace(0, -100, 200))) is None
    assert diverged_at(list(np.linspace(5, -5, 200))) is None


def test_one_bad_batch_is_no_divergence():
    losses = [2.3 - 0.01 * k for k in range(100)]
    losses[50] = 60.0
    assert diverged_at(losses) is None


@given(
    losses=st.lists(
        st.one_of(st.floats(-1e3, 1e5), st.sampled_from([math.nan, math.inf])), max_size=80
    ),
    cuts=st.lists(st.integers(0, 80), max_size=6),
)
def test_the_answer_does_not_depend_on_the_blocks(losses, cuts):
    expected = diverged_at(losses)
    monitor = DivergenceMonitor()
    found = None
    edges = sorted({0, len(losses), *(c for c in cuts if c < len(losses))})
    for begin, end in pairwise(edges):
        found = monitor.update(losses[begin:end])
        if found is not None:
            break
    assert found == expected


@pytest.mark.parametrize(("level", "noise"), [(0.1, 0.3), (0.0, 1.0), (-0.2, 0.5)])
def test_noisy_losses_around_zero_have_not_diverged(level: float, noise: float):
    wrong = 0
    for seed in range(100):
        losses = np.random.default_rng(seed).normal(level, noise, 1000)
        wrong += diverged_at(losses.tolist()) is not None
    assert wrong <= 2  # 16, and 5, before their spread counted
