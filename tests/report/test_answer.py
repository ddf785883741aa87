"""The answer of a run fits a terminal: the score, each value once, the cost, what to do next."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from report_runs import whole_procedure

from hptune.cli import run
from hptune.console.trials_table import trials_table
from hptune.report.answer import WIDTH, answer
from hptune.report.read import read_run
from hptune.report.summary import costs
from hptune.report.trust import trust_of
from hptune.report.views import final_runs
from hptune.results.evidence import Comparison, FinalRun, Model
from hptune.results.records import Decision


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole_procedure(tmp_path_factory.mktemp("answer") / "run")


def test_the_answer_of_a_whole_run_fits_twelve_lines_of_eighty_columns(made: Path):
    record = read_run(made)
    lines = answer(record)
    assert len(lines) <= 12
    assert all(len(line) <= WIDTH for line in lines if str(made) not in line)
    assert lines[0].startswith(f"{record.name}: test accuracy ") and "±" in lines[0]
    values = [line.split()[0] for line in lines if line.startswith("  ")]
    assert len(values) == len(set(values)) and {"LR", "momentum", "weight"} <= set(values)
    assert any(line.startswith("cost: search ") for line in lines)
    assert f"next: hptune show --why {made}" in lines


def test_a_long_run_tells_its_cost_in_two_lines(made: Path):
    record = read_run(made)
    for row in record.trials:
        row["seconds"], row["epochs"] = 1234.5, 1234.5
    lines = answer(record)
    assert all(len(line) <= WIDTH for line in lines if str(made) not in line)
    (at,) = [k for k, line in enumerate(lines) if line.startswith("cost: search ")]
    assert lines[at + 1].startswith("      final ")


def test_the_last_decision_on_a_value_is_told(made: Path):
    record = read_run(made)
    last = [d for d in record.decisions if d.parameter == "lr"][-1]
    (line,) = [line for line in answer(record) if line.startswith("  LR ")]
    assert f" {last.value:g} " in line


def test_of_a_stage_alone_its_value_comes_first(made: Path):
    record = read_run(made)
    (stage,) = {d.stage for d in record.decisions if d.parameter == "weight_decay"}
    assert answer(record, stage)[0].startswith(f"{record.name}: weight decay ")


def test_next_is_a_longer_run_where_the_loss_still_falls(made: Path):
    assert (
        answer(read_run(made))[-1]
        == f"      hptune train {made}/tuned.yaml --epochs 6 --out {made}-longer"
    )


def test_next_is_the_sweep_of_what_was_compared_with_nothing(made: Path):
    record = read_run(made)
    evidence = [
        replace(one, verdict="balanced") if isinstance(one, FinalRun) else one
        for one in record.evidence
    ]
    record = replace(record, evidence=evidence)
    assert answer(record)[-1] == f"      hptune train {made}/tuned.yaml"
    kept = [replace(d, trials=()) if d.parameter == "weight_decay" else d for d in record.decisions]
    (last,) = answer(replace(record, decisions=kept))[-1:]
    assert last == f"      hptune sweep wd {made}/experiment.yaml --out {made}"
    # Of a task of Python the shell knows nothing, unless a function's name leads to it.
    python = replace(record, experiment="data:\n  name: python\ntask: null\n")
    assert answer(python)[-1].startswith("next: hptune show")
    named = replace(record, experiment="data:\n  name: python\ntask: problem:make\n")
    assert answer(named)[-1] == f"      hptune train {made}/tuned.yaml"


def test_a_value_outside_of_where_the_best_lies_is_told_as_such():
    decision = Decision(
        stage="refine", parameter="lr", value=0.5, rule="r", reason="r", trials=("a",)
    )
    model = Model(
        stage="refine", trials=("a",), by="loss", values={"lr": 0.5}, intervals={"lr": [0.1, 0.4]},
        lines={}, rivals={},
    )  # fmt: skip
    assert trust_of(decision, [model]).brief == "outside 0.1 to 0.4, where the best lies"


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_trials_fit_the_width_with_whole_ids(made: Path, width: int, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    assert run(["show", str(made)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line.rstrip()) for line in lines if str(made) not in line) <= max(width, WIDTH)
    for row in read_run(made).trials:
        assert any(f" {row['trial']} " in line for line in lines)


def test_what_all_trials_have_in_common_is_said_once(made: Path):
    rows = [{**row, "batch_size": 64} for row in read_run(made).trials]
    common, table = trials_table(rows, 500)
    assert "batch_size 64" in common
    assert "batch_size" not in [column.header for column in table.columns]
    _, whole = trials_table(rows, None)
    assert {column.header for column in whole.columns} == rows[0].keys()


def test_trials_can_be_sorted_and_cut(made: Path, capsys):
    assert run(["show", str(made), "--sort", "val_loss", "--top", "2", "--json"]) == 0
    found = [row["val_loss"] for row in json.loads(capsys.readouterr().out)["trials"]]
    known = sorted(row["val_loss"] for row in read_run(made).trials if row["val_loss"] is not None)
    assert found == known[:2]
    assert run(["show", str(made), "--sort", "val_los"]) == 2
    assert "did you mean 'val_loss'?" in capsys.readouterr().err


def test_why_shows_every_decision_with_its_reason(made: Path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["show", str(made), "--why"]) == 0
    shown = capsys.readouterr().out
    for decision in read_run(made).decisions:
        assert f" {decision.parameter} " in shown and decision.reason.split()[0] in shown


@pytest.mark.parametrize(
    "command",
    [
        ["lr-find"],
        ["sweep", "lr", "--values", "0.1,0.3"],
        ["train", "--lr", "0.1"],
    ],
    ids=lambda command: command[0],
)
def test_every_command_ends_with_the_answer_and_quiet_leaves_nothing_else(
    command: list[str], tmp_path: Path, capsys
):
    common = ["--out", str(tmp_path / "run"), "--device", "cpu", "--jobs", "1", "--quiet"]
    quick = ["--set", "training.epochs=3", "--set", "data.subset=300"]
    assert run([*command, *common, *quick]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.splitlines() == answer(
        read_run(tmp_path / "run"),
        {"lr-find": "lr-range", "sweep": "sweep", "train": "train"}[command[0]],
    )
    assert shown.out.startswith("digits: ") and "next: " in shown.out


def test_show_does_not_load_numpy(made: Path):
    code = f"import sys; from hptune.cli import run; assert run(['show', {str(made)!r}]) == 0; "
    done = subprocess.run([sys.executable, "-c", code + "assert 'numpy' not in sys.modules"])
    assert done.returncode == 0


def test_next_are_predictions_where_there_are_files_to_predict(made: Path):
    record = read_run(made)
    evidence = [
        replace(one, verdict="balanced") if isinstance(one, FinalRun) else one
        for one in record.evidence
    ]
    for reader, new in (("csv", "NEW.csv"), ("image-folder", "NEW_FOLDER")):
        text = f"data:\n  name: {reader}\n  path: d\n"
        lines = answer(replace(record, evidence=evidence, experiment=text))
        assert lines[-1] == f"      hptune predict {made} {new} -o predictions.csv"
    # Of a stage alone there is no net to predict with.
    alone = [one for one in evidence if not isinstance(one, FinalRun)]
    assert "predict" not in answer(replace(record, evidence=alone, experiment=text))[-1]


def test_whole_runs_that_lost_are_counted_to_the_search(made: Path):
    record = read_run(made)
    run = final_runs(record.evidence)[0]
    kept = [row for row in record.trials if row["trial"] in run.trials]
    beaten = {**kept[0], "trial": "final-beaten"}
    compared = next(one for one in record.evidence if isinstance(one, Comparison))
    kinds = (run.trials[:1], ("final-beaten",))
    candidates = tuple(replace(compared.candidates[0], trials=trials) for trials in kinds)
    duel = replace(compared, stage=run.stage, parameter="lr", candidates=candidates)
    before = costs(record)
    record = replace(record, trials=[*record.trials, beaten], evidence=[*record.evidence, duel])
    after = costs(record)
    assert after["final runs"] == before["final runs"]
    assert after["search"].trials == before["search"].trials + 1


def test_what_the_answer_cuts_short_is_whole_with_why(made: Path, tmp_path: Path, capsys):
    copy = shutil.copytree(made, tmp_path / "run")
    manifest = json.loads((copy / "manifest.json").read_text())
    notes = [f"note {k}: " + "a word " * 30 for k in range(4)]
    (copy / "manifest.json").write_text(json.dumps(manifest | {"notes": notes}))
    assert run(["show", "--why", str(copy)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert all(" ".join(note.split()) in shown for note in notes)
