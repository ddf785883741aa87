"""`devices_per_trial` in Python: what a factory's closure makes, in processes that share nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import hptune


@pytest.fixture(scope="module")
def task() -> hptune.Task:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 6, generator=generator)
    y = (x[:, 0] > 0).long()
    width = 8  # in a closure
    return hptune.Task(
        lambda: nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 2)), train=(x, y)
    )


def test_a_sweep_on_two_devices_decides_as_on_one(task: hptune.Task, tmp_path: Path):
    values = (1e-4, 1e-2)
    options = {"lr": 0.1, "epochs": 3, "batch_size": 32, "device": "cpu", "progress": False}

    def swept(**more: object) -> hptune.Sweep:
        return hptune.sweep(task, "weight_decay", values, **options, **more)

    apart, whole = swept(devices_per_trial=2, out=tmp_path), swept()
    assert apart.value == whole.value
    for two, one in zip(apart.trials.itertuples(), whole.trials.itertuples(), strict=True):
        assert two.device == "2 x cpu" and one.device == "cpu"
        assert two.val_loss == pytest.approx(one.val_loss, abs=1e-5)


def test_a_number_of_devices_that_is_none_is_one_line(task: hptune.Task):
    with pytest.raises(hptune.InputError, match=r"devices_per_trial: 0; must be greater"):
        hptune.train(task, lr=0.1, epochs=1, devices_per_trial=0, progress=False)
    with pytest.raises(hptune.InputError, match="must divide by the 5 devices of a trial"):
        hptune.train(
            task, lr=0.1, epochs=1, batch_size=32, devices_per_trial=5, device="cpu", progress=False
        )
