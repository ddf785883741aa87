"""What fits into memory is tried as the trials will run: in their precision, recorded, divided."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hptune.config.load import load_experiment
from hptune.procedure.session import fit, probe
from hptune.procedure.session.context import Context
from hptune.procedure.session.problem import Problem
from hptune.results.run_dir import RunDir
from hptune.training.device import Device
from hptune.training.ranks import Ranks
from hptune.trials.progress import Silent


@pytest.mark.parametrize(("devices", "graph_from"), [(1, 70), (2, None)])
def test_a_batch_size_is_tried_in_the_mode_that_was_chosen(
    devices: int, graph_from: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tried: list[tuple[int, Device]] = []

    def peak(task: Any, trial: Any, device: Device) -> int:
        tried.append((trial.batch_size, device))
        return 10**6

    def fresh(command: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", command[2:])
        probe.main()
        return subprocess.CompletedProcess(command, 0, stdout="1000000\n")

    monkeypatch.setattr(probe, "peak_of_steps", peak)
    monkeypatch.setattr(probe, "_limit_memory", lambda allowed: None)
    monkeypatch.setattr(subprocess, "run", fresh)
    monkeypatch.setattr(fit, "SURE", 0.0)
    experiment = load_experiment(
        None, [f"training.devices_per_trial={devices}", "hyper_parameters.batch_size=32"]
    )
    chosen = Device(torch.device("cpu"), torch.bfloat16, graph_from, ranks=Ranks(devices))
    with RunDir.open(tmp_path, tell=print) as run_dir:
        context = Context(Problem(experiment, run_dir, chosen), Silent(), {})
        assert fit.sizes_that_fit(context, [32, 64]) == [32, 64]
    recorded = None if graph_from is None else 0
    assert tried == [(64, replace(chosen, graph_from_iteration=recorded))]
