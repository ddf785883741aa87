"""Which executors ran is written down beside the results."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hptune.results.records import Trial
from hptune.results.run_dir import RunDir
from hptune.stages import SWEEP
from hptune.step import LossOf
from hptune.task import Task
from hptune.training.device import Device
from hptune.trials.executors import Execution

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


@pytest.fixture
def run_dir(tmp_path: Path):
    with RunDir.open(tmp_path / "run") as opened:
        yield opened


def test_the_manifest_has_every_executor_that_was_chosen(run_dir: RunDir):
    run_dir.manifest.write_text('{"executor": "auto"}')
    run_dir.set_timing(
        "execution/t/cpu",
        {
            "inline": {"1": 0.01, "2": 0.008},
            "processes": {"jobs": 2, "seconds": 0.012},
            "fused": {"gain": 3.0},
        },
    )
    execution = Execution(Device(torch.device("cpu")), run_dir)
    for count in (1, 8, 1, 5):
        execution.choose(TASK, [TRIAL.change(seed=n) for n in range(count)])
    execution.close()
    assert run_dir.fact("executor") == "auto"
    assert run_dir.fact("executors") == (
        "inline, 2 threads; 2 processes, 1 thread, up to 16 trials fused; "
        "inline, 1 thread, up to 16 trials fused"
    )


def test_a_fact_without_a_manifest_is_not_kept(run_dir: RunDir):
    run_dir.add_fact("executors", "inline")
    assert run_dir.fact("executors") is None and not run_dir.manifest.exists()
