"""What was trained predicts in a process of its own as it did when its test set was read."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.prediction.conftest import Trained

CODE = """
import json, sys
import hptune
found = {}
for name, run, new in json.loads(sys.argv[1]):
    told = hptune.load_run(run, device="cpu").predict(new)
    found[name] = [told.trials[0], told.loss, told.metrics, told.with_targets]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def told(trained: dict[str, Trained]) -> dict[str, list]:
    """What a fresh process says of the test split of every run, and of the files that it was."""
    asked = [(name, str(one.run), None) for name, one in trained.items()]
    asked += [
        (f"{name} files", str(one.run), str(one.new)) for name, one in trained.items() if one.new
    ]
    here = next(iter(trained.values())).run.parents[1]
    words = [sys.executable, "-c", CODE, json.dumps(asked)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=here.parent)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "name", ["digits", "images", "images files", "table", "prices", "npz", "npz files", "own"]
)
def test_the_test_split_is_predicted_as_the_final_run_read_it(
    name: str, told: dict[str, list], trained: dict[str, Trained]
):
    row = trained[name.removesuffix(" files")].row
    trial, loss, metrics, counted = told[name]
    assert trial == row["trial"] and counted
    assert metrics == {m: row[f"test_{m}"] for m in metrics} and metrics
    assert loss == pytest.approx(row["test_loss"], rel=1e-6)  # of files in another order


def test_the_command_needs_neither_the_training_data_nor_their_folder(
    trained: dict[str, Trained], tmp_path: Path
):
    run = shutil.copytree(trained["npz"].run, tmp_path / "elsewhere")
    (run / "experiment.yaml").unlink()  # which says where they were
    words = ["-m", "hptune", "predict", str(run), str(trained["npz"].new), "--json"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=tmp_path)
    document = json.loads(done.stdout)
    assert document["metrics"]["accuracy"] == trained["npz"].row["test_accuracy"]
    assert {row["prediction"] for row in document["predictions"]} <= {"cat", "dog"}
