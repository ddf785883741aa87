"""Worker processes: the curves of one after another, and what becomes of failures and deaths."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import CPU, NET_TRIAL, Deaf, candidates, jobs_in, net_task, results_of
from torch import nn

from hptune.errors import InputError
from hptune.results.records import Status
from hptune.results.run_dir import RunDir
from hptune.training.device import resolve_device
from hptune.trials.executors.inline import Inline
from hptune.trials.executors.processes import Processes

NETS = [
    "mlp", "three-layer", "lenet", "resnet-20", "wide-resnet-8-2", "densenet-10-4",
    pytest.param("torchvision:resnet18", marks=pytest.mark.slow),
]  # fmt: skip


@pytest.fixture
def processes():
    executor = Processes([CPU, CPU])
    yield executor
    executor.close()


def assert_same(first, second) -> None:
    for name in ("iteration", "epoch", "lr", "momentum", "train_loss", "val_loss"):
        np.testing.assert_array_equal(getattr(first.curve, name), getattr(second.curve, name))
    for name in first.curve.metrics:
        np.testing.assert_array_equal(first.curve.metrics[name], second.curve.metrics[name])
    assert (first.status, first.val_loss, first.val_metrics) == (
        second.status, second.val_loss, second.val_metrics,
    )  # fmt: skip


@pytest.mark.parametrize("net", NETS)
def test_every_net_trains_in_workers_as_it_does_inline_to_the_bit(net, processes, tmp_path: Path):
    task, jobs = net_task(net), jobs_in(tmp_path, candidates())
    alone = results_of(Inline(CPU, 1), task, jobs)
    together = results_of(processes, task, jobs)
    assert list(alone) == [job.trial.id for job in jobs]
    assert set(together) == set(alone)
    for trial, result in alone.items():
        assert_same(result, together[trial])


@pytest.mark.gpu
def test_each_worker_of_two_gpus_trains_on_its_own(tmp_path: Path):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    devices = [
        replace(resolve_device(name, "fp32"), needs_probe=False) for name in ("cuda:0", "cuda:1")
    ]
    executor = Processes(devices)
    task, jobs = net_task("resnet-20"), jobs_in(tmp_path, candidates())
    try:
        assert executor.each(task, _current_gpu, None) == [0, 1]
        together = results_of(executor, task, jobs)
    finally:
        executor.close()
    for trial, result in results_of(Inline(devices[0]), task, jobs).items():
        assert together[trial].val_loss == pytest.approx(result.val_loss, rel=0.05)


def _current_gpu(task, request, device, report) -> int:
    return torch.cuda.current_device()


def test_workers_are_kept_from_sweep_to_sweep_and_started_anew_for_another_task(
    processes, tmp_path: Path
):
    task = net_task()
    results_of(processes, task, jobs_in(tmp_path, candidates()))
    first = processes.each(task, _pid, None)
    results_of(processes, task, jobs_in(tmp_path, candidates(5)))
    assert processes.each(task, _pid, None) == first
    assert len(set(first)) == 2 and os.getpid() not in first
    assert not set(processes.each(net_task(), _pid, None)) & set(first)


def _pid(task, request, device, report) -> int:
    return os.getpid()


def test_a_job_that_pauses_in_a_worker_goes_on_from_its_snapshot(processes, tmp_path: Path):
    task, (job,) = net_task(), jobs_in(tmp_path, [NET_TRIAL])
    (paused,) = results_of(processes, task, [replace(job, until=3)]).values()
    assert paused.status is Status.PRUNED and len(paused.curve) == 3
    (whole,) = results_of(processes, task, [job]).values()
    (alone,) = results_of(Inline(CPU, 1), task, jobs_in(tmp_path / "other", [NET_TRIAL])).values()
    assert_same(whole, alone)


def failing_for(lr: float, failure) -> object:
    """Return a loss that fails in the trial of one LR; told by the weights' first step."""

    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3))

        def forward(self, x):
            if abs(self.net[1].weight).max() > lr:
                failure()
            return self.net(x)

    return Failing


def test_a_trial_that_fails_in_a_worker_is_a_failed_one_and_the_others_go_on(
    processes, tmp_path: Path
):
    def fail() -> None:
        raise RuntimeError("the weights are\ntoo large")

    task = net_task(make_model=failing_for(1.0, fail))
    trials = [NET_TRIAL, NET_TRIAL.change(lr=1e3, lr_min=1e3)]
    results = list(results_of(processes, task, jobs_in(tmp_path, trials)).values())
    by_lr = {result.trial.lr: result for result in results}
    assert by_lr[0.05].status is Status.COMPLETE
    assert by_lr[1e3].status is Status.FAILED and len(by_lr[1e3].curve) == 0
    assert by_lr[1e3].message == "RuntimeError: the weights are too large"


