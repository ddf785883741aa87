"""A Ray cluster of three nodes on this machine: what inline gives, whatever dies on the way."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import (
    CPU,
    NET_TRIAL,
    Deaf,
    candidates,
    jobs_in,
    mlp_task,
    mlp_trial,
    net_task,
    results_of,
    same_curve,
)

from hptune.cli import run
from hptune.results.records import Status
from hptune.trials.executors import Cluster
from hptune.trials.executors.inline import Inline
from hptune.trials.executors.ray import Ray

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
TIMES = {"seconds", "examples_per_second", "peak_memory_mb", "started"}


QUICK = ["sweep", "lr", "--values", "0.1,0.2", "--device", "cpu", "--executor", "ray"]


class Nodes:
    """Three nodes of one CPU each, with the executor that joined them."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as LocalCluster

        head = {"num_cpus": 1, "include_dashboard": False}
        self._cluster = LocalCluster(initialize_head=True, head_node_args=head)
        self._nodes = [self._cluster.add_node(num_cpus=1, wait=False) for _ in range(2)]
        self._cluster.wait_for_nodes()
        self.address, self.told = self._cluster.address, list[str]()
        self.executor = Ray(CPU, Cluster(self.address), None, self.told.append)

    def lose_one(self) -> None:
        """End a node with its workers, as a machine that is taken away does."""
        node = self._nodes.pop()
        raylet = node.all_processes["raylet"][0].process.pid
        workers = Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split()
        self._cluster.remove_node(node, allow_graceful=False)
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(int(worker), signal.SIGKILL)

    def close(self) -> None:
        self.executor.close()
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    found = Nodes()
    yield found
    found.close()


def without_times(path: Path) -> list[dict[str, str]]:
    with (path / "results.csv").open() as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


