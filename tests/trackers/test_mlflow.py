"""MLflow with a real local store in sqlite, read back."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from hptune.cli import run

pytest.importorskip("mlflow", reason='needs pip install "hptune[mlflow]"')
pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and what it brings

TRAIN = ["--set", "training.epochs=2", "--device", "cpu", "--quiet", "--track", "mlflow"]


@pytest.fixture(autouse=True)
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'store.db'}")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return MlflowClient()


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def runs_of(client: Any) -> tuple[Any, dict[str, Any]]:
    """Return the run directory's run and those of the trials by id."""
    experiment = client.get_experiment_by_name("digits")
    found = client.search_runs([experiment.experiment_id])
    (parent,) = [r for r in found if "mlflow.parentRunId" not in r.data.tags]
    children = [r for r in found if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == len(found) - 1
    trials = {r.data.tags["hptune.trial"]: r for r in children}
    assert len(trials) == len(children), "a trial is there once"
    return parent, trials


def test_a_stage_with_its_trials_curves_and_decisions(client: Any, tmp_path: Path):
    assert run(["lr-find", *TRAIN]) == 0
    parent, trials = runs_of(client)
    results = rows(tmp_path / "runs/digits/results.csv")
    assert set(trials) == {row["trial"] for row in results}
    for row in results:
        kept = trials[row["trial"]]
        assert float(kept.data.params["lr"]) == float(row["lr"])
        assert kept.data.params["batch_size"] == row["batch_size"]
        assert kept.data.tags["hptune.status"] == row["status"]
        assert kept.info.status == "FINISHED"
        curve = rows(tmp_path / f"runs/digits/curves/{row['trial']}.csv")
        for name in ("train_loss", "val_loss", "val_accuracy"):
            history = client.get_metric_history(kept.info.run_id, name)
            shown = {int(c["iteration"]): float(c[name]) for c in curve if c[name]}
            assert {m.step: m.value for m in history} == pytest.approx(shown, nan_ok=True)
        text = client.download_artifacts(kept.info.run_id, "curve.csv", str(tmp_path))
        assert rows(Path(text)) == curve
    decided = {row["parameter"]: row for row in rows(tmp_path / "runs/digits/decisions.csv")}
    tags = parent.data.tags
    assert float(tags["decision.lr"]) == float(decided["lr"]["value"])
    assert decided["lr"]["reason"] in tags["decision.lr.reason"]
    assert parent.info.status == "FINISHED"


def test_commands_on_one_run_directory_share_its_run(client: Any, tmp_path: Path):
    words = ["train", "--lr", "0.1", *TRAIN]
    assert run(words[:-2]) == 0
    assert run(words) == 0
    parent, trials = runs_of(client)
    assert len(trials) == 1, "a trial that was run before it was tracked is handed over too"
    assert run(words) == 0
    assert run([*words, "--seeds", "2", "--restart"]) == 0
    again, both = runs_of(client)
    assert again.info.run_id == parent.info.run_id and len(both) == 2
    (first,) = trials.values()
    assert first.info.run_id not in {r.info.run_id for r in both.values()}
    test_accuracy = [float(row["test_accuracy"]) for row in rows(Path("runs/digits/results.csv"))]
    assert sorted(r.data.metrics["test_accuracy"] for r in both.values()) == sorted(test_accuracy)
