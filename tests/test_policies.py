"""Policies against torch's schedulers iteration by iteration, and 1cycle against the author's runs."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from hptune.errors import InputError
from hptune.policies import POLICIES, schedule

N = 200


def test_the_policies_that_there_are():
    assert list(POLICIES) == [
        "1cycle", "1cycle-cosine", "1cycle-three-phase", "clr", "constant", "own", "step", "multistep",
        "exponential", "inv", "cosine", "cosine-restarts", "linear", "lr-range",
    ]  # fmt: skip


def torch_series(make, n: int = N, lr: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Return LR and momentum that a torch scheduler sets in n iterations."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)
    scheduler = make(optimizer)
    lrs, momenta = [], []
    for i in range(n):
        lrs.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        if i < n - 1:
            scheduler.step()
    return np.array(lrs), np.array(momenta)


@pytest.mark.parametrize("anneal", ["cos", "linear"])
@pytest.mark.parametrize("three", [False, True])
@pytest.mark.parametrize("pct_start", [0.3, 0.45])
def test_torch_one_cycle(anneal: str, three: bool, pct_start: float):
    lr, momentum = torch_series(
        lambda o: lr_scheduler.OneCycleLR(
            o, 0.4, total_steps=N, anneal_strategy=anneal, three_phase=three, pct_start=pct_start
        )
    )
    ours = schedule(
        "1cycle-three-phase" if three else "1cycle-cosine",
        N,
        lr=0.4,
        momentum=0.95,
        momentum_min=0.85,
        args={"anneal": anneal, "pct_start": pct_start},
    )
    np.testing.assert_allclose(ours.lr, lr, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.momentum, momentum, rtol=1e-9)


@given(
    iterations=st.integers(1, 150),
    pct_start=st.floats(0.05, 0.5),
    three=st.booleans(),
    anneal=st.sampled_from(["cos", "linear"]),
)
def test_torch_one_cycle_at_any_length(iterations: int, pct_start: float, three: bool, anneal: str):
    try:
        lr, momentum = torch_series(
            lambda o: lr_scheduler.OneCycleLR(
                o,
                0.4,
                total_steps=iterations,
                anneal_strategy=anneal,
                three_phase=three,
                pct_start=pct_start,
            ),
            iterations,
        )
    except ZeroDivisionError:  # torch's own, where a phase has no iteration
        return
    ours = schedule(
        "1cycle-three-phase" if three else "1cycle-cosine",
        iterations,
        lr=0.4,
        momentum=0.95,
        momentum_min=0.85,
        args={"anneal": anneal, "pct_start": pct_start},
    )
    np.testing.assert_allclose(ours.lr, lr, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(ours.momentum, momentum, rtol=1e-8)


@given(
    iterations=st.integers(1, 600), period=st.integers(2, 30), multiplier=st.sampled_from([1, 2, 3])
)
def test_torch_warm_restarts_at_any_length(iterations: int, period: int, multiplier: int):
    lr, _ = torch_series(
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, period, multiplier, 1e-3), iterations
    )
    args = {"period": period, "period_multiplier": multiplier}
    ours = schedule("cosine-restarts", iterations, lr=0.1, lr_min=1e-3, args=args)
    np.testing.assert_allclose(ours.lr, lr, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    ("mode", "theirs"),
    [("triangular", "triangular"), ("triangular2", "triangular2"), ("exp-range", "exp_range")],
)
def test_cyclic_lr(mode: str, theirs: str):
    lr, momentum = torch_series(
        lambda o: lr_scheduler.CyclicLR(
            o,
            0.01,
            0.1,
            step_size_up=30,
            mode=theirs,
            gamma=0.99,
            base_momentum=0.8,
            max_momentum=0.9,
        ),
    )
    ours = schedule(
        "clr",
        N,
        lr=0.1,
        lr_min=0.01,
        momentum=0.9,
        momentum_min=0.8,
        args={"mode": mode, "stepsize": 30, "gamma": 0.99},
    )
    np.testing.assert_allclose(ours.lr, lr, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.momentum, momentum, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "args", "lr_min", "make"),
    [
        ("constant", {}, None, lambda o: lr_scheduler.ConstantLR(o, 1.0)),
        ("step", {"stepsize": 40, "gamma": 0.3}, None, lambda o: lr_scheduler.StepLR(o, 40, 0.3)),
        (
            "multistep",
            {"milestones": [50, 120], "gamma": 0.2},
            None,
            lambda o: lr_scheduler.MultiStepLR(o, [50, 120], 0.2),
        ),
        (
            "exponential",
            {"gamma": 0.98, "period": "1 iterations"},
            None,
            lambda o: lr_scheduler.ExponentialLR(o, 0.98),
        ),
        (
            "inv",
            {"gamma": 1e-2, "power": 0.75},
            None,
            lambda o: lr_scheduler.LambdaLR(o, lambda i: (1 + 1e-2 * i) ** -0.75),
        ),
        ("cosine", {}, 0.001, lambda o: lr_scheduler.CosineAnnealingLR(o, N, 0.001)),
        (
            "cosine-restarts",
            {"period": 20, "period_multiplier": 2},
            0.001,
            lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 20, 2, 0.001),
        ),
        (
            "cosine-restarts",
            {"period": 30},
            None,
            lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 30),
        ),
        (
            "linear",
            {"start_factor": 0.25, "end_factor": 0.75, "length": 50},
            None,
            lambda o: lr_scheduler.LinearLR(o, 0.25, 0.75, 50),
        ),
        ("linear", {}, None, lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, N)),
    ],
)
def test_equals_torch(name: str, args: dict, lr_min: float | None, make):
    lr, _ = torch_series(make)
    np.testing.assert_allclose(
        schedule(name, N, lr=0.1, lr_min=lr_min, args=args).lr, lr, rtol=1e-6, atol=1e-12
    )


# The author's runs: (file, lr_min, lr, momentum, momentum_min, stepsize in iterations).
# Momentum "constant" where the log shows one value throughout.
AUTHOR = [
    ("wide32cifar_Wide1CycLR.1001CM0.95.85WD1e-4Epoch50BS128a_1", 0.1, 1.0, 0.95, 0.85),
    ("wide32cifar_Wide1CycLR.1001M0.95WD1e-5Epoch100BS128j_1", 0.1, 1.0, 0.95, 0.85),
    ("gResnet56_ResTBS512LR.0800.8M.95WD1e-4Epoch95BS128b_1", 0.08, 0.8, 0.95, None),
    ("genDensenet40_Den1CycLR.1004M0.9WD1e-6Epoch50BS128c_1", 0.1, 4.0, 0.9, 0.8),
]


@pytest.mark.parametrize("run", AUTHOR, ids=lambda run: run[0].split("_")[0] + run[0][-3])
def test_one_cycle_is_the_authors_at_every_row(run, shared_data: Path):
    name, low, high, momentum, momentum_min = run
    with (shared_data / "smith_curves" / f"{name}.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["lr"]]
    i = np.array([int(row["iteration"]) for row in rows])
    lr = np.array([float(row["lr"]) for row in rows])
    m = np.array([float(row["momentum"]) for row in rows])
    # The rise is a straight line, so its slope gives the stepsize, a whole number.
    stepsize = round((high - low) * i[1] / (lr[1] - low))
    ours = schedule(
        "1cycle",
        int(i[-1]) + 1,
        lr=high,
        lr_min=low,
        momentum=momentum,
        momentum_min=momentum_min,
        args={"stepsize": stepsize},
    )
    np.testing.assert_allclose(ours.lr[i], lr, rtol=1e-4)
    np.testing.assert_allclose(ours.momentum[i], m, rtol=1e-4)


def test_one_cycle_step_by_step():
    # b=1, m=10, s=4: rise by 9/4, fall from 10 to 0 in 4, not below 1/1000 from then on.
    ours = schedule(
        "1cycle", 12, lr=10, lr_min=1, momentum=0.95, momentum_min=0.85, args={"stepsize": 4}
    )
    np.testing.assert_allclose(
        ours.lr, [1, 3.25, 5.5, 7.75, 10, 7.5, 5, 2.5, 1e-3, 1e-3, 1e-3, 1e-3]
    )
    np.testing.assert_allclose(
        ours.momentum,
        [0.95, 0.925, 0.9, 0.875, 0.85, 0.875, 0.9, 0.925, 0.95, 0.9375, 0.925, 0.9125],
    )


def test_increasing_momentum_is_cyclical_momentum_upside_down():
    args = {"stepsize": 50}
    up = schedule(
        "1cycle", N, lr=1, momentum=1.0, momentum_min=0.9, momentum_mode="increasing", args=args
    )
    down = schedule("1cycle", N, lr=1, momentum=1.0, momentum_min=0.9, args=args)
    np.testing.assert_allclose(up.momentum + down.momentum, 1.9)
    assert up.momentum[0] == 0.9 and up.momentum[50] == 1.0


def test_cyclical_momentum_under_a_constant_lr_follows_its_own_stepsize():
    ours = schedule(
        "constant", N, lr=5e-4, momentum=0.95, momentum_min=0.85, args={"momentum_stepsize": 88}
    )
    assert np.all(ours.lr == 5e-4)
    assert ours.momentum.argmin() == 88 and ours.momentum[88] == pytest.approx(0.85)


def test_warmup_leads_into_the_policy():
    ours = schedule("cosine", 100, lr=1.0, args={"warmup": 20, "warmup_factor": 0.5}).lr
    np.testing.assert_allclose(ours[:20], 0.5 + 0.5 * np.arange(20) / 20)
    np.testing.assert_allclose(ours[20:], schedule("cosine", 80, lr=1.0).lr)


def test_warmup_equals_torch_in_sequence():
    lr, _ = torch_series(
        lambda o: lr_scheduler.SequentialLR(
            o,
            [lr_scheduler.LinearLR(o, 0.1, 1.0, 40), lr_scheduler.CosineAnnealingLR(o, N - 40)],
            [40],
        )
    )
    np.testing.assert_allclose(
        schedule("cosine", N, lr=0.1, args={"warmup": 40}).lr, lr, rtol=1e-6, atol=1e-12
    )


@pytest.mark.parametrize("name", ["1cycle", "1cycle-cosine", "1cycle-three-phase", "clr"])
@pytest.mark.parametrize("mode", ["cyclical", "increasing"])
def test_momentum_stays_with_lr_after_a_warmup(name: str, mode: str):
    # 220 iterations less a warm-up of 20: the cycle is that of a run of 200.
    common = dict(lr=1.0, momentum=0.95, momentum_min=0.85, momentum_mode=mode)
    alone = schedule(name, N, **common)
    ours = schedule(name, N + 20, **common, args={"warmup": 20})
    np.testing.assert_array_equal(ours.momentum[20:], alone.momentum)
    np.testing.assert_array_equal(ours.momentum[:20], alone.momentum[0])
    extreme = ours.momentum.argmin() if mode == "cyclical" else ours.momentum.argmax()
    assert extreme == ours.lr.argmax()


def test_no_warmup_and_one_as_long_as_the_run():
    np.testing.assert_array_equal(
        schedule("1cycle", N, lr=1.0, args={"warmup": 0}).lr, schedule("1cycle", N, lr=1.0).lr
    )
    rising = schedule("constant", N, lr=1.0, args={"warmup": 1.0, "warmup_factor": 0}).lr
    np.testing.assert_allclose(rising, np.arange(N) / N)


@pytest.mark.parametrize("name", POLICIES)
def test_the_listed_defaults_are_the_defaults(name: str):
    listed = {p.name: p.default for p in POLICIES[name].parameters}
    common = dict(lr=0.1, momentum=0.95, momentum_min=0.85)
    given_all = schedule(name, N, **common, args=listed)
    given_none = schedule(name, N, **common)
    np.testing.assert_array_equal(given_all.lr, given_none.lr)
    np.testing.assert_array_equal(given_all.momentum, given_none.momentum)


@pytest.mark.parametrize(
    "milestones", ["0.25, 0.5", [0.25, "100 iterations"], "5 epochs,10 epochs"]
)
def test_milestones_as_text_and_as_a_list(milestones: str | list):
    args = {"milestones": milestones, "gamma": 0.5}
    ours = schedule("multistep", N, lr=1.0, iterations_per_epoch=10, args=args).lr
    np.testing.assert_array_equal(ours, np.repeat([1.0, 0.5, 0.25], [50, 50, 100]))


@pytest.mark.parametrize(
    "length", [0.25, 50, "0.25", "50", "50 iterations", "5 epochs", "5epochs", np.int64(50)]
)
def test_lengths_in_every_unit(length: float | str):
    ours = schedule("step", N, lr=1.0, iterations_per_epoch=10, args={"stepsize": length})
    assert np.flatnonzero(np.diff(ours.lr))[0] == 49


@given(
    name=st.sampled_from(sorted(POLICIES)),
    iterations=st.integers(1, 400),
    lr=st.floats(1e-6, 10),
    high=st.floats(0.5, 0.99),
    low=st.floats(0.0, 0.5),
    mode=st.sampled_from(["auto", "cyclical", "increasing", "constant"]),
    warmup=st.sampled_from([None, 0.1, 5]),
)
def test_any_policy_stays_within_its_bounds(name, iterations, lr, high, low, mode, warmup):
    ours = schedule(
        name,
        iterations,
        lr=lr,
        momentum=high,
        momentum_min=low,
        momentum_mode=mode,
        args={"warmup": warmup},
    )
    assert ours.lr.shape == ours.momentum.shape == (iterations,)
    assert np.all(np.isfinite(ours.lr)) and np.all(ours.lr >= -1e-12)
    assert np.all(ours.lr <= lr * (1 + 1e-9))
    assert np.all((ours.momentum >= low - 1e-9) & (ours.momentum <= high + 1e-9))


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("1cicle", {}, "did you mean '1cycle'"),
        ("1cycle", {"stepsze": 3}, "did you mean 'stepsize'"),
        ("1cycle", {3: 4}, "argument of policy 1cycle: 3"),
        ("1cycle", {"stepsize": -3}, "must be a fraction of the run"),
        ("1cycle", {"stepsize": None}, "must be a fraction of the run"),
        ("1cycle", {"stepsize": True}, "must be a fraction of the run"),
        ("1cycle", {"stepsize": float("inf")}, "must be a fraction of the run"),
        ("1cycle", {"stepsize": "inf epochs"}, "must be a fraction of the run"),
        ("1cycle", {"stepsize": "3 days"}, "must be a fraction of the run"),
        ("1cycle", {"stepsize": "3 iterationz"}, "must be a fraction of the run"),
        ("1cycle", {"stepsize": "3 epochs"}, "length of an epoch is not known"),
        ("1cycle", {"floor": "low"}, "must be a number from 0 to 1"),
        ("1cycle", {"warmup": 5, "warmup_factor": 2}, "must be a number from 0 to 1"),
        ("1cycle-cosine", {"anneal": "cosin"}, "must be of cos, linear; did you mean 'cos'"),
        ("1cycle-cosine", {"final_div_factor": 0}, "must be a number of at least 1"),
        ("1cycle-three-phase", {"pct_start": 0.7}, "must be a number from 0 to 0.5"),
        ("clr", {"mode": "square"}, "must be of triangular, triangular2, exp-range"),
        ("clr", {"mode": "exp-range", "gamma": -1}, "must be a number from 0 to 1"),
        ("step", {"gamma": "abc"}, "must be a number of at least 0"),
        ("step", {"gamma": None}, "must be a number of at least 0"),
        ("multistep", {"milestones": "soon"}, "must be a fraction of the run"),
        ("exponential", {"gamma": -1}, "must be a number of at least 0"),
        ("inv", {"gamma": float("nan")}, "must be a number of at least 0"),
        ("cosine-restarts", {"period_multiplier": 0.5}, "must be a number of at least 1"),
        ("linear", {"start_factor": [1]}, "must be a number of at least 0"),
        ("lr-range", {"mode": "expo"}, "must be of linear, exponential"),
    ],
)
def test_wrong_policies_are_told_in_one_line(name: str, args: dict, expected: str):
    with pytest.raises(InputError, match=expected) as caught:
        schedule(name, 100, lr=0.1, args=args)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("1cycle", {"lr": -1.0}, "lr: -1; must be a number above 0"),
        ("1cycle", {"lr": float("nan")}, "lr: nan; must be a number above 0"),
        ("1cycle", {"lr": 1.0, "lr_min": 2.0}, "from 0 to the maximum LR, which is 1"),
        ("clr", {"lr": 1.0, "lr_min": float("nan")}, "from 0 to the maximum LR, which is 1"),
        ("1cycle", {"lr": 1.0, "momentum": 1.5}, "momentum: 1.5; must be from 0 to 1"),
        ("1cycle", {"lr": 1.0, "momentum": 0.8, "momentum_min": 0.9}, "which is 0.8"),
        ("1cycle", {"lr": 1.0, "momentum_mode": "cyclic"}, "did you mean 'cyclical'"),
    ],
)
def test_wrong_hyper_parameters_are_told_in_one_line(name: str, values: dict, expected: str):
    with pytest.raises(InputError, match=expected) as caught:
        schedule(name, 100, **values)
    assert "\n" not in str(caught.value)


def test_an_exponential_range_cannot_start_at_zero():
    with pytest.raises(InputError, match="must be above 0"):
        schedule("lr-range", 100, lr=1.0, lr_min=0.0, args={"mode": "exponential"})
    assert schedule("lr-range", 100, lr=1.0, lr_min=0.0).lr[0] == 0


def test_a_minimum_that_is_not_used_is_not_judged():
    # A run directory's lr_min may stand above the LR of a policy that has no minimum.
    assert np.all(schedule("constant", N, lr=0.01, lr_min=0.1).lr == 0.01)
    held = schedule(
        "constant", N, lr=0.01, momentum=0.8, momentum_min=0.9, momentum_mode="constant"
    )
    assert np.all(held.momentum == 0.8)
