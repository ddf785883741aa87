"""Compiled models: the curves of others, one graph for all trials of a shape, and when they are tried.

What these tests compile is traced and run by torch's own operations, which takes no C++ compiler; one
that is marked `slow` compiles in earnest, and those marked `gpu` do on a card.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from factories import CPU, image_task, image_trial, mlp_task, mlp_trial, results_of, trained
from torch import Tensor, nn

from hptune.cli import run
from hptune.results.records import TrialResult
from hptune.results.run_dir import RunDir
from hptune.results.settings import OptimizerSpec, TrainingSettings
from hptune.training import compiled
from hptune.training.compiling import choose_compiled, may_repay, measure_compiled
from hptune.training.device import Device, resolve_device
from hptune.training.loop import Lanes
from hptune.training.ranks import Ranks
from hptune.training.trial_run import Job, TrialRun
from hptune.trials.executors import compiling as executing
from hptune.trials.executors.compiling import compile_where_repaid
from hptune.trials.executors.execution import Execution
from hptune.trials.executors.group import Group
from hptune.trials.executors.inline import Inline
from hptune.trials.executors.processes import Processes

COMPILED = replace(CPU, compile_from_iteration=0)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Trace models without code being generated; gives the compiler's counters."""
    import torch._dynamo

    torch._dynamo.reset()
    loss = torch.compile(compiled._loss, dynamic=False, backend="aot_eager")
    monkeypatch.setattr(compiled, "_compiled", lambda: loss)
    torch._dynamo.utils.counters.clear()
    yield torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()


def assert_close(first: TrialResult, second: TrialResult, rtol: float = 1e-4) -> None:
    assert first.status is second.status
    for name in ("train_loss", "val_loss"):
        np.testing.assert_allclose(
            getattr(first.curve, name), getattr(second.curve, name), rtol=rtol
        )


def test_trials_of_a_shape_share_one_graph_and_have_the_curves_of_others(traced: Any):
    task = mlp_task(dropout=0.2)  # what is dropped is the same, too
    for n, trial in enumerate([mlp_trial(), mlp_trial(seed=4, lr=0.05), mlp_trial(momentum=0.9)]):
        assert_close(trained(task, trial), trained(task, trial, COMPILED))
        assert traced["unique_graphs"] == 1, n
    trained(task, mlp_trial(batch_size=8), COMPILED)
    assert traced["unique_graphs"] == 2


def test_parts_of_a_batch_and_a_snapshot_go_on_compiled(traced: Any, tmp_path: Path):
    trial = mlp_trial(settings=TrainingSettings(evaluations=8, accumulate=2))
    task, snapshot = mlp_task(), tmp_path / "s.pt"
    trained(task, trial, COMPILED, snapshot=snapshot, until=20)
    assert_close(trained(task, trial), trained(task, trial, COMPILED, snapshot=snapshot))


