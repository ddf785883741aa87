"""What a run directory is read as, in every state that it may be in."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hptune.report.stages import comparisons, final_runs, range_test
from report_runs import edit_csv

from hptune.errors import InputError
from hptune.report.aggregate import over_seeds, wants_log
from hptune.report.read import read_run
from hptune.report.summary import costs, decided_values, verdict, warnings
from hptune.results.records import Curve


def test_each_stage_names_the_candidate_that_was_decided_for(whole_run: Path):
    record = read_run(whole_run)
    found = {(c.stage, c.parameter): c for c in comparisons(record)}
    assert ("momentum", "momentum") in found and ("sweep", "model.dropout") in found
    for comparison in found.values():
        assert sum(c.chosen for c in comparison.candidates) == 1, comparison.title
        assert comparison.noise is not None and comparison.noise > 0
        assert comparison.chosen is not None
    for decision in record.decisions:
        if decision.stage == "weight-decay" and decision.parameter == "weight_decay":
            chosen = found["weight-decay", "weight_decay"].chosen
            assert chosen is not None
            assert chosen.trials[0].row["weight_decay"] == decision.value


def test_ties_are_those_that_the_decisions_reason_gives(whole_run: Path):
    for comparison in comparisons(read_run(whole_run)):
        ends = [c.end for c in comparison.candidates if c.end is not None]
        for candidate in comparison.candidates:
            if candidate.end is not None and comparison.noise is not None:
                assert candidate.tied == (candidate.end - min(ends) <= comparison.noise)


def test_the_final_value_is_the_mean_of_the_seeds(whole_run: Path):
    record = read_run(whole_run)
    final, *_ = final_runs(record)
    decided = next(d for d in record.decisions if d.parameter == "test_accuracy")
    assert final.column == "test_accuracy" and len(final.values) == 2
    assert np.mean(final.values) == pytest.approx(decided.value)
    found = verdict(final)
    assert found is not None and found.name in decided.reason
    assert [run.baseline for run in final_runs(record)] == [False, True]


def test_the_summary_has_every_value_once_with_its_trust(whole_run: Path):
    values = decided_values(read_run(whole_run), {})
    names = [value.name for value in values]
    assert len(names) == len(set(names))
    assert {"maximum LR", "minimum LR", "maximum momentum", "weight decay"} <= set(names)
    assert {value.trust for value in values} <= {"clear", "tie", "follows", "open"}


def test_costs_are_the_sums_of_the_trials(whole_run: Path):
    record = read_run(whole_run)
    found = costs(record)
    assert sum(cost.trials for cost in found.values()) == len(record.trials)
    seconds = sum(trial.row["seconds"] for trial in record.trials)
    assert sum(cost.seconds for cost in found.values()) == pytest.approx(seconds)


def test_an_lr_range_test_alone(lr_run: Path):
    record = read_run(lr_run)
    test = range_test(record)
    assert test is not None and test.decided == record.decisions[0].value
    assert not final_runs(record)
    assert [c.title for c in comparisons(record)] == ["LR confirmation"]


def test_an_interrupted_stage_is_shown_without_a_decision(copy: Path):
    def keep_the_first(rows: list[dict[str, str]]) -> None:
        rows[:] = [row for row in rows if row["stage"] == "lr-range"]

    edit_csv(copy / "decisions.csv", keep_the_first)
    found = {c.stage: c for c in comparisons(read_run(copy))}
    assert found["momentum"].chosen is None and found["momentum"].parameter == "momentum"
    assert not found["momentum"].decisions and found["momentum"].candidates
    runs = final_runs(read_run(copy))
    assert runs and runs[0].decision is None


def test_a_diverged_and_a_failed_trial_are_told(copy: Path):
    def spoil(rows: list[dict[str, str]]) -> None:
        finals = [row for row in rows if row["stage"] == "final"]
        finals[0] |= {"status": "diverged", "val_loss": "inf", "test_accuracy": ""}
        finals[-1] |= {"status": "failed", "val_loss": ""}

    edit_csv(copy / "results.csv", spoil)
    record = read_run(copy)
    assert any("1 trial diverged (final run)" in text for text in warnings(record))
    assert any("1 trial failed (final run)" in text for text in warnings(record))
    assert len(final_runs(record)[0].lost) == 1


def test_a_directory_with_nothing_in_its_tables(tmp_path: Path):
    (tmp_path / "experiment.yaml").write_text("name: nothing\n")
    record = read_run(tmp_path)
    assert (record.name, record.trials, record.decisions) == ("nothing", (), ())
    assert not comparisons(record) and not final_runs(record) and range_test(record) is None


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
