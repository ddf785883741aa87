"""Readings of made curves: invariance, spikes, divergence, and never an empty answer."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hptune.analysis.diagnose import diagnose, diagnose_curve
from hptune.analysis.fitting import read_training
from hptune.analysis.lr_range import read_lr_range
from hptune.analysis.ranking import rank
from hptune.analysis.rules import named_rules
from hptune.analysis.smoothing import noise_of, smooth, width_of
from hptune.errors import InputError
from hptune.results.records import Curve, Status, Trial, TrialResult
from hptune.stages import SWEEP


def curve(lr, train, val, **metrics) -> Curve:
    n = len(lr)
    blank = np.full(n, np.nan)
    return Curve(
        iteration=np.arange(n),
        epoch=blank,
        lr=np.asarray(lr, dtype=float),
        momentum=blank,
        weight_decay=blank,
        train_loss=np.asarray(train, dtype=float),
        val_loss=np.asarray(val, dtype=float),
        metrics=metrics,
        seconds=blank,
    )


def u_shape(n=200, turn=0.1, noise=0.0, seed=0, low=1e-5, high=10.0):
    """A loss that falls from 2.3 over three decades, and explodes from `turn` on."""
    lr = low * (high / low) ** (np.arange(n) / (n - 1))
    loss = 2.3 - 2.0 / (1 + (turn / 30 / lr) ** 1.5) + 4 * np.maximum(0, np.log10(lr / turn)) ** 2
    return lr, loss + noise * np.random.default_rng(seed).normal(size=n)


SEEDS_DISAGREE = """
import numpy as np
from hptune.analysis.lr_range import read_lr_range
from hptune.results.records import Curve
n = 100
lr, nothing = np.geomspace(1e-5, 10, n), np.full(n, np.nan)
def curve(loss):
    return Curve(np.arange(n), nothing, lr, nothing, nothing, loss, loss, {}, nothing)