class Refusing(nn.Module):
    """Fails in a pass that is traced by the compiler."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        if torch.compiler.is_compiling():
            raise RuntimeError("not while compiling")
        logits: Tensor = self.layer(x)
        return logits


def test_a_model_that_cannot_be_compiled_is_trained_as_it_is(traced: Any):
    task, trial = mlp_task().change(make_model=Refusing), mlp_trial(momentum=0.9)
    assert_close(trained(task, trial), trained(task, trial, COMPILED), rtol=0.0)
    measured = measure_compiled(task, trial, CPU)
    assert measured["as_it_is"] and measured["compiled"] is None and measured["why"]
    assert choose_compiled(CPU, measured, 16, 10**9, forced=True) == CPU


def test_a_run_compiles_where_the_user_says_so(
    traced: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    command = ["train", "--epochs", "1", "--lr", "0.05", "--quiet", "--jobs", "1", "--out"]

    def losses(out: str, compile: str) -> list[float]:
        folder = tmp_path / out
        assert run([*command, str(folder), "--set", f"execution.compile={compile}"]) == 0
        facts = json.loads((folder / "manifest.json").read_text())
        assert facts.get("compiled", False) == (compile == "true")
        (curve,) = (folder / "curves").iterdir()
        return [float(line.split(",")[5]) for line in curve.read_text().splitlines()[1:]]

    usual = losses("usual", "auto")  # on a CPU
    assert not traced["unique_graphs"]
    assert losses("compiled", "true") == pytest.approx(usual, rel=1e-4)
    assert traced["unique_graphs"] == 1  # of the probe and of the trial
    assert run([*command, str(tmp_path / "no"), "--set", "execution.compile=maybe"]) == 2
    assert "execution.compile" in capsys.readouterr().err


GPU = Device(torch.device("cuda"), torch.bfloat16)
FOUND = {"as_it_is": 2e-3, "compiled": 1e-3, "compiling": 40.0, "why": ""}


def test_compiling_is_not_tried_before_it_could_be_repaid():
    net = nn.Sequential(*(nn.Linear(2, 2) for _ in range(40)))  # 10 s to start, 40 parts of 0.25 s
    assert may_repay(net, planned=81_000, seconds=1e-3)
    assert not may_repay(net, planned=79_000, seconds=1e-3)
    two_minutes = 120_000  # iterations of a millisecond
    assert not may_repay(nn.Sequential(*(nn.Linear(2, 2) for _ in range(160))), two_minutes, 1e-3)


@pytest.mark.parametrize(
    ("changes", "planned", "expected"),
    [
        ({}, 50_000, (40_000, 128)),
        ({}, 39_000, (None, None)),  # is not repaid
        ({"compiled": 1.9e-3}, 10**9, (None, None)),  # not clearly faster
        ({"compiled": None, "why": "Unsupported"}, 10**9, (None, None)),
        ({"as_it_is": None}, 10**9, (None, None)),
    ],
)
def test_trials_of_the_measured_size_are_compiled_and_long_ones_of_others(
    changes: dict[str, Any], planned: int, expected: tuple[int | None, int | None]
):
    device = choose_compiled(GPU, FOUND | changes, 128, planned)
    assert (device.compile_from_iteration, device.compiled_batch) == expected
    decided = expected[1] is not None
    assert device.compiles(128, 100) == decided and device.compiles(64, 40_000) == decided
    assert not device.compiles(64, 39_999)
    together = replace(device, ranks=Ranks(2))
    assert not together.compiles(128, 100)


def test_a_gpus_sweep_is_probed_once_where_that_can_pay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    probed: list[int] = []

    def measure(task: Any, trial: Any, device: Device) -> dict[str, Any]:
        probed.append(trial.iterations)
        return FOUND

    monkeypatch.setattr(executing, "measure_compiled", measure)
    monkeypatch.setattr(executing, "inline_seconds", lambda *_: {"1": 2e-3})
    task, trial = mlp_task(), mlp_trial(iterations=30_000)
    alone, stacked = Inline(GPU), Inline(GPU, group=Group(8))
    for compiles, trials, executor, expected in (
        (False, [trial] * 4, alone, []),
        ("auto", [trial.change(iterations=1000)] * 4, alone, []),
        ("auto", [trial] * 4, stacked, []),
        ("auto", [trial] * 4, alone, [30_000]),
        ("auto", [trial] * 4, alone, [30_000]),  # what was measured is kept
    ):
        with RunDir.open(tmp_path / "run") as run_dir:
            execution = Execution(GPU, run_dir, executor="inline", compiles=compiles)
            changed = compile_where_repaid(execution, task, trials, executor)
            assert probed == expected and changed == bool(expected)
            assert execution.device.compiles(16, 10) == bool(expected)


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_compiled_code_trains_as_torchs_operations_do(executor: str, tmp_path: Path):
    torch._dynamo.reset()
    task, trials = mlp_task(dropout=0.2), [mlp_trial(), mlp_trial(lr=0.05)]
    device = choose_compiled(CPU, measure_compiled(task, trials[0], CPU), 16, 0, forced=True)
    assert device.compiles(16, 1)
    usual = [trained(task, trial) for trial in trials]
    jobs = [Job(trial) for trial in trials]
    runs: Any = Inline(device) if executor == "inline" else Processes((device, device))
    try:
        found = results_of(runs, task, jobs)
    finally:
        runs.close()
    for trial, result in zip(trials, usual, strict=True):
        assert_close(result, found[trial.id])


@pytest.mark.gpu
@pytest.mark.parametrize("graph_steps", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_gpu_records_what_is_compiled(optimizer: str, graph_steps: bool):
    device = replace(resolve_device("cuda", "fp32"), needs_probe=False)
    fast = replace(
        device, graph_from_iteration=0, graph_steps=graph_steps, compile_from_iteration=0
    )
    spec = OptimizerSpec(name=optimizer)
    trial = image_trial(iterations=40, batch_size=32, optimizer=spec, lr=1e-3)
    task = image_task(examples=512)
    lanes = Lanes([alone := TrialRun(task, Job(trial), fast)])
    for _ in range(3):
        lanes.step()
    assert lanes.not_captured is None and alone.loss.error is None
    assert_close(trained(task, trial, device), trained(task, trial, fast), rtol=0.02)


@pytest.mark.gpu
def test_a_gpus_probe_finds_compiled_passes_alike():
    device = replace(resolve_device("cuda"), needs_probe=False, graph_from_iteration=0)
    measured = measure_compiled(image_task(examples=512), image_trial(batch_size=32), device)
    assert not measured["why"] and measured["compiled"] > 0 and measured["compiling"] > 0
