"""The run directory: the CSV contract, atomic writes, one writer, resuming."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hptune.errors import HptuneError, InputError
from hptune.results import run_dir as module
from hptune.results.atomic import write_atomic
from hptune.results.records import Curve, Decision, Status, Trial, TrialResult
from hptune.results.run_dir import RunDir
from hptune.results.tables import curve_from, curve_text
from hptune.stages import BATCH_SIZE, FINAL, LR_RANGE, MOMENTUM, SWEEP

DESIGN = (
    "trial,stage,status,seed,data,model,optimizer,policy,epochs,iterations,batch_size,lr,lr_min,"
    "momentum,momentum_min,weight_decay,train_loss,val_loss,val_accuracy,best_val_loss,"
    "best_val_accuracy,test_loss,test_accuracy,examples_per_second,seconds,peak_memory_mb,device,started"
)


def make_trial(seed: int = 0, **changes) -> Trial:
    values = dict(
        stage=MOMENTUM, task="t", seed=seed, iterations=5, batch_size=4, lr=0.1,
        momentum=0.9, weight_decay=1e-4,
    )  # fmt: skip
    return Trial(**(values | changes))


def make_result(
    trial: Trial, status: Status = Status.COMPLETE, metric: str = "accuracy"
) -> TrialResult:
    rng = np.random.default_rng(trial.seed)
    n = 5
    val = np.where(np.arange(n) % 2, rng.normal(size=n), np.nan)
    val[3] = 1 / 3
    return TrialResult(
        trial=trial, status=status, data="digits", model="mlp", device="cpu", started="now",
        epochs=1 / 3, seconds=1.5,
        curve=Curve(
            iteration=np.arange(n), epoch=np.arange(n) / 3, lr=rng.random(n), momentum=rng.random(n),
            weight_decay=np.full(n, 1e-4), train_loss=rng.random(n), val_loss=val,
            metrics={metric: val}, seconds=val,
        ),
        train_loss=0.1 + 0.2, val_loss=1 / 3, best_val_loss=0.3,
        val_metrics={metric: 2 / 3}, best_val_metrics={metric: 0.7}, test_metrics={metric: None},
        examples_per_second=1e5, peak_memory_mb=100.0,
    )  # fmt: skip


def test_results_csv_has_the_contracts_columns(tmp_path: Path):
    with RunDir.open(tmp_path) as run:
        run.add(make_result(make_trial()))
    assert (tmp_path / "results.csv").read_text().splitlines()[0] == DESIGN


def test_another_swept_key_and_another_metric_get_columns_and_old_rows_keep_theirs(tmp_path: Path):
    with RunDir.open(tmp_path) as run:
        run.add(make_result(make_trial()))
        run.add(make_result(make_trial(1, stage=SWEEP, extra={"model.dropout": 0.2})))
        header = (tmp_path / "results.csv").read_text().splitlines()[0].split(",")
        assert header[header.index("weight_decay") + 1] == "model.dropout"
        rows = run.rows()
    assert [row["model.dropout"] for row in rows] == [None, 0.2]
    assert rows[0]["val_accuracy"] == 2 / 3
    with RunDir.open(tmp_path / "other") as run:
        run.add(make_result(make_trial(), metric="r2_score"))
        header = (tmp_path / "other" / "results.csv").read_text().splitlines()[0]
    assert header == DESIGN.replace("accuracy", "r2_score")


def test_a_result_reads_back_to_the_bit(tmp_path: Path):
    trial = make_trial()
    with RunDir.open(tmp_path) as run:
        run.add(make_result(trial))
    with RunDir.open(tmp_path) as run:
        back = run.result(trial)
    assert back is not None
    for name in ("train_loss", "val_loss", "epochs", "val_metrics", "test_metrics", "seconds"):
        assert getattr(back, name) == getattr(make_result(trial), name)
    for name in ("lr", "train_loss", "val_loss"):
        np.testing.assert_array_equal(
            getattr(back.curve, name), getattr(make_result(trial).curve, name)
        )


def test_a_nan_in_the_training_loss_is_written_and_a_reading_left_out_is_blank():
    curve = make_result(make_trial()).curve
    curve.train_loss[-1] = np.nan
    lines = curve_text(curve).splitlines()
    assert (
        lines[0]
        == "iteration,epoch,lr,momentum,weight_decay,train_loss,val_loss,val_accuracy,seconds"
    )
    cells = lines[-1].split(",")
    assert cells[5] == "nan" and cells[6] == ""
    assert np.isnan(curve_from(curve_text(curve).encode()).train_loss[-1])


@pytest.mark.parametrize(
    ("status", "reused"),
    [
        (Status.COMPLETE, True),
        (Status.DIVERGED, True),
        (Status.PRUNED, True),
        (Status.FAILED, False),
    ],
)
def test_finished_trials_are_reused_and_failed_ones_run_again(status, reused, tmp_path: Path):
    with RunDir.open(tmp_path) as run:
        run.add(make_result(make_trial(), status))
        assert (run.result(make_trial()) is not None) is reused
        assert run.result(make_trial(9)) is None
        run.add(make_result(make_trial(), Status.COMPLETE))
        assert len(run.rows()) == 1


def test_an_id_derives_from_the_content():
    assert make_trial().id == make_trial().id
    others = {make_trial(lr=0.2).id, make_trial(1).id, make_trial().id}
    assert len(others) == 3
    assert make_trial().id.startswith("momentum-")


def test_decisions_replace_those_of_the_same_stage_and_read_back(tmp_path: Path):
    first = Decision(
        stage=LR_RANGE, parameter="lr", value=0.1, rule="r", reason='says "so", twice\n',
        trials=("a-1", "b-2"), warnings=("w1", "w2"), seconds=2.5,
    )  # fmt: skip
    second = Decision(stage=BATCH_SIZE, parameter="lr", value=0.2, rule="r", reason="x")
    with RunDir.open(tmp_path) as run:
        run.decide([first])
        run.decide([second])
        run.decide([first])
    with RunDir.open(tmp_path, write=False) as run:
        assert run.decisions() == [second, first]


def test_forget_drops_a_stage_and_its_files(tmp_path: Path):
    with RunDir.open(tmp_path) as run:
        run.add(make_result(make_trial()))
        run.add(make_result(make_trial(stage=FINAL)))
        run.forget([MOMENTUM])
        assert [row["stage"] for row in run.rows()] == ["final"]
        assert not run.curve(make_trial().id).exists()
        assert run.curve(make_trial(stage=FINAL).id).exists()


# Faults


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_whole(failing, tmp_path: Path, monkeypatch):
    path = tmp_path / "file"
    write_atomic(path, "old")

    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if failing == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(HptuneError, match="the disk is full"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_crash_between_curve_and_row_leaves_a_directory_that_resumes(tmp_path: Path, monkeypatch):
    real = module.write_atomic

    def crash(path: Path, data: str | bytes) -> None:
        if path.name == "results.csv":
            raise KeyboardInterrupt
        real(path, data)

    with RunDir.open(tmp_path) as run:
        run.add(make_result(make_trial(0)))
        with monkeypatch.context() as patch:
            patch.setattr(module, "write_atomic", crash)
            with pytest.raises(KeyboardInterrupt):
                run.add(make_result(make_trial(1)))
    with RunDir.open(tmp_path) as run:
        assert run.result(make_trial(0)) is not None and run.result(make_trial(1)) is None


def test_what_a_killed_writer_left_is_cleaned(tmp_path: Path):
    (tmp_path / "curves").mkdir()
    (tmp_path / "curves" / "momentum-0a1b2c3d.csv.123.hptune.part").write_text("half")
    with RunDir.open(tmp_path):
        assert not list(tmp_path.rglob("*.part"))


def test_a_second_writer_is_refused_and_a_reader_is_not(tmp_path: Path):
    code = "from pathlib import Path; from hptune.results.run_dir import RunDir; import sys\n"
    code += "RunDir.open(Path(sys.argv[1]))"
    with RunDir.open(tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
        )
        assert "is in use by another hptune" in done.stderr
        RunDir.open(tmp_path, write=False)
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_a_file_in_the_place_of_the_directory_is_an_input_error(tmp_path: Path):
    (tmp_path / "f").write_text("")
    with pytest.raises(InputError, match="must be a folder that can be written"):
        RunDir.open(tmp_path / "f")
    with pytest.raises(InputError, match="no such run directory"):
        RunDir.open(tmp_path / "absent", write=False)


def test_killed_at_any_moment_every_file_is_whole(tmp_path: Path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\nfrom test_run_dir import *\n"
        "run = RunDir.open(Path(sys.argv[1]))\n"
        "make_trial(); print('ready', flush=True)\n"
        "for seed in range(100000): run.add(make_result(make_trial(seed)))\n"
    )
    here = str(Path(__file__).parent)
    for wait in (0.05, 0.11, 0.2):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), here], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with RunDir.open(tmp_path) as run:
            rows = run.rows()
            assert rows and all(None not in (row["trial"], row["started"]) for row in rows)
            for row in rows:
                assert len(curve_from(run.curve(str(row["trial"])).read_bytes())) == 5


def test_timings_are_kept(tmp_path: Path):
    with RunDir.open(tmp_path) as run:
        run.set_timing("speed/64", 12.5)
        assert run.timing("speed/64") == 12.5 and run.timing("absent") is None
        assert json.loads(run.timings.read_text()) == {"speed/64": 12.5}
