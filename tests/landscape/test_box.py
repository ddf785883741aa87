"""Sharpness against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from hptune.errors import InputError
from hptune.landscape import sharpness

CURVATURE = torch.linspace(0.1, 2, 30)


class Weights(nn.Module):
    """A loss of its weights alone."""

    def __init__(self, at: torch.Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(at.clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.w * x


def bowl(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Half of the sum of curvature times squares."""
    return (CURVATURE.to(outputs) * outputs * outputs).sum() / 2


DATA = (torch.ones(1, 30, dtype=torch.float64), torch.ones(1))


@pytest.mark.parametrize(
    "at", [torch.zeros(30), torch.linspace(-1, 1, 30)], ids=["minimum", "slope"]
)
def test_the_largest_rise_of_a_bowl_is_at_a_corner_of_the_box(at: torch.Tensor):
    model = Weights(at.double())
    w, h = np.abs(at.numpy().astype(float)), CURVATURE.numpy().astype(float)
    found = sharpness(model, bowl, DATA, epsilons=(1e-3, 5e-4), directions=None)
    for rise in found[1:]:
        corner = (h * (w + rise.radius * (w + 1)) ** 2).sum() / 2
        base = (h * w**2).sum() / 2
        assert rise.measure == "box" and rise.directions == 30
        assert rise.highest - base == pytest.approx(corner - base, rel=1e-3)
        assert rise.sharpness == pytest.approx(100 * (corner - base) / (1 + base), rel=1e-3)
    assert (model.w.detach() == at).all()


def test_sams_step_is_along_the_gradient():
    at = torch.linspace(-1, 1, 30).double()
    (sam, *_) = sharpness(Weights(at), bowl, DATA, rho=0.1, directions=None)
    gradient = CURVATURE.double() * at
    there = at + 0.1 * gradient / gradient.norm()
    assert sam.measure == "sam"
    assert sam.highest == pytest.approx(float((CURVATURE * there**2).sum() / 2))


def test_a_random_subspace_rises_less_than_all_directions_of_the_same_length():
    at = torch.linspace(-1, 1, 30).double()
    (_, _, inside) = sharpness(Weights(at), bowl, DATA, epsilons=(1e-3,), directions=3, seed=1)
    basis = np.random.default_rng(1).standard_normal((30, 3), dtype=np.float32).astype(float)
    width = 1e-3 * (np.abs(np.linalg.pinv(basis) @ at.numpy()) + 1)
    corners = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1) * width[:, None]
    there = at.numpy()[:, None] + basis @ corners
    highest = (CURVATURE.numpy()[:, None] * there**2).sum(0).max() / 2
    assert inside.measure == "subspace" and inside.directions == 3
    assert inside.highest == pytest.approx(highest, rel=1e-6)


def test_a_budget_bounds_the_cost():
    at, spent = torch.ones(30).double(), list[int]()
    sharpness(Weights(at), bowl, DATA, budget=20, directions=3, on_batch=spent.append)
    assert spent[-1] <= 20 + 4 * 2  # a line search ends what it has begun
    with pytest.raises(InputError, match="--budget: 3 batches; must be at least"):
        sharpness(Weights(at), bowl, DATA, budget=3)


def test_a_loss_that_is_not_finite_is_told():
    broken = Weights(torch.full((30,), float("nan")).double())
    with pytest.raises(InputError, match="must be finite"):
        sharpness(broken, bowl, DATA)
