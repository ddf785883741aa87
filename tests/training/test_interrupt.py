"""Signals that take the machine away: what is in flight is saved, and the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from factories import CPU, Deaf, jobs_in, mlp_task, mlp_trial, same_curve, trained

from hptune.training import interrupt, loop
from hptune.trials.executors.inline import Inline

USER_1 = getattr(signal, "SIGUSR1", signal.SIGTERM)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, USER_1])
@pytest.mark.parametrize("after", [1, 7, 8, 39])  # iterations; it is read after every fifth
def test_a_signal_lets_the_trial_save_itself_after_its_iteration(
    how: signal.Signals, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole, steps = trained(mlp_task(), mlp_trial()), 0
    original = loop.Lanes.step

    def step(self: loop.Lanes) -> Any:
        nonlocal steps
        steps += 1
        if steps == after:
            os.kill(os.getpid(), how)
        return original(self)

    monkeypatch.setattr(loop.Lanes, "step", step)
    snapshot = tmp_path / "snapshot.pt"
    with pytest.raises(KeyboardInterrupt), interrupt.signals_handled():
        trained(mlp_task(), mlp_trial(), snapshot=snapshot)
    assert steps == after and snapshot.exists()
    resumed = trained(mlp_task(), mlp_trial(), snapshot=snapshot)
    assert steps == 40  # none twice
    assert same_curve(whole.curve, resumed.curve)


def test_a_trial_that_ends_meanwhile_is_kept_and_the_next_one_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    steps, ended, original = 0, list[str](), loop.Lanes.step

    def step(self: loop.Lanes) -> Any:
        nonlocal steps
        steps += 1
        if steps == 40:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self)

    monkeypatch.setattr(loop.Lanes, "step", step)
    jobs = jobs_in(tmp_path, [mlp_trial(), mlp_trial(seed=4)])
    with pytest.raises(KeyboardInterrupt), interrupt.signals_handled():
        for job, _ in Inline(CPU, 1).run(mlp_task(), jobs, Deaf()):
            ended.append(job.trial.id)
    assert ended == [jobs[0].trial.id] and steps == 40


def test_what_others_handle_or_ignore_stays_so():
    own = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with interrupt.signals_handled():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGINT) is interrupt.on_signal
        assert signal.getsignal(signal.SIGINT) is not interrupt.on_signal
    finally:
        signal.signal(signal.SIGTERM, own)


def test_a_second_ctrl_c_does_not_wait_and_a_second_sigterm_does():
    with interrupt.signals_handled(), interrupt.in_flight():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.requested()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_a_scheduler_that_signals_every_process_loses_nothing(executor: str, tmp_path: Path):
    at_once = {"inline": 1, "processes": 2}[executor]
    command = [
        sys.executable, "-m", "hptune", "sweep", "lr", "--values", "0.01,0.02", "--device", "cpu",
        "--set", "training.epochs=2000", "--set", "hyper_parameters.lr=0.01", "--quiet",
        "--executor", executor, "--jobs", str(at_once), "--out", str(tmp_path),
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    trains = [process.pid]
    if executor == "inline":
        until(lambda: (tmp_path / "timings.json").exists())  # the trials come after the probe
    else:
        trains = until(lambda: len(found := children(process.pid)) == 2 and found)
    before = {pid: seconds_of(pid) for pid in trains}
    until(lambda: all(seconds_of(pid) > before[pid] + 0.3 for pid in trains))
    os.killpg(process.pid, signal.SIGTERM)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130, told
    assert "interrupted" in told and "Traceback" not in told
    saved = sorted(path.name for path in (tmp_path / "snapshots").iterdir())
    assert len(saved) == at_once and all(name.endswith(".pt") for name in saved)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def seconds_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def until(condition: Any) -> Any:
    end = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)
    return found
