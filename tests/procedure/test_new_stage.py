"""A stage is a row of the table and a module; everything else finds it there."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

from hptune import stages
from hptune.analysis.criterion import Criterion
from hptune.cli import completion, run
from hptune.procedure.compare import PairedRuns, concluded
from hptune.procedure.outcome import Outcome
from hptune.procedure.session.context import Context
from hptune.results.records import Decision
from hptune.trials.paired import trial_ids

SHORT = [
    *("--set", "data.subset=200", "--set", "training.epochs=3", "--set", "procedure.budget=30"),
    *("--set", "procedure.final.seeds=1", "--device", "cpu", "--jobs", "1"),
]


def toy_stage(context: Context, values: object, seeds: int) -> Outcome:
    """Compare two clearly different weight decays and take the one that was better."""
    by: Criterion = context.criterion
    changes = {"0": {"weight_decay": 0.0}, "0.5": {"weight_decay": 0.5}}
    runs = PairedRuns(context.runner, seeds, by)
    candidates = runs.run(context.short("toy"), changes, least=2)
    best = min(candidates, key=lambda label: by.at_end(candidates[label][0]))
    decision = Decision(
        stage="toy",
        parameter="weight_decay",
        value=float(best),
        rule="the better of two",
        reason=f"{best} was best of 2",
        trials=trial_ids(candidates),
    )
    return concluded(candidates, [decision], by, columns=("weight_decay",))


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("toy_stage")
    module.stage = toy_stage  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toy_stage", module)
    row = stages.Stage(
        name="toy", title="Toy", parameter="weight_decay", module="toy_stage", share=2
    )
    table = dict(stages.STAGES)
    last = table.pop(stages.FINAL)
    table |= {"toy": row, stages.FINAL: last}
    monkeypatch.setattr(stages, "STAGES", table)
    for name in [name for name in sys.modules if name.startswith("hptune.")]:
        if getattr(sys.modules[name], "STAGES", None) is not None:
            monkeypatch.setattr(sys.modules[name], "STAGES", table)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("toy")
def test_a_new_stage_is_planned_run_recorded_shown_and_completed(tmp_path: Path, capsys):
    command = ["run", "--stages", "lr-range,toy,final", "--out", str(tmp_path), *SHORT]
    assert run([*command, "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)["plan"]
    assert [stage["stage"] for stage in planned] == ["lr-range", "toy", "final"]
    assert run(command) == 0
    assert "toy" in {row["stage"] for row in rows(tmp_path / "results.csv")}
    (decided,) = [row for row in rows(tmp_path / "decisions.csv") if row["stage"] == "toy"]
    assert decided["reason"].startswith(f"{float(decided['value']):g} was best of 2")
    final = [row for row in rows(tmp_path / "results.csv") if row["stage"] == "final"]
    assert {float(row["weight_decay"]) for row in final} == {float(decided["value"])}
    evidence = json.loads((tmp_path / "comparisons.json").read_text())
    (compared,) = [one for one in evidence if one["stage"] == "toy"]
    assert [one["label"] for one in compared["candidates"]] == ["0", "0.5"]
    capsys.readouterr()
    assert run(["show", str(tmp_path), "--stage", "toy"]) == 0
    assert "toy" in capsys.readouterr().out
    found = completion.stages(
        click.Context(click.Command("run")), click.Option(["--s"]), "lr-range,t"
    )
    assert [item.value for item in found] == ["lr-range,toy"]