flat, falling = np.full(n, 2.3), np.linspace(2.3, 0.5, n)
print(read_lr_range([curve(flat), curve(falling)]).verdict)
"""


def test_where_seeds_disagree_no_hash_decides():
    said = set()
    for seed in ("0", "1", "2", "3", "4", "5"):
        command = [sys.executable, "-c", SEEDS_DISAGREE]
        env = os.environ | {"PYTHONHASHSEED": seed}
        said.add(
            subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout
        )
    assert said == {"never-learns\n"}


def test_where_the_losses_disagree_the_reading_says_so_and_is_wider():
    lr, validation = u_shape(turn=0.03)
    _, training = u_shape(turn=0.6)
    alone, both = (
        read_lr_range([curve(lr, validation, validation)]),
        read_lr_range([curve(lr, training, validation)]),
    )
    assert both.lr_max == alone.lr_max and "training" not in alone.reason
    assert both.interval[0] == alone.interval[0] and both.interval[1] > 5 * alone.interval[1]
    assert "the training loss says 0." in both.reason


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.08])
@pytest.mark.parametrize("turn", [1e-3, 1e-2, 0.1])
@pytest.mark.parametrize("seed", range(3))
def test_the_maximum_lies_around_the_turn(noise: float, turn: float, seed: int):
    lr, loss = u_shape(turn=turn, noise=noise, seed=seed)
    reading = read_lr_range([curve(lr, loss, loss)])
    assert reading.verdict == "ok"
    assert turn / 4 <= reading.lr_max <= turn * 4
    assert reading.interval[0] <= reading.lr_max <= reading.interval[1]
    assert reading.lr_min == pytest.approx(reading.lr_max / 10)


@given(scale=st.floats(1e-3, 1e4), shift=st.floats(-1e3, 1e3), seed=st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_scale_and_shift_of_the_loss_do_not_move_the_reading(scale, shift, seed):
    lr, loss = u_shape(noise=0.02, seed=seed)
    loss = np.minimum(loss, 4.0)  # below divergence, whose rule may see the sign of the start
    plain = read_lr_range([curve(lr, loss, loss)])
    moved = read_lr_range([curve(lr, loss * scale + shift * scale, loss * scale + shift * scale)])
    assert moved.lr_lowest == pytest.approx(plain.lr_lowest, rel=0.35)
    assert moved.lr_max == pytest.approx(plain.lr_max, rel=0.5)


def test_an_early_spike_fools_nobody():
    lr, loss = u_shape(noise=0.01)
    clean = read_lr_range([curve(lr, loss, loss)])
    spiked = loss.copy()
    spiked[20], spiked[21] = 40.0, 0.1
    assert read_lr_range([curve(lr, spiked, spiked)]).lr_max == pytest.approx(clean.lr_max, rel=0.3)


def test_a_test_that_ends_too_early_says_so():
    lr, loss = u_shape(high=0.01, turn=1.0)
    assert read_lr_range([curve(lr, loss, loss)]).verdict == "still-improving"


def test_a_test_that_begins_too_high_says_so():
    lr = np.geomspace(1, 100, 60)
    loss = np.concatenate([[2.3] * 5, 2.3 * np.exp(np.arange(55))])
    reading = read_lr_range([curve(lr, loss, np.where(np.arange(60) % 10, np.nan, loss))])
    assert reading.verdict == "diverges-at-once" and reading.lr_max < 1


def test_a_net_that_never_learns_is_told_from_one_that_does():
    rng = np.random.default_rng(0)
    lr = np.geomspace(1e-5, 1, 120)
    flat = 2.3 + 0.05 * rng.normal(size=120)
    assert read_lr_range([curve(lr, flat, flat)]).verdict == "never-learns"


def test_seeds_are_read_together_and_their_spread_is_the_interval():
    curves = [
        curve(
            *(u_shape(turn=t, noise=0.02, seed=k) * 1)[0:1],
            *[u_shape(turn=t, noise=0.02, seed=k)[1]] * 2,
        )
        for k, t in enumerate((0.05, 0.1, 0.2))
    ]
    reading = read_lr_range(curves)
    single = [read_lr_range([c]).lr_max for c in curves]
    assert min(single) <= reading.lr_max <= max(single)
    assert reading.interval[0] <= min(single) and reading.interval[1] >= max(single)


@given(
    n=st.integers(1, 60),
    values=st.lists(
        st.one_of(st.floats(-1e6, 1e6), st.just(math.nan), st.just(math.inf)),
        min_size=60,
        max_size=60,
    ),
    blank=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_whatever_the_curve_the_suggestion_is_a_number_or_a_plain_no(n, values, blank):
    lr = np.geomspace(1e-4, 1, 60)[:n]
    loss = np.array(values[:n])
    val = np.full(n, np.nan) if blank else loss
    reading = read_lr_range([curve(lr, loss, val)])
    assert math.isfinite(reading.lr_max) and reading.lr_max > 0
    assert reading.reason and (reading.verdict == "ok" or reading.warnings)
    document = diagnose_curve(curve(lr, loss, val))
    assert document["verdict"] and document["reasons"]


# Training runs


def run(val, train=None, lr=None) -> Curve:
    n = len(val)
    return curve(
        np.linspace(1, 0.01, n) if lr is None else lr,
        val if train is None else train,
        val,
    )


def test_the_three_shapes_of_a_run():
    x = np.linspace(0, 1, 50)
    falling, train = 2.3 - 1.5 * x, 2.3 - 1.6 * x
    assert read_training(run(falling, train)).verdict == "underfit"
    flat = 0.5 + 1.8 * np.exp(-12 * x)
    assert read_training(run(flat, flat - 0.1)).verdict == "balanced"
    turning = flat + 0.8 * np.maximum(0, x - 0.4)
    assert read_training(run(turning, flat - 0.4 * x)).verdict == "overfit"


@pytest.mark.parametrize("offset", [0.0, -10.0, 1e4])
def test_the_shapes_hold_for_losses_of_any_level(offset: float):
    x = np.linspace(0, 1, 50)
    falling = 2.3 - 1.5 * x + offset
    assert read_training(run(falling, falling)).verdict == "underfit"
    turning = 0.5 + 1.8 * np.exp(-12 * x) + 0.8 * np.maximum(0, x - 0.4) + offset
    train = 0.5 + 1.8 * np.exp(-12 * x) - 0.3 * x + offset
    assert read_training(run(turning, train)).verdict == "overfit"


@pytest.mark.parametrize("end", [np.inf, 1e6])
def test_divergence_is_found_where_it_happens(end: float):
    loss = np.concatenate([2.3 - np.linspace(0, 1, 30), np.full(20, end)])
    reading = read_training(run(loss))
    assert reading.verdict == "diverged" and 30 <= reading.diverged_at <= 34


def test_advice_comes_with_every_verdict_that_asks_for_a_change():
    x = np.linspace(0, 1, 50)
    assert "train longer" in read_training(run(2.3 - 1.5 * x)).advice[0]


def test_five_points_get_an_answer_and_four_a_clear_no():
    assert read_training(run(np.array([2.0, 1.0, 0.6, 0.5, 0.5]))).verdict != "cannot-say"
    reading = read_training(run(np.array([2.0, 1.0, 0.6, 0.5])))
    assert reading.verdict == "cannot-say" and "4 values" in reading.reasons[0]


# Any tool's file


@pytest.mark.parametrize(
    ("text", "kind", "verdict"),
    [
        (
            "step,learning_rate,loss\n"
            + "".join(f"{i},{1e-4 * 1.2**i},{2.3 - 0.05 * i}\n" for i in range(40)),
            "lr-range",
            "underfit",
        ),
        (
            "Step,val_loss\n" + "".join(f"{i},{2.3 - 0.02 * i}\n" for i in range(40)),
            "training",
            "underfit",
        ),
        (
            "Step,a run - val/loss,a run - val/loss__MIN\n"
            + "".join(f"{i},{2.3 - 0.02 * i},0.1\n" for i in range(40)),
            "training",
            "underfit",
        ),
        (
            "step;lr;loss\n"
            + "".join(f"{i};{1e-4 * 1.2**i};{2.3 - 0.05 * i}\n" for i in range(40)).replace(
                ".", ","
            ),
            "lr-range",
            "underfit",
        ),
        (
            "epoch,val_loss\n" + "".join(f"{i},{max(60 - i, i)}\n" for i in range(50)),
            "training",
            "overfit",
        ),
        (
            "epoch,test_error\n" + "".join(f"{i},{60 - i if i < 30 else i}\n" for i in range(60)),
            "training",
            "overfit",
        ),
        (
            "lr,test_accuracy\n"
            + "".join(
                f"{0.01 * i},{50 + min(i, 60) / 2 if i < 80 else 10}\n" for i in range(1, 99)
            ),
            "lr-range",
            "balanced",
        ),
        ("epoch,train_loss,valid_loss\n0,2.3,2.3\n1,nan,\n2,nan,\n", "training", "diverged"),
        ("iteration,lr,train_loss,val_loss\n1,0.1,2.0,\n2,0.1,1.9,2.0\n", "training", "cannot-say"),
    ],
)
def test_files_of_other_tools(text: str, kind: str, verdict: str, tmp_path: Path):
    path = tmp_path / "c.csv"
    path.write_text(text)
    document = diagnose(path)
    assert (document["kind"], document["verdict"]) == (kind, verdict)
    assert set(document) == {
        "kind",
        "verdict",
        "lr_min",
        "lr_max",
        "diverged_at_iteration",
        "reasons",
        "advice",
    }


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00", b"a,b\n1,2\n"])
def test_a_file_that_is_no_table_of_measures_is_an_input_error(
    content: bytes | None, tmp_path: Path
):
    path = tmp_path / "c.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="must be a CSV with a header"):
        diagnose(path)


# Ranking


def result(
    label: float, losses: list[float | None], seed: int, status=Status.COMPLETE
) -> TrialResult:
    values = np.array([np.nan if v is None else v for v in losses])
    trial = Trial(
        stage=SWEEP,
        task="t",
        seed=seed,
        iterations=len(values),
        batch_size=1,
        lr=label,
        momentum=0.9,
        weight_decay=0.0,
    )
    return TrialResult(
        trial=trial,
        status=status,
        data="d",
        model="m",
        device="cpu",
        started="",
        epochs=1.0,
        seconds=1.0,
        curve=curve([label] * len(values), values, values),
        val_loss=losses[-1],
    )


def falling(end: float) -> list[float]:
    return list(end + (2.3 - end) * np.exp(-np.linspace(0, 8, 40)))


def test_the_lowest_loss_wins_and_close_ones_tie():
    ranking = rank(
        {
            "a": [result(1, falling(0.5), 0)],
            "b": [result(2, falling(0.505), 0)],
            "c": [result(3, falling(0.9), 0)],
            "d": [result(4, falling(1.5), 0)],
        }
    )
    assert ranking.best == "a" and ranking.near == ("a", "b") and ranking.order[-1] == "d"
    assert ranking.ties == ("a", "b", "c")  # one seed tells only what is far behind


def test_diverged_candidates_come_last_and_all_of_them_is_said():
    bad = result(2, [2.3, 9.0], 0, Status.DIVERGED)
    ranking = rank({"bad": [bad], "good": [result(1, falling(0.5), 0)]})
    assert ranking.order == ("good", "bad") and not ranking.failed
    assert "bad: diverged" in ranking.reason
    assert rank({"bad": [bad]}).failed


def test_seeds_give_the_noise_of_paired_differences():
    # Seeds differ by much, candidates by the same 0.1 on each: paired, that is no tie.
    levels = (0.5, 0.9, 1.3, 0.7)
    clear = rank(
        {
            "a": [result(1, falling(v), k) for k, v in enumerate(levels)],
            "b": [result(2, falling(v + 0.1), k) for k, v in enumerate(levels)],
        }
    )
    assert clear.ties == ("a",)
    wild = rank(
        {
            "a": [result(1, falling(v), k) for k, v in enumerate(levels)],
            "b": [result(2, falling(v), k) for k, v in enumerate((0.9, 0.6, 1.2, 0.8))],
        }
    )
    assert set(wild.ties) == {"a", "b"}


@given(shift=st.floats(-50, 50), scale=st.floats(0.01, 100))
@settings(max_examples=30, deadline=None)
def test_the_order_does_not_depend_on_level_or_unit_of_the_loss(shift, scale):
    def make(end):
        return [v * scale + shift for v in falling(end)]

    ranking = rank(
        {
            k: [result(i, make(e), 0)]
            for i, (k, e) in enumerate((("a", 0.5), ("b", 0.504), ("c", 1.1)))
        }
    )
    assert ranking.order == ("a", "b", "c")
    assert set(ranking.near) == set(ranking.ties) == {"a", "b"}


# Smoothing and the named rules


def test_noise_is_the_standard_deviation_around_the_course():
    rng = np.random.default_rng(0)
    values = np.linspace(0, 50, 4000) + 0.3 * rng.normal(size=4000)
    assert noise_of(values) == pytest.approx(0.3, rel=0.1)


def test_smoothing_keeps_length_and_lets_a_spike_leave_no_trace():
    values = np.linspace(1, 0, 60)
    values[30] = 99
    assert len(smooth(values)) == 60
    assert smooth(values).max() <= 1.0


@pytest.mark.parametrize("points", [3, 7, 60, 501])
def test_smoothing_is_a_median_and_then_a_mean_whatever_stands_beside(points: int):
    values = np.random.default_rng(0).normal(size=points).cumsum()
    values[points // 3 : points // 2] = 1e30  # leaves no rounding where it is far
    half = width_of(points) // 2
    medians = np.array([np.median(values[max(k - half, 0) : k + half + 1]) for k in range(points)])
    padded = np.pad(medians, half, mode="edge")
    means = [padded[k : k + 2 * half + 1].mean() for k in range(points)]
    assert smooth(values) == pytest.approx(means, rel=1e-12)


def test_the_named_rules_find_values_within_the_test():
    lr, loss = u_shape(n=120, noise=0.01)
    rules = named_rules(lr, loss)
    assert set(rules) == {"valley", "steep", "minimum", "slide"}
    assert all(lr[0] / 10 <= value <= lr[-1] for value in rules.values())
