"""float16 with a scaled loss: clipped, accumulated, resumed, and steps that overflow.

On the CPU's own autocast; a GPU's differs in its kernels alone.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from factories import CPU, mlp_task, mlp_trial, same_curve, trained
from torch import nn

from hptune.results.records import Status
from hptune.results.settings import OptimizerSpec, TrainingSettings
from hptune.training.device import seeded
from hptune.training.loop import Lanes
from hptune.training.trial_run import Job, TrialRun

HALF = replace(CPU, dtype=torch.float16)
TASK = mlp_task(0.0, norm=False)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"clip_norm": 0.05},
        {"accumulate": 4},
        {"clip_norm": 0.05, "accumulate": 2},
        {"clip_norm": 0.05, "accumulate": 2, "sam": 0.1},
        {"gradient_noise": {"eta": 0.01}},
    ],
    ids=["plain", "clipped", "accumulating", "both", "both-sharpness-aware", "noisy"],
)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_half_precision_has_the_curve_of_float32(optimizer: str, changes: dict[str, Any]):
    trial = mlp_trial(
        optimizer=OptimizerSpec(name=optimizer), lr=0.02, lr_min=0.002,
        settings=TrainingSettings(evaluations=4, **changes),
    )  # fmt: skip
    half, full = trained(TASK, trial, HALF), trained(TASK, trial, CPU)
    assert half.status is Status.COMPLETE
    np.testing.assert_allclose(half.curve.train_loss, full.curve.train_loss, atol=0.02)
    np.testing.assert_allclose(half.curve.val_loss, full.curve.val_loss, atol=0.02)


def test_gradients_are_clipped_as_they_are_and_not_as_they_are_scaled():
    trial = mlp_trial(momentum=0.0, lr_min=None, momentum_min=None, weight_decay=0.0,
        policy=mlp_trial().policy.change(name="constant"),
        settings=TrainingSettings(clip_norm=0.01))  # fmt: skip
    with seeded(0, CPU.torch_device):
        run = TrialRun(TASK, Job(trial), HALF)
        before = [p.detach().clone() for p in run.model.parameters()]
        Lanes([run]).step()
        moved = [p.detach() - b for p, b in zip(run.model.parameters(), before, strict=True)]
    assert float(torch.stack([m.norm() for m in moved]).norm()) == pytest.approx(
        0.01 * 0.1, rel=0.01
    )


def test_a_step_that_overflows_is_left_out_and_the_scale_halved():
    class Steep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Return logits whose scaled gradients exceed what float16 holds."""
            logits: torch.Tensor = self.layer(x * 4000) * 0.25
            return logits

    with seeded(0, CPU.torch_device):
        run = TrialRun(TASK.change(make_model=Steep), Job(mlp_trial()), HALF)
        lanes, before = Lanes([run]), run.model.layer.weight.detach().clone()
        scale = run.scaler.get_scale()
        lanes.step()
        assert torch.equal(run.model.layer.weight, before)
        assert run.scaler.get_scale() == scale / 2
        for _ in range(30):
            lanes.step()
        assert not torch.equal(run.model.layer.weight, before)
        assert all(p.isfinite().all() for p in run.model.parameters())


def test_a_trial_in_half_precision_goes_on_from_its_snapshot_to_the_bit(tmp_path: Path):
    trial = mlp_trial(settings=TrainingSettings(evaluations=4, clip_norm=1.0))
    path = tmp_path / "s.pt"
    assert trained(TASK, trial, HALF, snapshot=path, until=20).status is Status.PRUNED
    rest = trained(TASK, trial, HALF, snapshot=path)
    assert same_curve(trained(TASK, trial, HALF).curve, rest.curve)
