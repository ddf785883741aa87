"""Steps with LR and momentum on the device against torch's own, value for value."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from hptune.results.settings import OptimizerSpec, ParameterRule
from hptune.training.optimizer import ScheduledOptimizer

SPECS = [
    OptimizerSpec(name="sgd"),
    OptimizerSpec(name="sgd", args={"nesterov": False, "dampening": 0.1}),
    OptimizerSpec(
        name="sgd",
        decay_biases_and_norms=False,
        rules=(ParameterRule(match="3.*", lr=0.5, weight_decay=0.0),),
    ),
    OptimizerSpec(name="adam"),
    OptimizerSpec(name="adamw", args={"betas": (0.9, 0.95), "eps": 1e-4}),
    OptimizerSpec(name="nadam"),
    OptimizerSpec(name="nadam", args={"decoupled_weight_decay": True}),
    OptimizerSpec(name="nadamw"),
]
# Up and down as in a cycle, and down to nothing.
RATES = [(0.1 * k, 0.95 - 0.03 * k) for k in (1, 2, 3, 2, 1)] + [(0.0, 0.95), (0.02, 0.95)]
X, Y = torch.randn(32, 6, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 3


def make(spec: OptimizerSpec) -> tuple[nn.Module, ScheduledOptimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    lr, momentum = RATES[0]
    return model, ScheduledOptimizer(model, spec, lr=lr, momentum=momentum, weight_decay=1e-2)


def step(model: nn.Module, optimizer: ScheduledOptimizer, rates: tuple[float, float]) -> None:
    optimizer.set(*rates)
    nn.functional.cross_entropy(model(X), Y).backward()
    optimizer.step()
    assert all(p.grad is None for p in model.parameters())


def values(model: nn.Module, optimizer: ScheduledOptimizer) -> dict[str, Tensor]:
    found = dict(model.state_dict())
    for key, state in optimizer.state()["state"].items():
        found |= {f"{key}.{name}": value for name, value in state.items()}
    return found


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_every_step_is_that_of_torch(spec: OptimizerSpec):
    (ours, on_device), (theirs, from_host) = make(spec), make(spec)
    for n, rates in enumerate(RATES):
        if n == 1:
            on_device.step_on_device(RATES[1:])
        if n == len(RATES) - 1:
            on_device.step_from_host()  # goes on from what was counted on the way
        # So that what differs is a step's own, not what it comes to later.
        ours.load_state_dict(theirs.state_dict())
        step(ours, on_device, rates)
        step(theirs, from_host, rates)
        expected = values(theirs, from_host)
        for name, value in values(ours, on_device).items():
            torch.testing.assert_close(value, expected[name], rtol=2e-5, atol=1e-7)


class Named(TorchDispatchMode):
    """Keeps the names of operations."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_no_step_reads_a_number_from_the_device(spec: OptimizerSpec):
    model, optimizer = make(spec)
    step(model, optimizer, RATES[0])
    optimizer.step_on_device(RATES[1:])
    nn.functional.cross_entropy(model(X), Y).backward()
    with Named() as named:
        optimizer.step()
    assert "aten._foreach_mul_.Tensor" in named.names  # and none of a number
    assert not {name for name in named.names if "_local_scalar_dense" in name or "item" in name}


@pytest.mark.parametrize(
    ("spec", "rates", "why"),
    [
        (OptimizerSpec(name="rmsprop"), RATES, "steps of RMSprop are not recorded"),
        (OptimizerSpec(name="adamw", args={"amsgrad": True}), RATES, "options are unusual"),
        (OptimizerSpec(name="sgd", args={"maximize": True}), RATES, "options are unusual"),
        # torch leaves the buffers alone in such an iteration.
        (
            OptimizerSpec(name="sgd", args={"nesterov": False}),
            [(0.1, 0.9), (0.1, 0.0)],
            "momentum is 0",
        ),
    ],
)
def test_what_is_not_known_to_be_the_same_is_refused(spec: OptimizerSpec, rates, why: str):
    model, optimizer = make(spec)
    step(model, optimizer, RATES[0])
    with pytest.raises(ValueError, match=why):
        optimizer.step_on_device(rates)


def test_an_optimizer_without_its_state_and_a_parameter_without_a_gradient_are_refused():
    model, optimizer = make(OptimizerSpec(name="sgd"))
    with pytest.raises(ValueError, match="keeps no momentum_buffer"):
        optimizer.step_on_device(RATES)
    step(model, optimizer, RATES[0])
    optimizer.step_on_device(RATES)
    with pytest.raises(ValueError, match="without a gradient"):
        optimizer.step()


def test_the_last_planned_step_is_counted():
    model, optimizer = make(OptimizerSpec(name="adamw"))
    step(model, optimizer, RATES[0])
    optimizer.step_on_device(RATES[1:3])
    for rates in RATES[1:3]:
        step(model, optimizer, rates)
    assert {float(own["step"]) for own in optimizer.state()["state"].values()} == {3.0}


def test_more_steps_than_planned_go_on_with_the_last_rates():
    model, optimizer = make(OptimizerSpec(name="sgd"))
    step(model, optimizer, RATES[0])
    optimizer.step_on_device([(0.1, 0.9), (0.0, 0.9)])
    step(model, optimizer, RATES[1])
    weight = model[0].weight.clone()
    for _ in range(3):
        step(model, optimizer, RATES[1])
    assert torch.equal(model[0].weight, weight)
