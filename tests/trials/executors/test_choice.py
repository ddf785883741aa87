"""The choice of an executor: by what was measured, made again by a resumed run, told when it moves."""

from __future__ import annotations

import csv
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
import torch

from hptune.cli import run
from hptune.errors import InputError
from hptune.results.records import Trial
from hptune.results.run_dir import RunDir
from hptune.stages import SWEEP
from hptune.step import LossOf
from hptune.task import Task
from hptune.training.device import Device
from hptune.trials.executors import EXECUTORS, choice, inline
from hptune.trials.executors.execution import Execution, devices
from hptune.trials.executors.group import Group
from hptune.trials.executors.inline import Inline
from hptune.trials.executors.processes import Processes

CPU = Device(torch.device("cpu"))
TASK = Task(
    make_model=torch.nn.Identity,
    step=LossOf(torch.nn.functional.cross_entropy),
    train=None,
    validation=None,
    fingerprint="t",
)  # type: ignore[arg-type]
TRIAL = Trial(
    stage=SWEEP, task="t", seed=1, iterations=1000, batch_size=8, lr=0.05, momentum=0.9,
    weight_decay=0.0,
)  # fmt: skip
KEY = "execution/t/cpu"


def trials(count: int, iterations: int = 1000) -> list[Trial]:
    return [TRIAL.change(seed=n, iterations=iterations) for n in range(count)]


@pytest.fixture
def run_dir(tmp_path: Path):
    with RunDir.open(tmp_path / "run") as opened:
        yield opened


def chosen(run_dir: RunDir, count: int, iterations: int = 1000, **options):
    execution = Execution(CPU, run_dir, **options)
    try:
        return execution.choose(TASK, trials(count, iterations))
    finally:
        execution.close()


FASTER = {
    "inline": {"1": 0.01, "2": 0.008}, "processes": {"jobs": 2, "seconds": 0.012}, "fused": None,
}  # fmt: skip
FUSED = FASTER | {"fused": {"gain": 3.0}}


@pytest.mark.parametrize(
    ("measured", "count", "executor", "threads", "group"),
    [
        (FASTER, 4, Processes, 1, 1),  # 4 x 8 s against 2 rounds of 12 s
        (FASTER, 1, Inline, 2, 1),  # nothing to run beside it
        (FASTER | {"processes": {"jobs": 2, "seconds": 0.02}}, 4, Inline, 2, 1),  # workers get slow
        (FASTER | {"processes": None}, 4, Inline, 2, 1),  # they could not run at all
        (FASTER | {"inline": {"1": 0.001, "2": 0.1}}, 4, Inline, 1, 1),  # threads get in the way
        (FASTER | {"inline": {"1": 0.00801, "2": 0.008}}, 1, Inline, 1, 1),  # a tie
        (FUSED, 8, Processes, 1, 16),  # four in each worker
        (FUSED, 5, Inline, 1, 16),  # three in each worker would gain too little
        (FUSED | {"processes": None}, 5, Inline, 1, 16),
        (FUSED | {"processes": None}, 3, Inline, 2, 1),
        (FUSED | {"fused": {"gain": 0.8}}, 8, Processes, 1, 1),
    ],
)
def test_the_choice_follows_from_timings_json_and_the_number_of_trials_alone(
    measured, count: int, executor: type, threads: int, group: int, run_dir: RunDir
):
    run_dir.set_timing(KEY, measured)
    for _ in range(2):
        found = chosen(run_dir, count)
        assert isinstance(found, executor)
        assert (found.threads, found.group.size) == (threads, group)
    assert run_dir.timing(KEY) == measured


