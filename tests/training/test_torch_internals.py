"""The quick step against the optimizer's own: the same bits, also where it has to stand back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hptune.results.settings import OptimizerSpec, ParameterRule
from hptune.training.optimizer import ScheduledOptimizer
from hptune.training.torch_internals import never, quick_step

SPECS = [
    OptimizerSpec(name="sgd"),
    OptimizerSpec(name="sgd", args={"nesterov": False, "dampening": 0.1}),
    OptimizerSpec(
        name="sgd",
        decay_biases_and_norms=False,
        rules=(ParameterRule(match="3.*", lr=0.5, weight_decay=0.0),),
    ),
    OptimizerSpec(name="adam"),
    OptimizerSpec(name="adamw", args={"eps": 1e-4}),
    OptimizerSpec(name="adamw", args={"amsgrad": True}),  # not taken over
    OptimizerSpec(name="sgd", args={"foreach": True}),  # not taken over
    OptimizerSpec(name="adagrad"),  # not taken over
]
X, Y = torch.randn(32, 6, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 3


def make(spec: OptimizerSpec, momentum: float):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = ScheduledOptimizer(model, spec, lr=0.1, momentum=momentum, weight_decay=1e-2)
    return model, optimizer


def train(model: nn.Module, optimizer: ScheduledOptimizer, own: bool, momenta) -> None:
    for n, momentum in enumerate(momenta):
        optimizer.set(0.1 / (n + 1), momentum)
        nn.functional.cross_entropy(model(X), Y).backward()
        if own:
            optimizer.torch.step()
            optimizer.torch.zero_grad()
        else:
            optimizer.step()
        assert all(p.grad is None for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("momenta", [[0.9, 0.85, 0.8, 0.9, 0.95], [0.0, 0.5, 0.0, 0.0, 0.7]])
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_every_step_gives_the_bits_of_torchs_own(spec: OptimizerSpec, momenta):
    if momenta[0] == 0:
        spec = OptimizerSpec(
            name=spec.name,
            args={**spec.args, **({"nesterov": False} if spec.name == "sgd" else {})},
        )
    results = []
    for own in (True, False):
        model, optimizer = make(spec, momenta[0])
        train(model, optimizer, own, momenta)
        results.append((model.state_dict(), optimizer.torch.state_dict()["state"]))
    (first, first_state), (second, second_state) = results
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    for key, state in first_state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, second_state[key][name]), (key, name)


@pytest.mark.parametrize("momenta", [[0.95, 0.9, 0.85, 0.9, 0.95] * 20, [0.0, 0.5, 0.0, 0.0, 0.7]])
def test_nadamw_by_the_fused_kernel_is_torchs_but_for_rounding(momenta):
    results, spec = [], OptimizerSpec(name="nadamw")
    for own in (True, False):
        torch.manual_seed(0)  # no batch norm: a bias before one has gradients of rounding alone
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
        optimizer = ScheduledOptimizer(model, spec, lr=0.1, momentum=momenta[0], weight_decay=0.1)
        train(model, optimizer, own, momenta)
        results.append((list(model.parameters()), list(optimizer.torch.state.values())))
    assert quick_step(optimizer.torch) is not never
    (expected, expected_state), (found, found_state) = results
    for one, other in zip(expected, found, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)
    for one, other in zip(expected_state, found_state, strict=True):
        assert one.keys() == other.keys() and int(other["step"]) == len(momenta)
        for name in ("exp_avg", "exp_avg_sq", "mu_product"):
            assert torch.allclose(one[name], other[name], rtol=1e-3, atol=1e-6), name


@pytest.mark.parametrize("without", [range(8), range(1, 12, 3)])
def test_nadamw_of_parameters_that_took_fewer_steps_is_torchs(without: range):
    results = []
    for own in (True, False):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
        optimizer = ScheduledOptimizer(
            model, OptimizerSpec(name="nadamw"), lr=0.01, momentum=0.95, weight_decay=0.1
        )
        for n in range(12):
            for p in model.parameters():
                p.grad = torch.randn(3, 3)
            if n in without:
                model[1].weight.grad = None
            (optimizer.torch if own else optimizer).step()
        results.append([p.detach() for p in model.parameters()])
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)


def test_only_what_is_known_is_taken_over():
    for spec, taken in zip(SPECS, [True] * 5 + [False] * 3, strict=True):
        model, optimizer = make(spec, 0.9)
        train(model, optimizer, True, [0.9])
        assert (quick_step(optimizer.torch) is not never) == taken, spec


def test_a_parameter_without_a_gradient_is_left_alone():
    model, optimizer = make(OptimizerSpec(name="sgd"), 0.9)
    train(model, optimizer, False, [0.9, 0.9])
    model[3].bias.requires_grad_(False)
    before = model[3].bias.clone()
    weight = model[3].weight.clone()
    train(model, optimizer, False, [0.9])
    assert torch.equal(model[3].bias, before) and not torch.equal(model[3].weight, weight)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_torch_without_the_private_kernels_trains_the_same(name: str, monkeypatch):
    found = []

    def without_kernels(optimizer: torch.optim.Optimizer):
        with monkeypatch.context() as patch:  # their own classes still find them
            for kernel in ("_fused_sgd_", "_fused_adam_", "_fused_adamw_"):
                patch.delattr(torch, kernel)
            found.append(quick_step(optimizer))
        return found[-1]

    weights = []
    for look in (quick_step, without_kernels):
        monkeypatch.setattr("hptune.training.optimizer.quick_step", look)
        model, optimizer = make(OptimizerSpec(name=name), 0.9)
        train(model, optimizer, False, [0.9, 0.85, 0.8])
        assert quick_step(optimizer.torch) is not never
        weights.append(model[0].weight.detach().clone())
    assert found == [never]
    assert torch.equal(weights[0], weights[1])
