"""Parameter rules, momentum's mechanism and the errors of optimizers by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hptune.errors import InputError
from hptune.results.settings import OptimizerSpec, ParameterRule
from hptune.training.nadamw import NAdamW
from hptune.training.optimizer import ScheduledOptimizer, optimizer_classes


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 2))


def make(net: nn.Module, spec: OptimizerSpec, **values: float) -> ScheduledOptimizer:
    return ScheduledOptimizer(
        net, spec, **({"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3} | values)
    )


def test_sgd_steps_like_torch_sgd_with_nesterov():
    ours, theirs = model(), model()
    a = make(ours, OptimizerSpec(name="sgd"))
    b = torch.optim.SGD(
        theirs.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3, foreach=False
    )
    x = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    for _ in range(3):
        for net, optimizer in ((ours, a), (theirs, b)):
            b.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p, q)


def test_rules_multiply_and_the_first_match_wins():
    spec = OptimizerSpec(
        name="sgd",
        rules=(
            ParameterRule(match="3.weight", weight_decay=250),
            ParameterRule(match="*.bias", lr=2, weight_decay=0),
        ),
    )
    optimizer = make(model(), spec)
    found = {
        (round(g["lr"], 6), round(g["weight_decay"], 6)): len(g["params"])
        for g in optimizer.torch.param_groups
    }
    assert found == {(0.1, 0.001): 2, (0.2, 0.0): 3, (0.1, 0.25): 1}
    optimizer.set(0.05, 0.8)
    assert {round(g["lr"], 6) for g in optimizer.torch.param_groups} == {0.05, 0.1}
    assert {g["momentum"] for g in optimizer.torch.param_groups} == {0.8}


def test_an_lr_multiplier_of_zero_freezes():
    net = model()
    make(net, OptimizerSpec(name="sgd", rules=(ParameterRule(match="0.*", lr=0),)))
    assert [p.requires_grad for p in net[0].parameters()] == [False, False]
    assert net[3].weight.requires_grad


def test_biases_and_norms_can_be_spared_from_decay():
    optimizer = make(model(), OptimizerSpec(name="sgd", decay_biases_and_norms=False))
    decays = {
        g["weight_decay"]: sum(p.ndim for p in g["params"]) for g in optimizer.torch.param_groups
    }
    assert set(decays) == {1e-3, 0.0}
    assert all(
        p.ndim == 1
        for g in optimizer.torch.param_groups
        if g["weight_decay"] == 0
        for p in g["params"]
    )


@pytest.mark.parametrize("name", ["adam", "AdamW", "nadam", "radam"])
def test_momentum_drives_beta1_of_adam_likes(name: str):
    optimizer = make(model(), OptimizerSpec(name=name))
    optimizer.set(0.01, 0.85)
    assert all(g["betas"] == (0.85, 0.999) for g in optimizer.torch.param_groups)


def test_nadamw_is_adamw_with_nesterovs_momentum_and_a_constant_beta1():
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    lr, beta1, beta2, decay = 0.01, 0.9, 0.9955, 0.1
    optimizer = NAdamW([weight], lr=lr, betas=(beta1, beta2), weight_decay=decay)
    expected, m, v = weight.detach().clone(), torch.zeros(2), torch.zeros(2)
    for step in range(1, 6):
        gradient = torch.tensor([0.5, -1.0]) * step
        weight.grad = gradient.clone()
        optimizer.step()
        m = beta1 * m + (1 - beta1) * gradient
        v = beta2 * v + (1 - beta2) * gradient**2
        ahead = beta1 * m / (1 - beta1 ** (step + 1)) + (1 - beta1) * gradient / (1 - beta1**step)
        expected *= 1 - lr * decay
        expected -= lr * ahead / ((v / (1 - beta2**step)).sqrt() + 1e-8)
    assert torch.allclose(weight, expected, atol=1e-6)


def test_nadamw_can_be_named_and_driven():
    optimizer = make(model(), OptimizerSpec(name="NAdamW"), weight_decay=0.1)
    optimizer.set(0.01, 0.85)
    for group in optimizer.torch.param_groups:
        assert group["betas"] == (0.85, 0.9955)
        assert (group["weight_decay"], group["decoupled_weight_decay"]) == (0.1, True)


@pytest.mark.parametrize("place", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("name", sorted(set(optimizer_classes()) - {"muon"}))
def test_every_offered_optimizer_takes_a_step(name: str, place: str):
    net = model().to(place)
    accepts_decay = name not in {"rprop"}
    optimizer = make(
        net, OptimizerSpec(name=name), lr=0.01, weight_decay=1e-4 if accepts_decay else 0.0
    )
    before = net[3].weight.detach().clone()
    for _ in range(2):
        net(torch.randn(4, 3, 8, 8, device=place)).square().mean().backward()
        optimizer.step()
    assert not torch.equal(before, net[3].weight)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (OptimizerSpec(name="sdg"), "did you mean 'sgd'"),
        (OptimizerSpec(name="sgd", args={"beta": 1}), "sgd has no such argument"),
        (
            OptimizerSpec(name="sgd", args={"nesterov": "maybe"}),
            "nesterov: 'maybe'; must be true or false",
        ),
        (OptimizerSpec(name="sgd", args={"dampening": True}), "dampening: True; must be a number"),
        (OptimizerSpec(name="sgd", args={"lr": 1}), "set hyper_parameters.lr"),
        (OptimizerSpec(name="adam", args={"betas": (2.0, 3.0)}), "optimizer.args"),
        (
            OptimizerSpec(name="sgd", rules=(ParameterRule(match="head.*"),)),
            "must match a parameter",
        ),
        (
            OptimizerSpec(name="sgd", rules=(ParameterRule(match="*", lr=0),)),
            "every parameter is frozen",
        ),
        (OptimizerSpec(name="rprop"), "has no weight decay"),
    ],
)
def test_wrong_optimizers_are_told_in_one_line(spec: OptimizerSpec, expected: str):
    with pytest.raises(InputError, match=expected) as caught:
        make(model(), spec)
    assert "\n" not in str(caught.value)