def test_what_is_not_known_is_measured_once_and_kept(run_dir: RunDir, monkeypatch):
    asked = []

    def with_threads(count: int) -> AbstractContextManager[None]:
        asked.append(count)
        return nullcontext()

    monkeypatch.setattr(inline, "cpu_threads", with_threads)
    monkeypatch.setattr(inline, "measure_iteration", lambda *a: 0.01 / asked[-1])
    monkeypatch.setattr(choice, "seconds_in_workers", lambda *a: asked.append("w") or 0.004)
    monkeypatch.setattr(choice, "fastest_group", lambda *a: asked.append("f") or (0.005, Group(16)))
    monkeypatch.setattr(choice, "workers_that_fit", lambda *a: 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    # A sweep of a fifth of a second is not worth more than one look.
    assert isinstance(chosen(run_dir, 2, iterations=10), Inline) and asked == [1]
    assert isinstance(chosen(run_dir, 4), Processes) and asked == [1, 2, "w", "f"]
    assert isinstance(chosen(run_dir, 4), Processes) and asked == [1, 2, "w", "f"]
    assert run_dir.timing(KEY) == {
        "inline": {"1": 0.01, "2": 0.005}, "processes": {"jobs": 4, "seconds": 0.004},
        "fused": {"gain": 2.0, "size": 16, "how": "stacked"},
    }  # fmt: skip


def test_workers_that_were_disturbed_get_a_second_look(run_dir: RunDir, monkeypatch):
    looks = [0.05, 0.011]
    monkeypatch.setattr(inline, "measure_iteration", lambda *a: 0.01)
    monkeypatch.setattr(choice, "seconds_in_workers", lambda *a: looks.pop(0))
    monkeypatch.setattr(choice, "fastest_group", lambda *a: None)
    monkeypatch.setattr(choice, "workers_that_fit", lambda *a: 2)
    assert isinstance(chosen(run_dir, 8), Processes) and not looks


def test_trials_that_compute_for_long_are_not_tried_fused(run_dir: RunDir, monkeypatch):
    monkeypatch.setattr(inline, "measure_iteration", lambda *a: 0.3)
    monkeypatch.setattr(choice, "seconds_in_workers", lambda *a: 0.4)
    monkeypatch.setattr(choice, "workers_that_fit", lambda *a: 2)
    monkeypatch.delattr(choice, "fastest_group")
    assert isinstance(chosen(run_dir, 8), Processes)
    assert "fused" not in run_dir.timing(KEY)


def test_jobs_and_executor_force_the_choice(run_dir: RunDir):
    run_dir.set_timing(KEY, FASTER)
    assert isinstance(chosen(run_dir, 4, jobs=1), Inline)
    assert isinstance(chosen(run_dir, 4, executor="inline"), Inline)
    assert isinstance(chosen(run_dir, 1, executor="processes", jobs=3), Processes)
    with pytest.raises(InputError, match="--jobs: 3 with --executor inline"):
        Execution(CPU, run_dir, executor="inline", jobs=3)


def test_an_executor_that_is_not_in_the_table_is_told(run_dir: RunDir):
    with pytest.raises(InputError, match="--executor: 'fuse'; must be one of auto, inline, "):
        Execution(CPU, run_dir, executor="fuse")


@pytest.mark.parametrize("name", sorted(EXECUTORS))
def test_every_executor_of_the_table_can_be_made(name: str, run_dir: RunDir):
    run_dir.set_timing(KEY, FUSED | {"fuses": True})
    executor = chosen(run_dir, 8, executor=name)
    assert executor.in_words and executor.threads


def test_cpu_workers_share_the_device_and_gpu_workers_have_one_each(monkeypatch):
    # The current one by its number: in a worker the first one is current.
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert devices(Device(torch.device("cuda")), None) == (Device(torch.device("cuda", 1)),)
    assert devices(CPU, 3) == (CPU,) * 3
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    found = devices(Device(torch.device("cuda")), 3)
    assert [str(device.torch_device) for device in found] == ["cuda:0", "cuda:1", "cuda:2"]
    one = Device(torch.device("cuda:1"))
    assert devices(one, 3) == (one,)


QUICK = ["--set", "training.epochs=2", "--device", "cpu", "--set", "hyper_parameters.lr=0.05"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_sweep_in_workers_leaves_what_a_sweep_inline_leaves(tmp_path: Path, capsys):
    sweep = ["sweep", "wd", "--values", "1e-2,1e-3,1e-4", "--seeds", "2", *QUICK]
    sweep += ["--set", "procedure.budget=100"]
    assert run([*sweep, "--out", str(tmp_path / "a"), "--executor", "inline"]) == 0
    assert run([*sweep, "--out", str(tmp_path / "b"), "--executor", "processes"]) == 0
    left = [rows(tmp_path / name / "results.csv") for name in "ab"]
    times = {"seconds", "examples_per_second", "peak_memory_mb", "started"}
    shown = [[{k: v for k, v in row.items() if k not in times} for row in t] for t in left]
    assert len(shown[0]) >= 6 and shown[0] == shown[1]
    for path in sorted((tmp_path / "a" / "curves").iterdir()):
        both = [rows(path), rows(tmp_path / "b" / "curves" / path.name)]
        for first, second in zip(*both, strict=True):
            assert first | {"seconds": ""} == second | {"seconds": ""}
    told = capsys.readouterr().err
    assert "note:" not in told
    assert run([*sweep, "--out", str(tmp_path / "b"), "--executor", "inline", "--seeds", "3"]) == 0
    told = capsys.readouterr().err
    assert "were run with executor processes, now it is inline" in told


def test_wrong_jobs_are_told_in_a_line(tmp_path: Path, capsys):
    for wrong in ("0", "-1", "many", "1.5"):
        assert run(["train", "--out", str(tmp_path / "x"), "--jobs", wrong]) == 2
        told = capsys.readouterr().err
        assert "Invalid value for '--jobs'" in told and told.count("\n") == 1
    assert run(["train", "--out", str(tmp_path), "--jobs", "2", "--executor", "inline"]) == 2
    assert "\nerror: --jobs: 2 with --executor inline" in capsys.readouterr().err


def test_the_manifest_has_every_executor_that_was_chosen(run_dir: RunDir):
    run_dir.manifest.write_text('{"executor": "auto"}')
    run_dir.set_timing(KEY, FUSED)
    execution = Execution(CPU, run_dir)
    for count in (1, 8, 1, 5):
        execution.choose(TASK, trials(count))
    execution.close()
    assert run_dir.facts().get("executor") == "auto"
    assert run_dir.facts().get("executors") == (
        "inline, 2 threads; 2 processes, 1 thread, up to 16 trials fused; "
        "inline, 1 thread, up to 16 trials fused"
    )


def test_a_fact_without_a_manifest_is_not_kept(run_dir: RunDir):
    run_dir.add_fact("executors", "inline")
    assert run_dir.facts().get("executors") is None and not run_dir.manifest.exists()
