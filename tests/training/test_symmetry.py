"""Units that cannot learn apart are told, and what begins at zero in ordinary nets is not."""

from __future__ import annotations

import pytest
import torch
from factories import CPU, mlp_task
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from hptune.results.settings import OptimizerSpec
from hptune.step import LossOf
from hptune.training import symmetry
from hptune.training.check_batch import check_batch
from hptune.training.initial_weights import initialize
from hptune.training.symmetry import symmetric_units

BATCH = torch.randn(32, 20, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 5


def told(net: nn.Module, batch: tuple[Tensor, Tensor] = BATCH) -> str:
    torch.manual_seed(1)
    return symmetric_units(net.train(), LossOf(F.cross_entropy), batch)


def mlp(dropout: float = 0.0, act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(20, 16), nn.BatchNorm1d(16), act(), nn.Dropout(dropout), nn.Linear(16, 5)
    )


@pytest.mark.parametrize("act", [nn.ReLU, nn.Tanh])
def test_constant_weights_never_learn_apart(act: type[nn.Module]):
    net = mlp(act=act)
    initialize(net, "constant")
    assert told(net) == (
        "units that begin equal and cannot learn apart: 16 of 16 in layer 0; draw the weights into and "
        "out of them at random, by another model.init or where the model sets them"
    )


def test_classes_are_told_apart_where_the_outputs_are_huge():
    net = nn.Sequential(
        nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 5)
    )
    initialize(net, "constant", 0.5)
    assert told(net).startswith(
        "units that begin equal and cannot learn apart: 256 of 256 in layer 0, 256 of 256 in layer 2; draw"
    )


def test_zero_weights_never_leave_zero():
    net = nn.Sequential(nn.Linear(20, 16), nn.Tanh(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 5))
    initialize(net, "zero")
    assert "16 of 16 in layer 0, 8 of 8 in layer 2" in told(net)


def twins(net: nn.Sequential, *, behind: bool) -> nn.Sequential:
    with torch.no_grad():
        net[0].weight[7], net[0].bias[7] = net[0].weight[2], net[0].bias[2]
        if behind:
            net[4].weight[:, 7] = net[4].weight[:, 2]
    return net


def test_two_units_are_one_only_where_they_are_equal_on_both_sides():
    assert "2 of 16 in layer 0" in told(twins(mlp(), behind=True))
    assert not told(twins(mlp(), behind=False))


def test_dropout_tells_units_apart():
    assert not told(twins(mlp(0.5), behind=True))


class Residual(nn.Module):
    """Branches, and a head of many classes, that begin at zero."""

    def __init__(self, width: int = 24, classes: int = 300) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(20, width), nn.LayerNorm(width)
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 48), nn.GELU(), nn.Linear(48, width)) for _ in range(3)
        )
        self.head = nn.Linear(width, classes)
        for layer in [*(branch[2] for branch in self.branches), self.head]:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for branch in self.branches:
            x = x + branch(x)
        return self.head(self.norm(x))


def test_branches_and_heads_that_begin_at_zero_are_ordinary():
    assert not told(Residual())
    images = torch.randn(8, 3, 32, 32), torch.arange(8)
    assert not told(models.resnet18(num_classes=10, zero_init_residual=True), images)


def test_ordinary_nets_take_no_step(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(symmetry, "_take_step", None)
    assert not told(mlp())
    assert not told(models.mobilenet_v3_small(num_classes=10))


def test_a_model_that_shows_no_outputs_is_not_judged():
    net = mlp()
    initialize(net, "constant")

    class Step:
        stackable = False

        def __call__(self, model: nn.Module, batch: tuple[Tensor, Tensor]):
            return F.cross_entropy(model(batch[0]), batch[1]), None, None

    assert symmetric_units(net, Step(), BATCH) == ""


def test_the_first_batch_tells_of_them():
    def constant() -> nn.Module:
        net = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
        initialize(net, "constant")
        return net

    found = [
        check_batch(task, CPU, batch_size=16, optimizer=OptimizerSpec(name="sgd"), seed=0).notes
        for task in (mlp_task(), mlp_task().change(make_model=constant))
    ]
    assert found[0] == () and "4 of 4 in layer 0" in found[1][0]


class TwoHeads(nn.Module):
    """A net with a second head, which begins at zero and is no part of its first output."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.aux = nn.Linear(20, 16), nn.Linear(16, 5), nn.Linear(16, 5)
        nn.init.zeros_(self.aux.weight)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x).relu()
        return self.head(h), self.aux(h)


def test_what_the_outputs_do_not_reach_is_not_judged():
    torch.manual_seed(0)
    step = LossOf(lambda outputs, y: F.cross_entropy(outputs[0] + outputs[1], y))
    assert symmetric_units(TwoHeads(), step, BATCH) == ""


def test_a_model_of_one_batch_size_is_not_judged():
    class Fixed(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = super().forward(x.view(32, 20))
            return logits

    net = Fixed(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 5))
    initialize(net, "constant")
    assert told(net) == ""
