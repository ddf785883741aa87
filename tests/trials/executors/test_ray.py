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
from hptune.errors import InputError
from hptune.results.records import Status
from hptune.trials.executors import Cluster
from hptune.trials.executors.inline import Inline
from hptune.trials.executors.ray import Ray

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
TIMES = {"seconds", "examples_per_second", "peak_memory_mb", "started"}


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
    assert heard.lines == [f"{trial.id}: its worker died; it runs again"]
    lost = results.pop(trial.id)
    assert all(result.status is Status.COMPLETE for result in results.values())
    if times == 1:
        assert lost.status is not Status.FAILED
    else:
        assert lost.status is Status.FAILED
        assert lost.message == "given up, its worker died again"


SWEEP = [
    "sweep", "lr", "--values", "0.01,0.02,0.03", "--device", "cpu",
    "--set", "training.epochs=120", "--set", "hyper_parameters.lr=0.01",
]  # fmt: skip


def test_a_node_that_is_lost_in_the_middle_changes_no_result(
    nodes: Nodes,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    assert run([*SWEEP, "--executor", "inline", "--out", str(tmp_path / "inline")]) == 0
    curves = tmp_path / "ray" / "curves"

    heard = set[str]()

    def progressed(self: Any, job: Any, trial_progress: Any) -> None:
        heard.add(job.trial.id)
        if len(heard) == 3:  # all nodes are at work
            heard.update("only once")
            nodes.lose_one()

    monkeypatch.setattr("hptune.trials.run.ProgressAdapter.progressed", progressed)
    assert run([*SWEEP, "--executor", "ray", "--out", str(tmp_path / "ray")]) == 0
    shown = "".join(capsys.readouterr())
    assert shown.count("it runs again") == 1 and "raylet" not in shown
    assert without_times(tmp_path / "ray") == without_times(tmp_path / "inline")
    for curve in (tmp_path / "inline" / "curves").iterdir():
        ours, theirs = (
            np.genfromtxt(f, delimiter=",", names=True) for f in (curve, curves / curve.name)
        )
        np.testing.assert_array_equal(ours["val_loss"], theirs["val_loss"])


LONG = [*SWEEP, "--set", "training.epochs=240", "--values", "0.01,0.02", "--executor", "ray"]


def test_trials_on_nodes_are_saved_when_the_driver_is_to_end_and_go_on_from_there(
    nodes: Nodes,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    began = dict[str, int]()

    def progressed(self: Any, job: Any, trial_progress: Any) -> None:
        began.setdefault(job.trial.id, trial_progress.began)
        if len(began) == 2 and not any(began.values()):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("hptune.trials.run.ProgressAdapter.progressed", progressed)
    assert run([*LONG, "--out", str(tmp_path)]) == 130
    assert "interrupted; what was finished is saved" in capsys.readouterr().err
    assert {path.stem for path in (tmp_path / "snapshots").iterdir()} == set(began)
    began.clear()
    assert run([*LONG, "--out", str(tmp_path)]) == 0
    assert len(began) == 2 and all(began.values())
    assert [row["status"] for row in without_times(tmp_path)] == ["complete"] * 2


@pytest.mark.slow
def test_a_driver_that_is_killed_is_taken_up_by_the_same_command(nodes: Nodes, tmp_path: Path):
    command = [*LONG, "--set", "training.epochs=3000", "--out", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "hptune", *command, "--address", nodes.address]
    )
    # A snapshot comes back every five seconds.
    wait_for(lambda: len(list((tmp_path / "snapshots").glob("*.pt"))) == 2, 90)
    process.kill()
    process.wait()
    wait_for(lambda: ray.available_resources().get("CPU") == nodes.executor.slots)
    assert run(command) == 0
    assert [row["status"] for row in without_times(tmp_path)] == ["complete"] * 2


def wait_for(condition: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def test_a_trial_that_no_node_has_room_for_is_told_in_a_line(nodes: Nodes):
    with pytest.raises(InputError, match="2 CPUs for a trial; no node of the cluster has so much"):
        Ray(CPU, Cluster(nodes.address, cpus=2), None, print)
