"""Refinement: it finds what the stages missed, stays within the budget and keeps what it cannot better."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from hptune.analysis.criterion import LOSS
from hptune.procedure.plan import PROPOSALS, SHORT
from hptune.procedure.refine import (
    decide_refine,
    region_around,
    run_refine,
)
from hptune.procedure.trial_settings import Trials
from hptune.report.views import comparisons, models
from hptune.results.evidence import evidence_from, evidence_text
from hptune.results.records import Curve, Status, Trial, TrialResult
from hptune.results.settings import OptimizerSpec
from hptune.trials.budget import Budget

EPOCHS, EXAMPLES = 30, 1280
EMPTY = np.zeros(0)
CURVE = Curve(EMPTY.astype(np.int64), *[EMPTY] * 6, metrics={}, seconds=EMPTY)
BASE = Trial(
    stage="refine", task="t", seed=0, iterations=EPOCHS * 20, batch_size=64,
    lr=0.1, lr_min=0.01, momentum=0.95, momentum_min=0.85, weight_decay=1e-3,
)  # fmt: skip


class Valley:
    """Stands in for a Runner: the loss is lowest at an LR / (1 - momentum) of `best`."""

    side_by_side = 1

    def __init__(self, best: float, epochs: float, noise: float = 0.0) -> None:
        self.best, self.noise, self.asked = best, noise, list[TrialResult]()
        self.budget = Budget(epochs)
        self.task = SimpleNamespace(train=range(EXAMPLES))

    def loss(self, trial: Trial) -> float:
        off = math.log10(trial.lr / (1 - trial.momentum) / self.best)
        length = trial.iterations * trial.batch_size / EXAMPLES / EPOCHS
        seeded = np.random.default_rng([trial.seed, int(trial.digest, 16)])
        return 0.3 + 0.2 * off**2 - 0.1 * math.log(length) + self.noise * seeded.standard_normal()

    def epochs(self, trial: Trial) -> float:
        return trial.iterations * trial.batch_size / EXAMPLES

    def run(self, trials):
        results = [
            TrialResult(
                trial=trial, status=Status.COMPLETE, data="d", model="m", device="cpu", started="",
                epochs=self.epochs(trial), seconds=1.0, curve=CURVE, val_loss=self.loss(trial),
            )
            for trial in trials
        ]  # fmt: skip
        for result in results:
            self.budget.count(result.trial, result.epochs)
        self.asked += results
        return results

    def affords(self, trials):
        return self.budget.affords(sum(map(self.epochs, trials)))


def refined(runner: Valley, known=()):
    trials = Trials(BASE, EXAMPLES)
    region = region_around(BASE, (32, 64, 128))
    results = run_refine(runner, trials, region, known=known)
    return decide_refine(trials, region, [*known, *results]), results


def decided(outcome) -> dict[str, float]:
    return {d.parameter: d.value for d in outcome.decisions}


@pytest.mark.parametrize("best", [0.1, 20.0])
def test_what_the_stages_missed_is_found_and_the_evidence_told(best: float):
    runner = Valley(best, epochs=10 * EPOCHS)
    outcome, results = refined(runner)
    values = decided(outcome)
    before = runner.loss(BASE)
    after = runner.loss(BASE.change(lr=values["lr"], momentum=values["momentum"]))
    assert after - 0.3 < 0.1 * (before - 0.3)
    assert values["lr_min"] == pytest.approx(values["lr"] / 10, rel=1e-3)
    assert "probability" in outcome.decisions[0].reason
    (compared,) = comparisons(outcome.evidence)
    (chosen,) = [one for one in compared.candidates if one.label == compared.chosen]
    assert chosen.difference < 0.01 and len(compared.candidates) >= 2
    assert set(outcome.decisions[0].trials) == {r.trial.id for r in results}


def test_the_budget_holds_and_ends_with_whole_runs_of_the_best_and_of_what_was_decided():
    runner = Valley(0.3, epochs=6 * EPOCHS)
    _, results = refined(runner)
    assert runner.budget.spent <= 6 * EPOCHS
    lengths = [r.epochs / EPOCHS for r in results]
    assert lengths[0] == pytest.approx(SHORT) and lengths == sorted(lengths)
    assert BASE.digest in {r.trial.digest for r in results}


def test_without_a_budget_nothing_runs_and_what_was_decided_stays():
    runner = Valley(20.0, epochs=0)
    outcome, results = refined(runner)
    assert not results and not outcome.evidence
    assert decided(outcome) == {"lr": BASE.lr}


def test_what_is_left_is_kept_where_it_is_too_little_for_proposals_to_tell():
    for budget, runs in ((PROPOSALS * SHORT - 0.1, 0), (PROPOSALS * SHORT, PROPOSALS)):
        outcome, results = refined(Valley(20.0, epochs=budget * EPOCHS))
        assert len(results) == runs
        assert runs or not any(decision.trials for decision in outcome.decisions)


def test_a_stage_that_runs_nothing_changes_nothing_however_sure_the_model_is():
    runner = Valley(20.0, epochs=math.inf)
    lrs = (0.03, 0.1, 0.3, 1.0, 3.0)
    known = runner.run([BASE.change(stage="lr-range", lr=lr, lr_min=lr / 10) for lr in lrs])
    runner.budget = Budget(0)
    outcome, results = refined(runner, known)
    assert not results and decided(outcome) == {"lr": BASE.lr}
    assert "the best rival, lr 1, is better" in outcome.decisions[0].reason
    (model,) = models(outcome.evidence)
    assert min(model.rivals.values()) < 0.2  # as sure as it takes where something has run
    assert not comparisons(outcome.evidence)  # of its own trials there are none to show


def test_noise_alone_does_not_move_what_was_decided():
    moved = 0
    for seed in range(4):
        runner = Valley(BASE.lr / (1 - BASE.momentum), epochs=4 * EPOCHS, noise=0.05)
        trials = Trials(BASE.change(seed=seed), EXAMPLES)
        region = region_around(BASE, (64,))
        results = run_refine(runner, trials, region)
        values = decided(decide_refine(trials, region, results))
        cost = runner.loss(BASE.change(lr=values["lr"], momentum=values["momentum"], seed=99))
        moved += cost > 0.3 + 0.2
    assert not moved


def test_only_trials_of_the_same_problem_feed_the_model():
    (plain,) = Valley(2.0, math.inf).run([BASE.change(stage="momentum", iterations=100)])
    others = [
        replace(plain, trial=BASE.change(**change))
        for change in (
            {"optimizer": OptimizerSpec(name="adam")},
            {"extra": {"model.width": 8}},
            {"task": "other"},
            {"snapshot": "abc@10"},
            {"momentum_min": None},
        )
    ]
    stopped = replace(plain, trial=BASE.change(lr=1.0), status=Status.PRUNED)
    trials = Trials(BASE, EXAMPLES)
    assert trials.usable([plain, *others, stopped, plain]) == [plain]
    assert trials.setting(plain.trial).length == pytest.approx(100 / BASE.iterations)


def test_a_setting_keeps_its_epochs_at_another_batch_size():
    trials = Trials(BASE, EXAMPLES)
    setting = replace(trials.setting(BASE), batch_size=128, lr=0.12345, momentum=0.8)
    trial = trials.trial(setting)
    assert (trial.iterations, trial.lr, trial.momentum_min) == (EPOCHS * 10, 0.12, None)
    assert trials.trial(trials.setting(BASE)).digest == BASE.digest
    assert LOSS.at_end(Valley(2.0, math.inf).run([trial])[0]) > 0


def test_each_hyper_parameter_has_an_interval_that_narrows_where_the_cost_depends_on_it():
    runner = Valley(2.0, epochs=8 * EPOCHS)
    trials, region = Trials(BASE, EXAMPLES), region_around(BASE, (32, 64, 128))
    assert decide_refine(trials, region, []).evidence == []
    outcome = decide_refine(trials, region, run_refine(runner, trials, region))
    (model,) = models(outcome.evidence)
    low, high = model.intervals["lr"]
    assert 0.01 < low <= 0.1 <= high < 1.0
    low, high = model.intervals["weight_decay"]  # on which nothing depends
    tried = [r.trial.weight_decay for r in runner.asked]
    assert high / low > (max(tried) / min(tried)) ** 0.8 > 2
    assert all(0 <= better <= 1 for better in model.rivals.values()) and len(model.rivals) == 3
    line = model.lines["lr"]
    assert all(a <= b <= c for a, b, c in zip(line["low"], line["mean"], line["high"], strict=True))
    assert evidence_from(evidence_text([model]).encode()) == [model]


@pytest.mark.parametrize("best", [0.2, 20.0])
def test_where_the_decided_lr_is_an_end_of_what_was_tried_its_interval_reaches_beyond(best: float):
    runner = Valley(best, epochs=0)
    lrs = (0.033, 0.1, 0.3)  # the best is 0.01, or 1
    tried = [BASE.change(lr=lr, iterations=BASE.iterations // 3) for lr in lrs]
    results = runner.run([*tried, tried[0].change(seed=1), tried[2].change(seed=1)])
    base = BASE.change(lr=min(lrs) if best < 1 else max(lrs))
    trials = Trials(base, EXAMPLES)
    (model,) = models(decide_refine(trials, region_around(base, (64,)), results).evidence)
    low, high = model.intervals["lr"]
    assert low < min(lrs) * 0.9 if best < 1 else high > max(lrs) * 1.1
    assert min(lrs) / 3.01 <= low and high <= max(lrs) * 3.01


def test_where_every_run_diverges_the_search_ends_and_says_so():
    class Breaking(Valley):
        def run(self, trials):
            done = super().run(trials)
            return [replace(r, status=Status.DIVERGED, val_loss=None) for r in done]

    runner = Breaking(2.0, epochs=20 * EPOCHS)
    trials = Trials(BASE, EXAMPLES)
    region = region_around(BASE, (64,))
    results = run_refine(runner, trials, region)
    outcome = decide_refine(trials, region, results)
    assert len(results) <= 5 and decided(outcome)["lr"] == BASE.lr
    assert "too few" in outcome.decisions[0].reason
