"""How far a decision can be trusted: the word, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from report_runs import candidate, sweep_of

from hptune.report.trust import trust_of
from hptune.results.evidence import Model
from hptune.results.records import Decision


def decision(**changes: Any) -> Decision:
    own = Decision(stage="sweep", parameter="lr", value=0.1, rule="lowest loss", reason="measured")
    return replace(own, **changes)


def ids(candidates: list[Any]) -> tuple[str, ...]:
    return tuple(trial for one in candidates for trial in one.trials)


two: dict[str, Any] = {"seeds": (0, 1)}


@pytest.mark.parametrize(
    ("candidates", "changes", "word", "why"),
    [
        ([candidate(0.1, **two), candidate(0.2, **two)], {}, "clear", "more than the noise"),
        ([candidate(0.1), candidate(0.2)], {}, "clear", "so far ahead that one seed each tells"),
        ([candidate(0.1, **two), candidate(0.105, **two)], {}, "tie", "2 of 2 did equally well"),
        ([candidate(0.1), candidate(0.105)], {}, "tie", "One seed each does not tell 2 of 2 apart"),
        ([candidate(0.1)], {}, "open", "compared with nothing"),
        ([candidate(0.1), candidate(None)], {}, "open", "compared with nothing"),
        ([candidate(0.1), candidate(0.2)], {"noise": None}, "open", "noise is, is unknown"),
        ([candidate(0.1), candidate(0.2)], {"chosen": None}, "open", "is unknown"),
        ([candidate(0.1), candidate(0.2)], {"chosen": "0.2"}, "open", "0.1 did better here"),
    ],
)
def test_a_comparison_says_how_far_its_decision_can_be_trusted(
    candidates: list[Any], changes: dict[str, Any], word: str, why: str
):
    trust = trust_of(decision(trials=ids(candidates)), [sweep_of(candidates, **changes)])
    assert trust.word == word and why in trust.why
    assert trust.why.endswith(".")
    if max(len(c.seeds) for c in candidates) == 1:
        assert "beyond the noise" not in trust.why and "more than the noise" not in trust.why


def test_only_the_comparison_of_the_same_stage_and_parameter_counts():
    tie = sweep_of([candidate(0.1), candidate(0.105)])
    clear = sweep_of([candidate(0.1), candidate(0.2)])
    others = [replace(clear, stage="momentum"), replace(clear, parameter="weight_decay")]
    own = decision(trials=ids([*tie.candidates, *clear.candidates]))
    assert trust_of(own, [tie, *others]).word == "tie"


def test_of_two_decisions_on_a_parameter_each_has_its_own_trials():
    confirmed = sweep_of([candidate(0.1), candidate(0.2)], stage="batch-size")
    scaled = decision(
        stage="batch-size", rule="LR scaled with the batch size", trials=("sweep-0.1",)
    )
    assert trust_of(scaled, [confirmed]).word == "follows"
    after = decision(stage="batch-size", trials=ids([*confirmed.candidates]))
    assert trust_of(after, [confirmed]).word == "clear"


def test_values_without_a_comparison():
    follows = decision(stage="lr-range", parameter="lr_min", rule="a tenth of the maximum")
    assert trust_of(follows, []).word == "follows"
    own = decision(stage="weight-decay", parameter="weight_decay", trials=("weight-decay-1",))
    lost, kept = trust_of(own, []), trust_of(replace(own, trials=()), [])
    assert lost.word == "open" and "missing" in lost.why
    assert kept.word == "open" and "value from before" in kept.why
    lowered = trust_of(decision(stage="final", reason="seeds broke at 0.1"), [])
    assert lowered.word == "open" and "seeds broke at 0.1" in lowered.why
    assert trust_of(decision(stage="search"), []).word == "open"


def test_a_model_says_where_the_best_lies_and_how_sure_it_is():
    ends = {"lr": [0.03, 0.3]}
    model = Model(
        stage="refine", trials=("a", "b"), by="loss", values={"lr": 0.1}, intervals=ends, lines={},
        rivals={"0.3": 0.99, "0.03": 0.7},
    )  # fmt: skip
    own = decision(stage="refine")
    open_ended = trust_of(own, [model])
    assert open_ended.word == "tie" and "0.03 to 0.3" in open_ended.why and "0.70" in open_ended.why
    assert trust_of(own, [replace(model, rivals={"0.3": 0.99})]).word == "clear"
