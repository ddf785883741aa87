"""The stages: what they choose, by which rule, and what they cost."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hptune.analysis.ranking import rank
from hptune.data.sources.memory import TensorSource
from hptune.errors import StageError
from hptune.procedure import defaults
from hptune.procedure.batch_size import (
    decide_batch_size,
    plausible_gain,
    run_batch_size,
    scaled_lr,
)
from hptune.procedure.compare import MOST_SEEDS, PairedRuns, kept
from hptune.procedure.duel import decide_duel, run_duel
from hptune.procedure.final import decide_final, guessing, run_final_safely
from hptune.procedure.lr_range import decide_lr, run_bracket
from hptune.procedure.momentum import decide_momentum, run_momentum
from hptune.procedure.plan import Plan, batch_cost
from hptune.procedure.range_test import run_lr_range
from hptune.procedure.session.inputs import Inputs
from hptune.procedure.sweep_key import decide_key
from hptune.procedure.weight_decay import (
    decide_weight_decay,
    first_grid,
    run_weight_decay,
)
from hptune.results.records import Curve, Decision, Status, Trial, TrialResult
from hptune.stages import LR_RANGE, SWEEP, WEIGHT_DECAY, procedure
from hptune.step import LossOf
from hptune.task import Task
from hptune.trials.budget import Budget
from hptune.trials.progress import Silent


def result(
    loss: float, *, status: Status = Status.COMPLETE, seed: int = 0, **changes
) -> TrialResult:
    values = {
        "stage": SWEEP, "task": "t", "seed": seed, "iterations": 40, "batch_size": 64,
        "lr": 0.1, "lr_min": 0.01, "momentum": 0.95, "momentum_min": 0.85, "weight_decay": 1e-3,
    }  # fmt: skip
    trial = Trial(**(values | changes))
    val = loss + (2.3 - loss) * np.exp(-np.linspace(0, 9, 40))
    return TrialResult(
        trial=trial, status=status, data="d", model="m", device="cpu", started="", epochs=2.0,
        seconds=2.0, val_loss=loss if status is Status.COMPLETE else None, message="boom",
        val_metrics={"accuracy": 0.9}, test_metrics={"accuracy": 0.9 + seed / 100},
        curve=Curve(
            iteration=np.arange(40), epoch=np.arange(1, 41) / 20, lr=np.full(40, 0.1),
            momentum=np.full(40, 0.9), weight_decay=np.full(40, 1e-3), train_loss=val, val_loss=val,
            metrics={"accuracy": np.full(40, 0.9)}, seconds=np.arange(40.0),
        ),
    )  # fmt: skip


class Law:
    """Stands in for a Runner: trials end as a law says, and cost an epoch each."""

    pauses = True
    side_by_side = 1

    def __init__(self, law, epochs: float = math.inf) -> None:
        self.law, self.budget, self.asked, self.progress = law, Budget(epochs), [], Silent()
        self.task = SimpleNamespace(metrics={"accuracy": SimpleNamespace(higher_is_better=True)})
        self.run_dir = SimpleNamespace(result=lambda trial: self.known.get(trial.digest))
        self.known: dict[str, TrialResult] = {}

    def run(self, trials, until=()):
        for trial in trials:
            if trial.digest not in self.known:
                self.asked.append(trial)
                done = replace(result(self.law(trial)), trial=trial, epochs=1.0)
                self.known[trial.digest] = done
                self.budget.count(trial, 1.0)
        return [self.known[trial.digest] for trial in trials]

    def epochs(self, trial):
        return 1.0

    def affords(self, trials):
        new = [t for t in trials if t.digest not in self.known]
        return not new or self.budget.affords(len(new))


def decay_law(best: float):
    return lambda t: 0.5 + 0.1 * abs(np.log10(max(t.weight_decay, 1e-9) / best))


BASE = result(0.5).trial


@pytest.mark.parametrize("best", [3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2])
def test_weight_decay_is_found_to_half_a_decade_by_extrapolating_and_bisecting(best: float):
    oracle = Law(decay_law(best))
    candidates = run_weight_decay(PairedRuns(oracle), BASE, values=[1e-2, 1e-3, 1e-4], refine=True)
    decision = decide_weight_decay(candidates, usual=1e-3)
    assert abs(np.log10(decision.value / best)) <= 0.5
    values = {trial.weight_decay for trial in oracle.asked}
    assert len(values) <= 6 and len(oracle.asked) <= 10
    assert all(float(f"{value:.0e}") == value for value in values)


def test_the_first_grid_follows_the_nets_depth():
    assert first_grid(3) == [1e-2, 1e-3, 1e-4]
    assert first_grid(56) == [1e-3, 1e-4, 1e-5, 0.0]
    assert first_grid(3, "adamw") == [1.0, 0.1, 0.01]
    assert (defaults.weight_decay(3), defaults.weight_decay(56)) == (1e-3, 1e-4)


def test_among_ties_weight_decay_takes_the_nets_usual_magnitude_and_says_so():
    candidates = {
        f"{v:g}": [result(0.5 + k * 1e-4, weight_decay=v)] for k, v in enumerate((1e-2, 1e-3, 1e-4))
    }
    decision = decide_weight_decay(candidates, usual=1e-3)
    assert decision.value == 1e-3 and "tied" in decision.reason


def seeds_of(loss: float, count: int = 3, **changes) -> list[TrialResult]:
    """Return results of several seeds that differ a little."""
    return [result(loss + 0.002 * (k % 2), seed=k, **changes) for k in range(count)]


def momentum(losses: dict[tuple[float, float | None], float], count: int = 3):
    return decide_momentum(
        {
            f"{m:g}-{low}": seeds_of(loss, count, momentum=m, momentum_min=low)
            for (m, low), loss in losses.items()
        }
        | {"0.95-0.85": seeds_of(losses[(0.95, 0.85)], count, momentum=0.95, momentum_min=0.85)}
    )


def test_momentum_takes_the_best_unless_the_reports_default_ties():
    clear = momentum({(0.99, 0.85): 0.4, (0.95, 0.85): 0.6, (0.9, 0.85): 0.7})
    assert [(d.parameter, d.value) for d in clear] == [("momentum", 0.99), ("momentum_min", 0.85)]
    tied = momentum({(0.99, 0.85): 0.5, (0.95, 0.85): 0.501, (0.9, None): 0.7})
    assert tied[0].value == 0.95 and "tied" in tied[0].reason
    one_seed = momentum({(0.99, 0.85): 0.4, (0.95, 0.85): 0.6, (0.9, 0.85): 0.7}, count=1)
    assert one_seed[0].value == 0.95 and "alone cannot tell" in one_seed[0].reason


def test_a_high_lr_that_is_behind_in_the_middle_of_its_cycle_can_still_win_the_bracket():
    class Cycle(Law):
        def run(self, trials, until=()):
            found = super().run(trials)
            return (
                [result(2.3 if r.trial.lr > 0.2 else 0.4, lr=r.trial.lr) for r in found]
                if until
                else found
            )

    bracket = run_bracket(PairedRuns(Cycle(lambda t: 0.5 + 0.2 * abs(np.log10(t.lr)))), BASE, 0.3)
    assert {rs[0].status for rs in bracket.values()} == {Status.COMPLETE}
    assert decide_lr(None, bracket)[0].value == pytest.approx(0.9, rel=0.1)


def test_what_short_runs_favour_has_to_win_clearly():
    noise = 0.01  # more than the noise of these curves over their seeds, and less than three of it
    seeds = MOST_SEEDS
    larger = momentum({(0.99, 0.85): 0.5, (0.95, 0.85): 0.5 + noise, (0.9, None): 0.7}, seeds)
    smaller = momentum({(0.9, None): 0.5, (0.95, 0.85): 0.5 + noise, (0.99, 0.85): 0.7}, seeds)
    assert larger[0].value == 0.95 and smaller[0].value == 0.9

    def decay(losses: dict[float, float]) -> float:
        candidates = {f"{v:g}": seeds_of(loss, seeds, weight_decay=v) for v, loss in losses.items()}
        return decide_weight_decay(candidates, usual=1e-3).value

    assert decay({1e-4: 0.5, 1e-3: 0.5 + noise, 1e-2: 0.7}) == 1e-3
    assert decay({1e-2: 0.5, 1e-3: 0.5 + noise, 1e-4: 0.7}) == 1e-2
    assert decay({1e-4: 0.5, 1e-3: 0.6, 1e-2: 0.7}) == 1e-4


@pytest.mark.parametrize("best", [0.99, 0.95, 0.9, 0.8, 0.5])
@pytest.mark.parametrize("lr_moves", [True, False])
def test_momentum_is_followed_downward_at_one_length_of_step(best: float, lr_moves: bool):
    def valley(t: Trial) -> float:
        step = t.lr / (1 - t.momentum) if lr_moves else t.lr
        off = abs(np.log10(step / (0.1 / 0.05 if lr_moves else 0.1)))
        return 0.5 + off + 0.1 * abs(np.log2((1 - t.momentum) / (1 - best)))

    law = Law(valley)
    candidates = run_momentum(
        PairedRuns(law), BASE, values=[0.99, 0.97, 0.95, 0.9], minimum=0.85,
        lower=(0.8, 0.5), lr_moves=lr_moves,
    )  # fmt: skip
    decided = {d.parameter: d.value for d in decide_momentum(candidates, lr=BASE.lr)}
    assert decided["momentum"] == best
    lr = 0.1 * (1 - best) / 0.05 if lr_moves else 0.1
    assert decided.get("lr", 0.1) == pytest.approx(lr)
    if lr != pytest.approx(0.1):
        assert decided["lr_min"] == pytest.approx(lr / 10)
    tried = {t.momentum for t in law.asked}
    assert tried == {0.99, 0.97, 0.95, 0.9} | ({0.8} if best <= 0.9 else set()) | (
        {0.5} if best <= 0.8 else set()
    )


def test_constant_momentum_has_its_own_value_as_minimum():
    decisions = momentum({(0.9, None): 0.3, (0.95, 0.85): 0.6})
    assert [d.value for d in decisions] == [0.9, 0.9]


def test_lr_takes_the_best_or_the_lower_of_two_within_the_noise_and_warns_at_an_edge():
    def decide(losses: dict[float, float]):
        trials = {f"{lr:g}": [result(v, lr=lr, lr_min=lr / 10)] for lr, v in losses.items()}
        return decide_lr(None, trials)

    tied = decide({0.033: 0.6, 0.1: 0.501, 0.3: 0.5, 0.9: 0.8})
    assert [(d.parameter, d.value) for d in tied] == [("lr", 0.1), ("lr_min", 0.01)]
    assert "tied" in tied[0].reason and not tied[0].warnings
    assert decide({0.033: 0.6, 0.1: 0.7, 0.3: 0.5, 0.9: 0.8})[0].value == 0.3
    assert "highest LR" in decide({0.033: 0.6, 0.1: 0.5, 0.3: 0.4})[0].warnings[0]
    assert "lowest LR" in decide({0.033: 0.2, 0.1: 0.5, 0.3: 0.7})[0].warnings[0]


@given(best=st.floats(3e-4, 30.0), breaks=st.floats(2.0, 30.0))
def test_a_bracket_finds_the_best_lr_from_a_reading_that_is_wrong_by_a_factor_of_a_hundred(
    best: float, breaks: float
):
    """Gently rising below the best LR, a cliff some way above it."""
    law = Law(lambda t: 2.3 if t.lr > best * breaks else 0.5 + 0.2 * abs(np.log10(t.lr / best)))
    candidates = run_bracket(PairedRuns(law), BASE, 0.1)
    if 0.003 < best < 3:
        decided = decide_lr(None, candidates)[0]
        assert 1 / 3.2 < decided.value / best < 3.2 and not decided.warnings
    assert len(candidates) <= 8
    lrs = sorted(map(float, candidates))
    assert all(abs(math.log(b / a)) < math.log(3.2) for a, b in pairwise(lrs))


def test_a_bracket_of_runs_that_all_break_goes_down_until_one_does_not():
    class Breaks(Law):
        def run(self, trials, until=()):
            return [
                replace(r, status=Status.DIVERGED, val_loss=None) if r.trial.lr > 0.01 else r
                for r in super().run(trials, until)
            ]

    law = Breaks(lambda t: 0.5 + 0.2 * abs(np.log10(t.lr / 0.002)))
    decided = decide_lr(None, run_bracket(PairedRuns(law), BASE, 0.5))[0]
    assert 0.001 < decided.value < 0.005


def test_a_bracket_goes_below_runs_that_all_end_above_what_the_range_test_reached():
    law = Law(lambda t: 1.1 + 0.001 * math.sin(9 * t.lr) if t.lr > 0.02 else 0.3)
    bracket = run_bracket(PairedRuns(law), BASE, 0.9, reached=0.7)
    assert decide_lr(None, bracket)[0].value < 0.02
    assert min(map(float, run_bracket(PairedRuns(law), BASE, 0.9, reached=1.2))) > 0.02


def test_a_bracket_keeps_to_the_budget_but_for_its_first_three_runs():
    rising = lambda t: 0.5 - 0.2 * np.log10(t.lr)  # noqa: E731
    poor = run_bracket(PairedRuns(Law(rising, epochs=1)), BASE, 0.01)
    assert set(poor) == {"0.0033", "0.01", "0.03"}
    assert "raise procedure.budget" in decide_lr(None, poor)[0].warnings[0]
    rich = run_bracket(PairedRuns(Law(rising)), BASE, 0.01)
    assert max(map(float, rich)) > 2


@pytest.mark.parametrize(
    ("best", "found", "runs"), [(0.1, 0.1, 2), (0.05, 0.05, 3), (0.01, 0.0125, 5)]
)
def test_the_duel_goes_down_at_full_length_as_long_as_the_lower_lr_wins(best, found, runs):
    law = Law(lambda t: 0.5 + 0.2 * abs(np.log10(t.lr / best)))
    duel = run_duel(PairedRuns(law), BASE)
    decisions = decide_duel(duel)
    assert [(d.parameter, d.value) for d in decisions] == [("lr", found), ("lr_min", found / 10)]
    assert len(law.asked) == runs


@pytest.mark.parametrize(("epochs", "rivals"), [(0.9, 0), (1.0, 1), (1.9, 1), (2.0, 2)])
def test_only_the_rivals_of_a_duel_cost_anything_and_none_runs_that_the_budget_lacks(
    epochs, rivals
):
    law = Law(lambda t: t.lr, epochs)
    duel = run_duel(PairedRuns(law), BASE)
    assert len(duel) == (rivals + 1 if rivals else 0)


def test_a_stage_that_cannot_tell_its_candidates_apart_says_what_that_would_take():
    runs = PairedRuns(Law(decay_law(1e-3), epochs=7.5))
    assert runs.worth(BASE, 3) and not runs.worth(BASE, 4)
    assert PairedRuns(runs.runner, asked=True).worth(BASE, 4)
    decision = kept(runs, BASE, ("weight_decay",), 4).decisions[0]
    assert decision.value == BASE.weight_decay and not runs.runner.asked
    assert "takes about 8 epochs, and 7.5 are left for it" in decision.reason


@pytest.mark.parametrize(("fall", "lengths"), [(0.0, [100, 200]), (0.5, [100])])
def test_a_range_test_whose_training_loss_does_not_fall_is_lengthened(fall: float, lengths):
    asked = []

    class Noisy(Law):
        def run(self, trials, until=()):
            trial, n = trials[0], trials[0].iterations
            asked.append(n)
            x, noise = np.linspace(0, 1, n), np.random.default_rng(1).normal(0, 0.1, n)
            curve = Curve(
                iteration=np.arange(n), epoch=x, lr=np.geomspace(1e-5, 10, n),
                momentum=np.full(n, 0.9), weight_decay=np.zeros(n), metrics={},
                train_loss=1.1 - fall * np.sin(3 * x) + noise, seconds=np.full(n, np.nan),
                val_loss=1.1 - 0.1 * np.sin(3 * x),  # a batch norm's statistics catch up
            )  # fmt: skip
            return [replace(result(1.0), trial=trial, curve=curve)]

    law, base = Noisy(lambda t: 1.0), BASE.change(iterations=100)
    test = run_lr_range(law, base, low=1e-5, high=10.0, examples=27)
    assert asked == lengths and test.reading.by == "training"
    asked.clear()
    assert run_lr_range(law, base, low=1e-5, high=10.0, examples=5000).reading.by == "validation"
    assert asked == [100]


def test_a_stage_in_which_all_diverge_fails_with_the_remedy():
    gone = {"0.1": [result(1.0, status=Status.DIVERGED)], "1": [result(1.0, status=Status.FAILED)]}
    with pytest.raises(StageError, match=r"all of 0\.1, 1 .*boom; logs/.*has what it said"):
        decide_lr(None, gone)


def test_batch_size_brings_its_lr_and_epochs_along():
    candidates = {
        "64": [result(0.7, batch_size=64)],
        "128": [result(0.5, batch_size=128, lr=0.14, lr_min=0.014, iterations=30)],
    }
    decisions = decide_batch_size(candidates, base=BASE, examples=640, epochs=30)
    values = {d.parameter: d.value for d in decisions}
    # 40 iterations of 64 are 4 epochs of 640; 30 of 128 are 6: half as many again in the same time.
    assert values == {"batch_size": 128, "lr": 0.14, "lr_min": 0.014, "epochs": 45}
    assert "accuracy" in decisions[0].reason
    alone = decide_batch_size({"64": candidates["64"]}, base=BASE, examples=640, epochs=30)
    assert [d.parameter for d in alone] == ["batch_size"]


def test_as_many_updates_are_more_epochs_of_a_larger_batch_and_a_tie_goes_to_the_fewest():
    candidates = {
        "64": [result(0.7, batch_size=64)],
        "256": [result(0.5, batch_size=256, lr=0.2, lr_min=0.02)],
    }
    how = {"base": BASE, "examples": 640, "epochs": 30, "longer": True}
    decisions = decide_batch_size(candidates, **how)
    values = {d.parameter: d.value for d in decisions}
    # 10 iterations an epoch become 2.
    assert values == {"batch_size": 256, "lr": 0.2, "lr_min": 0.02, "epochs": 150}
    assert decisions[-1].rule == "as many updates" and "as many updates" in decisions[0].rule
    tied = {"64": [result(0.5001, batch_size=64)], "256": candidates["256"]}
    assert decide_batch_size(tied, **how)[0].value == 64
    assert decide_batch_size(tied, **how | {"longer": False})[0].value == 256


def test_as_many_updates_are_run_and_no_speed_is_measured():
    class Runs:
        runner = None

        def run(self, base, changes, *, least):
            return changes

        def repeat(self, candidates):
            return candidates

    changes = run_batch_size(Runs(), BASE, values=[32, 64, 256], scaling="sqrt", longer=True)
    assert {c["iterations"] for c in changes.values()} == {BASE.iterations}
    assert changes["256"]["lr"] == scaled_lr(BASE.lr, 4, "sqrt") == 2 * BASE.lr


def test_a_plan_counts_the_epochs_of_as_many_updates():
    usual = {"epochs": 30, "per_epoch": 20, "budget": 20.0, "trial_epochs": 5}
    at_equal_time, longer = (
        next(s for s in Plan(**usual, batch_cost=cost).stages(["batch-size"]))
        for cost in (1.0, batch_cost([32, 64, 128, 256], 64))
    )
    assert longer.trials == at_equal_time.trials
    assert longer.epochs == pytest.approx(1.875 * at_equal_time.epochs)
    # A budget that is enough for the one is not for the other.
    small = usual | {"budget": 1 + 1.2 * at_equal_time.epochs / 30}
    assert Plan(**small).stages(["batch-size"])[0].trials
    assert not Plan(**small, batch_cost=1.875).stages(["batch-size"])[0].trials


@given(measured=st.floats(1e-3, 1e3), ratio=st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0]))
def test_a_busy_machine_cannot_lengthen_a_batch_sizes_run_without_bounds(measured, ratio):
    # In iterations: no more than the base's and half as many again for a batch of half the size.
    gain = plausible_gain(measured, ratio)
    assert min(ratio, 1) / 1.31 <= gain <= max(ratio, 1) * 1.31
    assert plausible_gain(1.0, ratio) == 1.0


def test_lr_scales_with_the_batch_as_asked():
    assert scaled_lr(0.1, 4, "sqrt") == 0.2
    assert scaled_lr(0.1, 4, "linear") == 0.4


@pytest.mark.parametrize(
    ("examples", "epochs", "parts", "size"),
    [
        (50_000, 30, 1, 128),
        (5_000, 30, 1, 64),
        (4_000, 3, 1, 32),  # 375 updates; with 64 examples each 186
        (1_000, 2, 1, 16),  # not below, though they are 124
        (1_000, 2, 2, 32),  # 16 on each device
        (1_000, 2, 8, 64),
        (100, 100, 1, 8),  # 8 iterations an epoch go before
        (100, 1, 1, 8),
        (3, 1, 1, 3),
    ],
)
def test_a_short_training_has_a_smaller_batch_for_more_updates(
    examples: int, epochs: float, parts: int, size: int
):
    assert defaults.batch_size(examples, epochs, parts) == size


@given(batch=st.integers(1, 512), examples=st.integers(1, 10_000))
def test_default_batch_sizes_leave_some_batches_in_an_epoch(batch: int, examples: int):
    values = defaults.batch_sizes(batch, examples)
    assert batch in values
    assert all(v == batch or v * 4 <= examples for v in values)


def test_a_swept_key_takes_the_best_or_the_first_tied():
    values = [0.0, 0.2, 0.5]
    candidates = {str(v): [result(loss)] for v, loss in zip(values, (0.501, 0.5, 0.9), strict=True)}
    assert decide_key("model.dropout", values, candidates).value == 0.0


def test_the_final_run_gives_mean_and_spread_and_counts_the_lost():
    results = [result(0.5, seed=k) for k in range(3)] + [result(0.5, status=Status.DIVERGED)]
    decision = decide_final(results)
    assert decision.parameter == "test_accuracy" and decision.value == pytest.approx(0.91)
    assert "± 0.0100" in decision.reason and "1 of 4 seeds" in decision.warnings[0]
    with pytest.raises(StageError, match="no seed completed"):
        decide_final([result(0.5, status=Status.DIVERGED)])


def test_the_final_run_says_when_it_is_no_better_than_one_answer():
    labels = torch.tensor([0] * 60 + [1] * 40)
    source = TensorSource(torch.zeros(100, 2), labels)
    task = Task(
        make_model=torch.nn.Identity,
        step=LossOf(torch.nn.functional.cross_entropy),
        train=source,
        validation=source,
        classes=2,
    )
    guess = guessing(task)
    assert guess is not None and 0.6 < guess < 0.7
    assert guessing(task.change(classes=None)) is None
    # A folder's images come class by class, so no first part of them stands for all.
    sorted_by_class = torch.arange(10).repeat_interleave(1000)
    folder = TensorSource(torch.zeros(10_000, 2), sorted_by_class)
    assert guessing(task.change(validation=folder, classes=10)) == pytest.approx(0.103)

    def told(accuracy: float) -> bool:
        done = replace(result(0.5), val_metrics={"accuracy": accuracy})
        return any("most frequent class" in w for w in decide_final([done], guess).warnings)

    assert told(0.6) and not told(0.7)


@pytest.mark.parametrize("breaks_above", [0.3, 0.09, 0.04, 0.001])
def test_a_final_run_that_diverges_is_run_again_with_half_the_lr(breaks_above: float):
    class Fragile:
        progress = Silent()

        def run(self, trials):
            ends = [
                Status.DIVERGED if t.lr > breaks_above and t.seed == 1 else Status.COMPLETE
                for t in trials
            ]
            return [
                result(0.5, status=end, seed=t.seed, lr=t.lr, lr_min=t.lr_min)
                for t, end in zip(trials, ends, strict=True)
            ]

    results, decisions = run_final_safely(Fragile(), BASE, seeds=2)
    last = results[-2:]
    expected = max(0.025, next((lr for lr in (0.1, 0.05, 0.025) if lr <= breaks_above), 0.025))
    assert {r.trial.lr for r in last} == {expected}
    assert [d.value for d in decisions] == ([] if expected == 0.1 else [expected, expected / 10])


class Fits(Law):
    """A law for the training loss too."""

    def __init__(self, law, train_loss) -> None:
        super().__init__(law)
        self.train_loss = train_loss

    def run(self, trials, until=()):
        return [replace(r, train_loss=self.train_loss(r.trial)) for r in super().run(trials, until)]


SEARCH = [replace(result(0.5), train_loss=0.6), result(0.1, status=Status.DIVERGED)]


def test_a_final_seed_that_fits_worse_than_the_search_did_is_run_again_with_half_the_lr():
    thrown_out = Fits(lambda t: 0.5, lambda t: 2.0 if (t.lr, t.seed) == (0.1, 1) else 0.45)
    results, decisions = run_final_safely(thrown_out, BASE, seeds=2, search=SEARCH)
    assert [(r.trial.lr, r.trial.seed) for r in results] == [
        (0.1, 0),
        (0.1, 1),
        (0.05, 0),
        (0.05, 1),
    ]
    assert (
        decisions[0].value == 0.05
        and "fits no worse than short runs of no higher LR" in decisions[0].rule
    )
    a_little = Fits(lambda t: 0.5, lambda t: 0.7 if t.seed else 0.45)
    assert run_final_safely(a_little, BASE, seeds=2, search=SEARCH)[1] == []


def test_a_final_seed_that_has_overfitted_or_stopped_early_has_not_broken():
    overfitted = Fits(lambda t: 2.0, lambda t: 0.1)
    assert run_final_safely(overfitted, BASE, seeds=2, search=SEARCH)[1] == []
    # A lower LR than those of the short runs was chosen because it fits less: they overfit.
    lower, fits_less = BASE.change(lr=0.05), Fits(lambda t: 0.5, lambda t: 1.2)
    assert run_final_safely(fits_less, lower, seeds=2, search=SEARCH)[1] == []
    assert run_final_safely(fits_less, BASE, seeds=2, search=SEARCH)[1] != []
    # Stopped early by its own rule, while its LR was still high.
    early = Fits(lambda t: 0.5, lambda t: 1.9)
    base = BASE.change(iterations=80)  # the curves of these results have 40
    assert run_final_safely(early, base, seeds=2, search=SEARCH)[1] == []


def test_inputs_are_taken_in_order_and_said():
    told: list[str] = []
    made = Decision(stage=LR_RANGE, parameter="lr", value=0.3, rule="", reason="")
    inputs = Inputs({"momentum": 0.8}, {"lr": 0.1, "momentum": 0.9}, [made], told.append)
    assert inputs.number("lr", 1.0) == 0.3
    assert inputs.number("momentum", 0.95) == 0.8
    assert inputs.number("weight_decay", 1e-4) == 1e-4
    assert [line.split("(")[1] for line in told] == [
        "decided by lr-range)", "from the command line)", "default)"
    ]  # fmt: skip


@pytest.mark.parametrize("epochs", [0, 1, 2, 4])
def test_a_stage_keeps_to_what_the_budget_affords_and_still_decides(epochs: float):
    law = Law(decay_law(1e-4), epochs)
    law.run([BASE.change(stage=WEIGHT_DECAY)])  # another stage has run the present value
    law.budget.allowed = epochs + 1
    grid = [1e-2, 1e-3, 1e-4]
    candidates = run_weight_decay(PairedRuns(law), BASE, values=grid, refine=True)
    assert law.budget.spent <= epochs + 1
    assert len(candidates) == {0: 1, 1: 2, 2: 3, 4: 5}[epochs]
    assert "0.001" in candidates  # the present value costs nothing
    assert f"{decide_weight_decay(candidates, usual=1e-3).value:g}" in candidates


def test_ties_are_repeated_with_more_seeds_until_one_wins_or_the_budget_is_spent():
    def noisy(trial: Trial) -> float:
        truth = {0.05: 0.6, 0.1: 0.50, 0.2: 0.503}[trial.lr]
        return truth + (0.004 if (trial.seed, trial.lr) == (0, 0.1) else 0.0)

    def candidates(law: Law):
        return {
            f"{lr:g}": law.run([BASE.change(lr=lr, momentum_min=None)]) for lr in (0.05, 0.1, 0.2)
        }

    law = Law(noisy)
    repeated = PairedRuns(law).repeat(candidates(law))
    assert {label: len(results) for label, results in repeated.items()} == {
        "0.05": 2, "0.1": MOST_SEEDS, "0.2": MOST_SEEDS,
    }  # fmt: skip
    assert [r.trial.seed for r in repeated["0.1"]] == list(range(MOST_SEEDS))
    assert rank(repeated).best == "0.1" != rank(candidates(law)).best
    poor = Law(noisy, epochs=4)
    assert all(len(rs) == 1 for rs in PairedRuns(poor).repeat(candidates(poor)).values())


def test_refinement_proposes_runs_of_a_third_but_of_twenty_iterations_at_least():
    for iterations, share in ((600, 1 / 3), (40, 1 / 2), (10, 1.0)):
        plan = Plan(epochs=1, per_epoch=iterations, budget=12, tests=False)
        assert plan.proposal == pytest.approx(share)
        (refine,) = plan.stages(["refine"])
        assert refine.trials == int(11 / share + 1e-6)


@given(iterations=st.floats(60, 5000), per_epoch=st.integers(20, 500), budget=st.integers(2, 12))
def test_no_rounding_of_lengths_takes_the_duel_or_a_run_of_the_bracket(
    iterations, per_epoch, budget
):
    plan = Plan(
        epochs=iterations / per_epoch,
        per_epoch=per_epoch,
        budget=budget,
        final_seeds=2,
        tests=False,
    )
    bracket, final = plan.stages(["lr-range", "final"])
    assert bracket.trials == min(3 * (budget - 1), 7)
    assert final.trials == 3


@given(epochs=st.floats(1, 200), per_epoch=st.integers(20, 500), budget=st.floats(1.0, 12))
def test_the_planned_stages_keep_to_the_budget(epochs, per_epoch, budget):
    runs = Plan(epochs=epochs, per_epoch=per_epoch, budget=budget, final_seeds=2)
    planned = runs.stages([stage.name for stage in procedure()])
    spent = sum(stage.epochs for stage in planned) - 2 * runs.final / per_epoch
    least = (runs.range_test + 3 * runs.short) / per_epoch  # whatever the budget
    assert spent <= max(runs.allowed, least) + 1 / per_epoch
    assert 3 * runs.short <= max(runs.final, 150) + 2
