"""The line and the plane against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from factories import mlp_task
from torch import Tensor, nn

from hptune.errors import InputError
from hptune.landscape import line, plane
from hptune.task import Accuracy, MetricSpec

ACCURACY = {"accuracy": MetricSpec(Accuracy)}
LOSS = nn.CrossEntropyLoss()
ONE = {"train": (torch.ones(1, 3, dtype=torch.float64), torch.ones(1))}


class Weights(nn.Module):
    """A loss of its weights alone."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.w * x


def two_wells(outputs: Tensor, targets: Tensor) -> Tensor:
    """(w0² - 1)² + w1² + w2²: minima at w0 = ±1 with a barrier of 1 between them."""
    w = outputs[0]
    return (w[0] ** 2 - 1) ** 2 + w[1] ** 2 + w[2] ** 2


def at(*values: float) -> dict[str, Tensor]:
    return {"w": torch.tensor(values, dtype=torch.float64)}


def test_the_line_between_two_wells_has_their_barrier():
    model = Weights()
    found = line(model, at(-1, 0, 0), at(1, 0, 0), two_wells, ONE, points=21)
    for row in found.rows:
        w = 2 * row["position"] - 1
        assert row["train_loss"] == pytest.approx((w * w - 1) ** 2)
    assert found.barrier() == pytest.approx(1) and found.distance == pytest.approx(2)
    positions = [row["position"] for row in found.rows]
    assert positions[0] == pytest.approx(-0.25) and positions[-1] == pytest.approx(1.25)
    assert model.w.abs().sum() == 0
    down = line(model, at(0, 1, 0), at(0, 0, 0), two_wells, ONE)
    assert down.barrier() == pytest.approx(0, abs=1e-9)


def test_a_plane_through_three_solutions_and_where_a_path_lies():
    corners = [at(0, 0, 0), at(0, 2, 0), at(0, 1, 1)]
    path = [at(0, 1, 0.5), at(0.5, 1, 0)]
    found = plane(Weights(), corners, two_wells, ONE, path=path, side=5)
    wanted = [(0, 0, 0), (2, 0, 0), (1, 1, 0), (1, 0.5, 0), (1, 0, 0.5)]
    for place, (x, y, off) in zip(found.places, wanted, strict=True):
        assert (place["x"], place["y"], place["off"]) == pytest.approx((x, y, off), abs=1e-6)
    assert len(found.rows) == 25
    for row in found.rows:
        assert row["train_loss"] == pytest.approx(1 + row["x"] ** 2 + row["y"] ** 2)


def test_around_one_solution_the_plane_is_that_of_the_path():
    path = [at(0, 3, 0.01), at(0, 2, 1), at(0, 1, -1), at(0, 0, 0)]
    found = plane(Weights(), [at(0, 0, 0)], two_wells, ONE, path=path, side=4)
    assert all(place["off"] == pytest.approx(0, abs=1e-6) for place in found.places)
    for row in found.rows:  # the bowl, whichever way the directions are turned
        assert row["train_loss"] == pytest.approx(1 + row["x"] ** 2 + row["y"] ** 2)
    widest = max(abs(row["x"]) for row in found.rows)
    assert widest > 3


def test_random_directions_are_as_long_as_the_filters():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    x, y = torch.randn(60, 6), torch.randint(0, 3, (60,))
    found = plane(model, [model.state_dict()], LOSS, {"train": (x, y)}, side=3, metrics=ACCURACY)
    middle = next(row for row in found.rows if row["x"] == row["y"] == 0)
    assert middle["train_loss"] == pytest.approx(LOSS(model(x), y).item())
    assert middle["train_accuracy"] == pytest.approx(
        (model(x).argmax(1) == y).float().mean().item()
    )
    # A filter twice as long, with the next layer half as long, is the same net and the same picture.
    with torch.no_grad():
        model[0].weight *= 2
        model[0].bias *= 2
    scaled = nn.Sequential(model[0], _Halved(), *model[1:])
    names = {f"{n}": p for n, p in scaled.state_dict().items()}
    again = plane(scaled, [names], LOSS, {"train": (x, y)}, side=3)
    got = [row["train_loss"] for row in again.rows]
    np.testing.assert_allclose(got, [row["train_loss"] for row in found.rows], rtol=1e-4)


class _Halved(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 2


def test_averages_are_gathered_anew_at_each_point():
    task = mlp_task()
    torch.manual_seed(0)
    model = task.make_model()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    end = {name: 3 * value if value.is_floating_point() else value for name, value in start.items()}
    found = line(
        model, start, end, task.step, {"train": task.train, "val": task.validation},
        points=5, reach=0, batch_size=64, metrics=task.metrics,
    )  # fmt: skip
    (x, y), *_ = task.train.batches(64)
    for row in (found.rows[0], found.rows[-1]):
        scaled = task.make_model()
        scaled.load_state_dict(start if row["position"] == 0 else end)
        scaled.eval()
        scaled[1].train()  # by the whole batch, which the averages are gathered from
        # The averages hold the unbiased variance, n / (n - 1) of the batch's.
        assert row["train_loss"] == pytest.approx(LOSS(scaled(x), y).item(), rel=0.02)
    assert set(found.rows[0]) == {
        "position", "train_loss", "train_accuracy", "val_loss", "val_accuracy",
    }  # fmt: skip
    assert all((start[name] == value).all() for name, value in model.state_dict().items())


def test_a_budget_takes_fewer_points_and_what_does_not_fit_is_told():
    ends = Weights(), at(-1, 0, 0), at(1, 0, 0), two_wells, ONE
    assert len(line(*ends, budget=10).rows) <= 10
    with pytest.raises(InputError, match="--budget: 2 batches; must be at least 3"):
        line(*ends, budget=2)
    with pytest.raises(InputError, match="one architecture"):
        line(Weights(), at(1, 0), at(0, 1), two_wells, ONE)
    with pytest.raises(InputError, match="must span a plane"):
        plane(Weights(), [at(0, 0, 1), at(0, 0, 2), at(0, 0, 3)], two_wells, ONE)
    with pytest.raises(InputError, match="one or three"):
        plane(Weights(), [at(0, 0, 1), at(0, 0, 2)], two_wells, ONE)
