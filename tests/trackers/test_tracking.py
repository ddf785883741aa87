"""What holds for every tracker: failures cost no trial, and what is missing is said."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hptune.cli import run
from hptune.cli.tracking import Tracking
from hptune.results.records import Curve, Decision, Status, Trial, TrialResult
from hptune.stages import TRAIN
from hptune.trackers import NAMES
from hptune.trackers.series import MOST_POINTS, parameters_and_values, points
from hptune.trials.progress import ProgressGroup, Silent


def result(iterations: int = 5, **changes: object) -> TrialResult:
    trial = Trial(
        stage=TRAIN,
        task="t",
        seed=0,
        iterations=iterations,
        batch_size=4,
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        extra={"dropout": 0.2},
    )
    column = np.arange(iterations, dtype=np.float64)
    read = np.where(column % 50 == 0, column, np.nan)
    given: dict[str, object] = {
        "status": Status.COMPLETE,
        "data": "d",
        "model": "m",
        "device": "cpu",
        "started": "2024-01-02T03:04:05+00:00",
        "epochs": 1.0,
        "seconds": 2.0,
        "train_loss": 0.5,
        "val_metrics": {"accuracy": None},
        "curve": Curve(
            column.astype(np.int64), column, column, column, column, column, read, {}, column
        ),
    }
    return TrialResult(trial=trial, **(given | changes))  # type: ignore[arg-type]


class Broken:
    """A tracker whose server is down."""

    def __init__(self) -> None:
        self.calls = 0

    def log_trial(self, result: TrialResult, *, reused: bool) -> None:
        self.calls += 1
        raise ConnectionError("no route\nto host")

    def log_decisions(self, stage: str, decisions: Sequence[Decision]) -> None:
        self.calls += 1
        raise ConnectionError("no route to host")


def test_a_failure_is_one_line_and_the_tracker_is_left_alone(capsys):
    broken = Broken()
    tracking = Tracking("mlflow", broken)
    for _ in range(3):
        tracking.trial_finished(result(), reused=False)
    tracking.stage_finished(TRAIN, [result()], [], [])
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "ConnectionError: no route to host" in error
    assert broken.calls == 1


def test_a_tracker_that_fails_costs_no_trial(tmp_path: Path, monkeypatch, capsys):
    pytest.importorskip("tensorboard", reason='needs pip install "hptune[tensorboard]"')
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "tensorboard").write_text("a file where the folder would be")
    words = ["train", "--lr", "0.1", "--set", "training.epochs=1", "--device", "cpu", "--out", "r"]
    assert run([*words, "--seeds", "2", "--track", "tensorboard", "--json"]) == 0
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1 and "--track tensorboard: failed" in shown.err
    assert len((tmp_path / "r" / "results.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_extra_is_named_before_anything_runs(name: str, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, name, None)
    assert run(["train", "--track", name]) == 2
    assert f'pip install "hptune[{name}]"' in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_an_unknown_tracker_is_refused(capsys):
    assert run(["train", "--track", "wandb"]) == 2
    assert "'wandb'" in capsys.readouterr().err


def test_parameters_and_values_are_those_of_the_table():
    parameters, values = parameters_and_values(result())
    assert parameters["dropout"] == 0.2 and parameters["optimizer"] == "sgd"
    assert "lr_min" not in parameters and "trial" not in parameters
    assert values == {"train_loss": 0.5, "seconds": 2.0}


def test_a_long_curve_is_thinned_and_keeps_every_reading():
    drawn: dict[str, list[int]] = {}
    for name, iteration, _, _ in points(result(20_000)):
        drawn.setdefault(name, []).append(iteration)
    assert len(drawn["train_loss"]) == MOST_POINTS
    assert drawn["train_loss"][0] == 0 and drawn["train_loss"][-1] == 19_999
    assert drawn["val_loss"] == list(range(0, 20_000, 50))


def test_several_listeners_hear_the_same():
    heard: list[tuple[str, str]] = []

    class Listener(Silent):
        def __init__(self, name: str) -> None:
            self.name = name

        def message(self, text: str) -> None:
            heard.append((self.name, text))

        def trial_finished(self, result: TrialResult, *, reused: bool) -> None:
            heard.append((self.name, f"finished {reused}"))

    together = ProgressGroup([Listener("a"), Listener("b")])
    together.message("hello")
    together.trial_finished(result(), reused=True)
    assert heard == [("a", "hello"), ("b", "hello"), ("a", "finished True"), ("b", "finished True")]
