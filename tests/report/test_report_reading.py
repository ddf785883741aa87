"""What a run directory is read as, in every state that it may be in."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_runs import edit_csv

from hptune.errors import InputError
from hptune.report.aggregate import over_seeds, wants_log
from hptune.report.page import render
from hptune.report.read import read_run
from hptune.report.summary import costs, decided_values, warnings
from hptune.report.views import comparisons, final_runs, heading, range_test
from hptune.results.records import Curve


def test_the_final_value_is_the_mean_of_the_seeds(whole_run: Path):
    record = read_run(whole_run)
    final, baseline = final_runs(record.evidence)
    decided = next(d for d in record.decisions if d.parameter == "test_accuracy")
    assert final.column == "test_accuracy" and np.mean(final.scores) == pytest.approx(decided.value)
    assert "95.40 ± 0.85 %" in render(record, [])
    assert (final.baseline, baseline.baseline) == (False, True)


def test_the_summary_has_every_value_once_with_its_trust(whole_run: Path):
    values = {value.name: value for value in decided_values(read_run(whole_run))}
    assert list(values) == [
        "maximum LR", "minimum LR", "maximum momentum", "minimum momentum", "weight decay",
        "batch size", "model.dropout",
    ]  # fmt: skip
    assert [value.trust.word for value in values.values()] == [
        "open", "follows", "tie", "follows", "tie", "clear", "clear",
    ]  # fmt: skip
    assert values["weight decay"].anchor == "weight-decay"
    assert values["minimum momentum"].anchor == ""


def test_sections_are_named_by_stage_and_parameter(whole_run: Path):
    record = read_run(whole_run)
    assert dict(map(heading, comparisons(record.evidence))) == {
        "lr-confirmation": "LR confirmation",
        "momentum": "Momentum",
        "weight-decay": "Weight decay",
        "batch-size": "Batch size",
        "sweep-dropout": "Sweep of model.dropout",
        "search": "Joint search",
    }
    again = replace(comparisons(record.evidence)[1], parameter="lr")
    assert heading(again) == ("momentum-lr", "Maximum LR after momentum")


def test_costs_are_the_sums_of_the_trials(whole_run: Path):
    record = read_run(whole_run)
    found = costs(record)
    assert sum(cost.trials for cost in found.values()) == len(record.trials)
    seconds = sum(trial["seconds"] for trial in record.trials)
    assert sum(cost.seconds for cost in found.values()) == pytest.approx(seconds)


def test_an_interrupted_stage_is_told_and_its_trials_stay_in_the_table(copy: Path):
    edit_csv(copy / "decisions.csv", lambda rows: rows.__delitem__(slice(2, None)))
    kept = [
        e for e in json.loads((copy / "comparisons.json").read_text()) if e["stage"] == "lr-range"
    ]
    (copy / "comparisons.json").write_text(json.dumps(kept))
    record = read_run(copy)
    assert [own.stage for own in comparisons(record.evidence)] == ["lr-range"]
    assert any("Momentum, Weight decay" in text for text in warnings(record))
    assert not final_runs(record.evidence)


def test_a_diverged_and_a_failed_trial_are_told(copy: Path):
    def spoil(rows: list[dict[str, str]]) -> None:
        finals = [row for row in rows if row["stage"] == "final"]
        finals[0] |= {"status": "diverged", "val_loss": "inf", "test_accuracy": ""}
        finals[-1] |= {"status": "failed", "val_loss": ""}

    edit_csv(copy / "results.csv", spoil)
    record = read_run(copy)
    assert any("2 trials diverged (momentum, final run)" in text for text in warnings(record))
    assert any("1 trial failed (final run)" in text for text in warnings(record))


def test_a_directory_with_nothing_in_its_tables(tmp_path: Path):
    (tmp_path / "experiment.yaml").write_text("name: nothing\n")
    record = read_run(tmp_path)
    assert (record.name, record.trials, record.decisions) == ("nothing", [], [])
    assert not comparisons(record.evidence) and not final_runs(record.evidence)
    assert range_test(record.evidence) is None


@pytest.mark.parametrize("content", ["", "iteration\n", "a,b\n1,2\n", "iteration,epoch\nx,y\n"])
def test_a_broken_curve_is_a_warning(copy: Path, content: str):
    path = sorted((copy / "curves").glob("momentum-*.csv"))[0]
    path.write_text(content)
    (problem,) = read_run(copy).problems
    assert path.name in problem


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("decisions.csv", "stage,parameter\nnonsense,lr\n"),
        ("decisions.csv", "what\nis this\n"),
        ("results.csv", "trial,stage\na,b,c,d\n"),
        ("results.csv", "\x00\n\x00"),
    ],
)
def test_a_table_that_is_none_is_an_error_of_one_line(copy: Path, name: str, content: str):
    (copy / name).write_text(content)
    try:
        read_run(copy)
    except InputError as error:
        assert "\n" not in str(error) and "results.csv" in str(error)


def test_no_run_directory_is_an_error(tmp_path: Path):
    with pytest.raises(InputError, match="must be a run directory"):
        read_run(tmp_path)
    with pytest.raises(InputError, match="no such run directory"):
        read_run(tmp_path / "nowhere")


def make_curve(losses: list[float]) -> Curve:
    values = np.array(losses)
    steps = np.arange(len(values))
    blank = np.full(len(values), math.nan)
    return Curve(steps, steps / 2, blank, blank, blank, values, values, {}, blank)


def test_a_course_is_the_mean_over_the_seeds_that_have_a_value():
    nan = math.nan
    course = over_seeds([make_curve([1, nan, 3, 5]), make_curve([3, nan, nan, 7])], "val_loss")
    assert course.x.tolist() == [0.0, 1.0, 1.5]
    assert course.mean.tolist() == [2.0, 3.0, 6.0]
    assert course.high - course.mean == pytest.approx([math.sqrt(2), 0.0, math.sqrt(2)])
    assert not len(over_seeds([make_curve([nan, nan])], "val_loss"))
    assert not len(over_seeds([], "val_loss"))


def test_a_log_axis_is_for_positive_values_far_apart():
    assert wants_log([np.array([0.01, 1.0])])
    assert not wants_log([np.array([0.5, 1.0])])
    assert not wants_log([np.array([-1.0, 100.0])])
    assert not wants_log([np.array([0.0, 100.0])])
