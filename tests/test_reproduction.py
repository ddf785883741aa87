"""The rows of the report's tables: each is an experiment that can run, with the report's values."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from hptune.policies import schedule

ROOT = Path(__file__).parents[1]
ROWS = yaml.safe_load((ROOT / "scripts" / "reproduction" / "rows.yaml").read_text())


@pytest.fixture(scope="module")
def script() -> ModuleType:
    loader = SourceFileLoader("reproduce", str(ROOT / "scripts" / "reproduce"))
    spec = spec_from_loader("reproduce", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_a_row_is_an_experiment_with_the_reports_values(row: dict[str, Any], script: ModuleType):
    experiment = script.experiment_of(row, scale=1.0, tuned=False)
    values = experiment.hyper_parameters
    planned = schedule(
        experiment.policy.name,
        1000,
        lr=values.lr,
        lr_min=values.lr_min,
        momentum=values.momentum,
        momentum_min=values.momentum_min,
        momentum_mode=experiment.policy.momentum,
        iterations_per_epoch=10,
        args=experiment.policy.args,
    )
    name = row["id"]
    if "constant" in name:
        assert planned.lr.min() == planned.lr.max() == values.lr
    elif "step" in name:
        assert planned.lr[0] == values.lr and planned.lr[-1] < values.lr / 50
        assert planned.momentum.min() == planned.momentum.max() == 0.9
    elif "clr" in name or "1cycle" in name:
        assert planned.lr.max() == pytest.approx(values.lr, rel=0.01)
        assert planned.lr[0] == pytest.approx(values.lr_min)
    last = name.split("-")[-1]
    if row["table"] == "1":
        wanted = {float(part) for part in name.split("-") if part.replace(".", "").isdigit()}
        seen = {round(float(planned.momentum.min()), 2), round(float(planned.momentum.max()), 2)}
        assert seen == wanted
    elif row["table"] == "2":
        assert experiment.training.epochs == float(last)


def test_ids_are_unique_and_tables_are_whole():
    ids = [row["id"] for row in ROWS]
    assert len(ids) == len(set(ids))
    count = {table: sum(row["table"] == table for row in ROWS) for table in ("1", "2")}
    assert count == {"1": 19, "2": 26}


def test_a_tuned_row_gives_no_hyper_parameter(script: ModuleType):
    row = next(row for row in ROWS if row["id"] == "lenet-1cycle-12")
    experiment = script.experiment_of(row, scale=0.5, tuned=True)
    assert set(experiment.hyper_parameters.model_dump().values()) == {None}
    assert experiment.training.epochs == 6
    assert experiment.data.validation_folder is None


def test_it_lists_its_rows_and_refuses_unknown_ones():
    command = [sys.executable, str(ROOT / "scripts" / "reproduce"), "--rows"]
    listed = subprocess.run(
        [*command, "lenet-step-85", "--list"], capture_output=True, text=True, check=True
    )
    assert listed.stdout.split() == ["2", "lenet-step-85", "99.0", "±", "0.04", "%"]
    wrong = subprocess.run([*command, "lenet"], capture_output=True, text=True, check=False)
    assert wrong.returncode != 0 and "must be one of" in wrong.stderr
