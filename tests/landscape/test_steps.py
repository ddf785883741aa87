"""The walk along training against closed forms, and beside training that is not walked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from factories import CPU, mlp_task, mlp_trial
from torch import Tensor, nn

from hptune.landscape import Walk
from hptune.landscape.steps import retrace
from hptune.results.settings import TrainingSettings
from hptune.training.loop import run_trial
from hptune.training.trial_run import Job


class Weights(nn.Module):
    """Outputs are the inputs away from the weights."""

    def __init__(self, size: int = 2) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(size, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.w - x


def squares(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs**2).sum(1).mean() / 2


def test_steps_across_a_bowl_bounce_above_its_floor():
    model = Weights()
    walk = Walk(model, squares, every=1, between=3, iterations=4)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.5)  # crosses the floor: w becomes -w / 2
    batch = (torch.zeros(4, 2, dtype=torch.float64), torch.zeros(4))
    for n in range(4):
        optimizer.zero_grad()
        squares(model(batch[0]), batch[1]).backward()
        with walk.step(batch):
            optimizer.step()
        row, size = walk.rows[n], 0.5**n
        between = [abs(1 - 1.5 * share) for share in (0, 0.25, 0.5, 0.75, 1)]
        losses = [(size * b) ** 2 for b in between]  # two weights, half of the squares
        assert row["loss"] == pytest.approx(losses[0]) and row["after"] == pytest.approx(losses[-1])
        assert row["lowest"] == pytest.approx(min(losses))
        assert row["height"] == pytest.approx((losses[0] + losses[-1]) / 2 - min(losses))
        assert row["cosine"] == (None if n == 0 else pytest.approx(-1))
        assert row["gradient_norm"] == pytest.approx(size * 2**0.5)
        assert row["step"] == pytest.approx(1.5 * size * 2**0.5)
        assert row["distance"] == pytest.approx((1 - (-0.5) ** (n + 1)) * 2**0.5)
        assert row["noise"] == pytest.approx(0) and row["signal"] == pytest.approx(2 * size**2)
    assert [float(kept["w"][0]) for kept in walk.path] == [1, -0.5, 0.25, -0.125, 0.0625]


def test_the_noise_scale_is_the_variance_over_the_squared_gradient():
    generator = torch.Generator().manual_seed(0)
    model = Weights(50)
    walk = Walk(model, squares, every=1)
    for _ in range(300):  # no step is taken: one gradient (1, ..., 1), noise of variance 4
        batch = (2 * torch.randn(16, 50, generator=generator, dtype=torch.float64), torch.zeros(16))
        with walk.step(batch):
            pass
    signal, noise = (np.mean([row[key] for row in walk.rows]) for key in ("signal", "noise"))
    assert signal == pytest.approx(50, rel=0.05) and noise == pytest.approx(200, rel=0.05)


@pytest.mark.parametrize(("accumulate", "sam"), [(1, 0.0), (2, 0.0), (1, 0.1), (2, 0.1)])
def test_training_goes_as_without_the_walk(accumulate: int, sam: float):
    task = mlp_task()  # with dropout and batch norm
    trial = mlp_trial(settings=TrainingSettings(evaluations=4, accumulate=accumulate, sam=sam))
    alone = run_trial(task, Job(trial), CPU)
    walked = retrace(task, trial, CPU, every=6)
    for name, values in alone.curve.columns().items():
        if name != "seconds":
            np.testing.assert_array_equal(values, walked.result.curve.columns()[name])
    rows = walked.walk.rows
    assert [row["iteration"] for row in rows] == [5, 11, 17, 23, 29, 35]
    assert all(row["height"] >= 0 and -1 <= row["cosine"] <= 1 for row in rows)  # type: ignore[operator]
    assert len(walked.walk.path) == 25