def test_a_worker_that_is_killed_is_replaced_and_its_trial_run_again(processes, tmp_path: Path):
    mark = tmp_path / "killed"

    def die_once() -> None:
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    task = net_task(make_model=failing_for(0.0, die_once))
    jobs = jobs_in(tmp_path, candidates(4))
    results = results_of(processes, task, jobs)
    assert mark.exists() and len(results) == 4
    alone = results_of(Inline(CPU, 1), task, jobs)
    for trial, result in alone.items():
        assert_same(result, results[trial])


def test_a_trial_whose_worker_dies_twice_has_failed(processes, tmp_path: Path):
    def crash() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    task = net_task(make_model=failing_for(1.0, crash))
    trials = [NET_TRIAL.change(lr=1e3, lr_min=1e3), *candidates(3)]
    results = results_of(processes, task, jobs_in(tmp_path, trials))
    assert [r.status for r in results.values()].count(Status.COMPLETE) == 3
    lost = results[trials[0].id]
    assert lost.status is Status.FAILED
    assert lost.message == "the worker process died twice: Killed"


def test_what_is_wrong_for_every_trial_is_raised_and_no_worker_is_left_at_work(
    processes, tmp_path: Path
):
    jobs = jobs_in(tmp_path, [NET_TRIAL.change(batch_size=17), *candidates()])
    with pytest.raises(InputError, match="batch_size: 17; must not exceed the 16 training"):
        results_of(processes, net_task(), jobs)
    done = results_of(processes, net_task(), jobs[1:])
    assert all(result.status is Status.COMPLETE for result in done.values())


def test_stopping_halfway_ends_what_runs(processes, tmp_path: Path):
    task, jobs = net_task(), jobs_in(tmp_path, candidates(6))
    others = set(children(os.getpid()))
    running = processes.run(task, jobs, Deaf())
    next(running)
    assert set(children(os.getpid())) > others
    running.close()
    assert not processes._busy
    processes.close()
    assert set(children(os.getpid())) <= others


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


LONG_SWEEP = [
    sys.executable, "-m", "hptune", "sweep", "lr", "--executor", "processes", "--jobs", "2",
    "--device", "cpu", "--set", "training.epochs=5000", "--set", "hyper_parameters.lr=0.01",
    "--values", "0.01,0.02,0.03",
]  # fmt: skip


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_the_command(how: signal.Signals, tmp_path: Path):
    process = subprocess.Popen(
        [*LONG_SWEEP, "--out", str(tmp_path)], stderr=subprocess.PIPE, text=True
    )
    workers = wait_for(lambda: len(found := children(process.pid)) == 2 and found)
    wait_for(lambda: all(seconds_of(worker) > 0.3 for worker in workers))
    process.send_signal(how)
    _, told = process.communicate(timeout=20)
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    if how is signal.SIGINT:
        assert process.returncode == 130
        assert "interrupted" in told and "Traceback" not in told
    RunDir.open(tmp_path).close()  # its lock went with the processes


def seconds_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(condition, seconds: float = 30):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)
    return found


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that are not forked, as on a machine with a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def tiny_model() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3))


@pytest.mark.slow
def test_workers_that_cannot_be_forked_are_started_anew_and_train_the_same(
    spawned: None, tmp_path: Path
):
    task = net_task(make_model=tiny_model, metrics={})
    executor = Processes([CPU])
    jobs = jobs_in(tmp_path, candidates(2))
    try:
        together = results_of(executor, task, jobs)
    finally:
        executor.close()
    for trial, result in results_of(Inline(CPU, 1), task, jobs).items():
        np.testing.assert_allclose(
            result.curve.train_loss, together[trial].curve.train_loss, rtol=1e-5
        )


def test_a_task_that_cannot_be_sent_to_a_started_process_is_told_in_a_line(
    spawned: None, tmp_path: Path
):
    executor = Processes([CPU])
    with pytest.raises(Exception, match=r"cannot be sent to another process.*--executor inline"):
        results_of(executor, net_task(), jobs_in(tmp_path, candidates(1)))
    executor.close()