def test_trials_on_nodes_are_those_of_inline_to_the_bit(nodes: Nodes, tmp_path: Path):
    task = net_task()
    alone = results_of(Inline(CPU, 1), task, jobs_in(tmp_path / "a", candidates(4)))
    together = results_of(nodes.executor, task, jobs_in(tmp_path / "b", candidates(4)))
    assert set(together) == set(alone) and nodes.executor.slots == 3
    for trial, result in alone.items():
        assert same_curve(result.curve, together[trial].curve)
        assert result.val_metrics == together[trial].val_metrics
    # What the nodes got is told: this very file too, for the code that is in it.
    (told,) = nodes.told
    assert "hptune" in told and "test_ray.py" in told and "MiB" in told


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nowhere", "ray://127.0.0.1:10001"])
def test_a_cluster_that_does_not_answer_is_told_in_a_line(
    address: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    assert run([*QUICK, "--address", address, "--out", str(tmp_path)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert f"--address: {address!r}" in line and "must be auto or HOST:PORT" in line


def test_files_travel_so_that_trials_pause_branch_and_keep_their_weights(
    nodes: Nodes, tmp_path: Path
):
    task, ends = mlp_task(), {}
    for name, executor in {"alone": Inline(CPU, 1), "on nodes": nodes.executor}.items():
        folder = tmp_path / name
        (job,) = jobs_in(folder, [mlp_trial()])
        (paused,) = results_of(executor, task, [replace(job, until=20)]).values()
        assert paused.status is Status.PRUNED and len(paused.curve) == 20
        parent = folder / "parent.pt"
        parent.write_bytes(job.snapshot.read_bytes())
        weights = folder / "weights.pt"
        branch = mlp_trial(weight_decay=0.1, snapshot=f"{job.trial.digest}@20")
        others = [
            replace(job, checkpoint=weights),
            replace(jobs_in(folder, [branch])[0], parent=parent),
        ]
        ends[name] = results_of(executor, task, others)
        assert weights.exists()
    for trial, result in ends["alone"].items():
        assert result.status is Status.COMPLETE
        assert same_curve(result.curve, ends["on nodes"][trial].curve)


def dying(mark: Path, times: int) -> Any:
    """Return a task whose trials kill their worker, so many times between them."""
    from torch import nn

    class Dying(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3))

        def forward(self, x: Any) -> Any:
            if self.training and abs(self.net[1].weight).max() > 1:
                deaths = len(list(mark.iterdir()))
                if deaths < times:
                    (mark / str(deaths)).touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            return self.net(x)

    return net_task(make_model=Dying)


class Heard(Deaf):
    def __init__(self) -> None:
        self.lines = list[str]()

    def message(self, text: str) -> None:
        self.lines.append(text.strip())


@pytest.mark.parametrize("times", [1, pytest.param(9, marks=pytest.mark.slow)])
def test_a_worker_that_dies_is_told_in_a_line_and_its_trial_runs_once_more(
    nodes: Nodes, times: int, tmp_path: Path
):
    task, heard = dying(tmp_path, times), Heard()
    trial = NET_TRIAL.change(lr=1e3, lr_min=1e3)
    jobs = jobs_in(tmp_path / "files", [trial, *candidates(2)])
    results = {j.trial.id: r for j, r in nodes.executor.run(task, jobs, heard)}
    told = [line for line in heard.lines if "waiting" not in line]  # of a busy machine
    assert told == [f"{trial.id}: its worker died; it runs again"]
    lost = results.pop(trial.id)
    assert all(result.status is Status.COMPLETE for result in results.values())
    if times == 1:
        assert lost.status is not Status.FAILED
    else:
        assert lost.status is Status.FAILED
        assert lost.message == "given up, its worker died again"


SLOWED = """
import time
from pathlib import Path
from torch.nn import functional as F

def loss(outputs, targets):
    if Path({mark!r}).exists():
        time.sleep(0.02)
    return F.cross_entropy(outputs, targets)
"""


class Sweep:
    """A sweep with a loss of the user's own, which takes long as long as a file is there."""

    def __init__(self, folder: Path) -> None:
        self.slow = folder / "slow"
        module = f"slowed_{folder.name}"  # another one in each test: this process keeps modules
        (folder / f"{module}.py").write_text(SLOWED.format(mark=str(self.slow)))
        self.command = [
            "sweep", "lr", "--values", "0.01,0.02,0.03", "--device", "cpu",
            "--set", f"loss={module}:loss", "--set", "training.epochs=45",
            "--set", "hyper_parameters.lr=0.01",
        ]  # fmt: skip

    def on_nodes(self, out: Path) -> int:
        return run([*self.command, "--executor", "ray", "--out", str(out)])


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    monkeypatch.chdir(tmp_path)
    return Sweep(tmp_path)


def at_work(monkeypatch: pytest.MonkeyPatch, method: str, then: Any) -> dict[str, Any]:
    """Call something once three trials have been heard of by a method of the listener."""
    heard = dict[str, Any]()

    def hear(self: Any, job: Any, *progress: Any) -> None:
        if job.trial.id not in heard:
            heard[job.trial.id] = progress
            if len(heard) == 3:
                then()

    monkeypatch.setattr(f"hptune.trials.run.ProgressAdapter.{method}", hear)
    return heard


def test_trials_on_nodes_are_saved_when_the_driver_is_to_end_and_go_on_from_there(
    nodes: Nodes, sweep: Sweep, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    sweep.slow.touch()
    heard = at_work(monkeypatch, "progressed", lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert sweep.on_nodes(Path("ray")) == 130
    assert "interrupted; what was finished is saved" in capsys.readouterr().err
    assert {path.stem for path in Path("ray/snapshots").iterdir()} == set(heard)
    again = at_work(monkeypatch, "progressed", sweep.slow.unlink)
    assert sweep.on_nodes(Path("ray")) == 0
    assert set(again) == set(heard) and all(where.began > 0 for (where,) in again.values())
    assert [row["status"] for row in without_times(Path("ray"))] == ["complete"] * 3


@pytest.mark.slow
def test_a_driver_that_is_killed_is_taken_up_by_the_same_command(nodes: Nodes, sweep: Sweep):
    sweep.slow.touch()
    options = ["--executor", "ray", "--out", "ray", "--address", nodes.address]
    process = subprocess.Popen([sys.executable, "-m", "hptune", *sweep.command, *options])
    # A snapshot comes back every five seconds.
    wait_for(lambda: any(Path("ray/snapshots").glob("*.pt")), 90)
    process.kill()
    process.wait()
    sweep.slow.unlink()
    assert sweep.on_nodes(Path("ray")) == 0
    assert [row["status"] for row in without_times(Path("ray"))] == ["complete"] * 3


def wait_for(condition: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def test_a_trial_that_no_node_has_room_for_is_told_in_a_line(nodes: Nodes):
    told = list[str]()
    Ray(CPU, Cluster(nodes.address, cpus=2, gpus=0.5), None, told.append)
    assert told == [
        "  2 CPUs and 0.5 GPU for a trial; no node of the cluster has so much now; trials wait until one has"
    ]


def test_a_node_that_is_lost_in_the_middle_changes_no_result(
    nodes: Nodes, sweep: Sweep, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert run([*sweep.command, "--executor", "inline", "--out", "inline"]) == 0
    sweep.slow.touch()

    def lose_one() -> None:
        nodes.lose_one()
        sweep.slow.unlink()

    at_work(monkeypatch, "started", lose_one)
    assert sweep.on_nodes(Path("ray")) == 0
    shown = "".join(capsys.readouterr())
    assert shown.count("it runs again") == 1 and "raylet" not in shown
    assert without_times(Path("ray")) == without_times(Path("inline"))
    for curve in Path("inline/curves").iterdir():
        ours, theirs = (
            np.genfromtxt(file, delimiter=",", names=True)
            for file in (curve, Path("ray/curves") / curve.name)
        )
        np.testing.assert_array_equal(ours["val_loss"], theirs["val_loss"])
