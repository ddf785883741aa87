"""The model of all trials: what it says holds on laws whose answer is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from hptune.analysis.proposals import Region, propose
from hptune.analysis.response_surface import ResponseSurface, Setting, along

BEST = Setting(lr=0.03, momentum=0.9, weight_decay=1e-3, batch_size=64)
REGION = Region(
    lr=(1e-3, 1.0), momentum=(0.5, 0.99), weight_decay=(1e-5, 1e-1), batch_sizes=(32, 64, 128)
)


def law(setting: Setting) -> float:
    """A valley along LR / (1 - momentum), a weaker one in weight decay, and runs that go on falling."""
    effective = math.log(setting.lr / (1 - setting.momentum) / 0.3) / math.log(10)
    decay = math.log10(max(setting.weight_decay, 1e-6) / 1e-3)
    return 0.3 + 0.2 * effective**2 + 0.01 * decay**2 - 0.1 * math.log(setting.length)


def drawn(count: int, seed: int = 0) -> list[Setting]:
    rng = np.random.default_rng(seed)
    return REGION.at(rng.uniform(size=(count, 4)))


@pytest.fixture(scope="module")
def surface() -> ResponseSurface:
    settings = drawn(24)
    return ResponseSurface(settings, [law(s) for s in settings])


def test_predictions_and_probabilities_follow_the_law(surface: ResponseSurface):
    settings = drawn(60, seed=1)
    mean, sd = surface.predict(settings)
    truth = np.array([law(s) for s in settings])
    usual = truth < np.median(truth)
    assert np.corrcoef(mean[usual], truth[usual])[0, 1] > 0.9
    assert np.mean(np.abs(mean - truth)[usual] < 3 * sd[usual] + 0.01) > 0.9
    assert surface.probability(BEST, replace(BEST, lr=0.3)) > 0.95
    assert surface.probability(replace(BEST, lr=0.3), BEST) < 0.05


def test_the_interval_holds_the_best_value_and_the_line_has_its_valley_there(
    surface: ResponseSurface,
):
    values = along(1e-3, 1.0)
    low, high = surface.interval("lr", BEST, values)
    assert 0.003 < low <= 0.03 <= high < 0.3
    line = surface.line("lr", BEST, values)
    assert low <= line.values[line.mean.argmin()] <= high
    assert (line.low <= line.mean + 1e-9).all() and (line.mean <= line.high + 1e-9).all()


@pytest.mark.parametrize(("scale", "shift"), [(1e-6, 0.0), (1e6, 0.0), (1.0, -1e3)])
def test_the_scale_and_the_sign_of_the_cost_do_not_matter(scale: float, shift: float):
    settings = drawn(12)
    costs = np.array([law(s) for s in settings])
    plain = ResponseSurface(settings, costs)
    moved = ResponseSurface(settings, scale * costs + shift)
    other = replace(BEST, lr=0.1)
    assert moved.probability(BEST, other) == pytest.approx(plain.probability(BEST, other), abs=1e-3)
    assert moved.predict([BEST])[0] == pytest.approx(
        scale * plain.predict([BEST])[0] + shift, rel=1e-3
    )


def test_diverged_and_huge_costs_say_where_not_to_look_and_bend_nothing():
    settings = drawn(20)
    costs = [law(s) for s in settings]
    wild = [replace(BEST, lr=lr) for lr in (3.0, 10.0, 30.0)]
    plain = ResponseSurface(settings, costs)
    more = ResponseSurface([*settings, *wild], [*costs, 1e12, math.inf, math.nan])
    assert more.predict([BEST])[0] == pytest.approx(plain.predict([BEST])[0], abs=0.03)
    assert more.probability(BEST, wild[0]) > 0.9


def test_a_few_trials_make_a_wide_but_usable_model():
    settings = [replace(BEST, lr=lr) for lr in (0.01, 0.03, 0.1)] + [
        replace(BEST, weight_decay=0.0)
    ]
    few = ResponseSurface(settings, [law(s) for s in settings])
    assert 0.0 < few.probability(settings[1], settings[0]) < 1.0
    proposed = propose(few, REGION, near=BEST)
    assert REGION.lr[0] <= proposed.lr <= REGION.lr[1]
    with pytest.raises(ValueError, match="4 at least"):
        ResponseSurface(settings[:3], [1.0, 2.0, 3.0])


def test_equal_costs_tell_nothing_apart():
    settings = drawn(8)
    same = ResponseSurface(settings, [0.5] * 8)
    assert same.probability(settings[0], settings[1]) == pytest.approx(0.5, abs=0.3)


def test_the_noise_is_read_from_repeats():
    rng = np.random.default_rng(0)
    settings = [replace(BEST, lr=lr) for lr in (0.01, 0.02, 0.03, 0.05)]
    quiet = ResponseSurface(settings * 4, [law(s) for s in settings] * 4)
    noisy = ResponseSurface(
        settings * 4, [law(s) + 0.1 * rng.standard_normal() for s in settings * 4]
    )
    assert noisy.predict([BEST])[1] > 2 * quiet.predict([BEST])[1]
    assert quiet.probability(settings[2], settings[0]) > 0.95
    assert noisy.probability(settings[2], settings[0]) < 0.95


def test_proposals_lie_in_the_region_are_new_and_close_in_on_the_best():
    settings, costs = drawn(6), []
    costs = [law(s) for s in settings]
    for step in range(20):
        near = settings[int(np.argmin(costs))]
        found = propose(ResponseSurface(settings, costs), REGION, near=near, seed=step)
        assert found not in settings
        settings.append(found)
        costs.append(law(found))
    assert min(costs) < 0.31
    for s in settings:
        assert REGION.lr[0] <= s.lr <= REGION.lr[1] and s.batch_size in REGION.batch_sizes
