"""The Hessian's spectrum against the exact one."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
import torch
from factories import mlp_task
from torch import nn
from torch.func import functional_call

from hptune.errors import InputError
from hptune.landscape import hessian
from hptune.landscape.objective import Objective

LOSS = nn.CrossEntropyLoss()


def net(*, norm: bool = False, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    middle = [nn.BatchNorm1d(12)] if norm else []
    return nn.Sequential(
        nn.Linear(6, 12), *middle, nn.Tanh(), nn.Dropout(dropout), nn.Linear(12, 3)
    )


def data(count: int = 90) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 6, generator=generator)
    return x, torch.randint(0, 3, (count,), generator=generator)


def exact(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    """All eigenvalues of the Hessian, the largest first, by torch's own double derivative."""
    names = [name for name, _ in model.named_parameters()]
    weights = tuple(p.detach() for p in model.parameters())

    def loss(*values: torch.Tensor) -> torch.Tensor:
        return LOSS(functional_call(model, dict(zip(names, values, strict=True)), (x,)), y)

    blocks = torch.autograd.functional.hessian(loss, weights)
    sizes = [p.numel() for p in weights]
    rows = [
        torch.cat([b.reshape(n, m) for b, m in zip(row, sizes, strict=True)], 1)
        for row, n in zip(blocks, sizes, strict=True)
    ]
    return np.linalg.eigvalsh(torch.cat(rows).double().numpy())[::-1]


@pytest.mark.parametrize("how", [{"products": "exact"}, {"products": "differences"}])
def test_the_largest_eigenvalues_are_the_exact_hessians(how: dict[str, str]):
    model, (x, y) = net(), data()
    eigenvalues = exact(model, x, y)
    found = hessian(model, LOSS, (x, y), top=4, steps=0, exact_up_to=0, batch_size=32, **how)
    np.testing.assert_allclose(found.top, eigenvalues[:4], rtol=1e-3)
    assert found.converged and not found.exact


def test_all_of_a_small_nets_eigenvalues_are_exact():
    model, (x, y) = net(norm=True).eval(), data()
    found = hessian(model, LOSS, (x, y), batch_norm="running")
    eigenvalues = exact(model, x, y)
    assert found.exact and found.weights == len(eigenvalues)
    np.testing.assert_allclose(np.sort(found.nodes), eigenvalues[::-1], atol=1e-4)
    assert found.trace == pytest.approx(eigenvalues.sum(), rel=1e-4)
    near = np.abs(eigenvalues) <= 0.01 * np.abs(eigenvalues).max()
    assert found.near_zero == pytest.approx(near.mean(), abs=0.02)


def test_the_density_integrates_to_one_and_its_moments_match():
    pytest.importorskip("curvlinops")
    model, (x, y) = net(), data()
    eigenvalues = exact(model, x, y)
    found = hessian(model, LOSS, (x, y), steps=30, vectors=60, exact_up_to=0)
    assert not found.exact
    assert np.trapezoid(found.density, found.grid) == pytest.approx(1, abs=1e-3)
    assert found.shares.sum() == pytest.approx(1)
    for power in (1, 2):
        wanted = (eigenvalues**power).mean()
        errors = 4 * (eigenvalues ** (2 * power)).mean() ** 0.5 * (2 / 123 / 60) ** 0.5
        assert found.shares @ found.nodes**power == pytest.approx(wanted, abs=errors)
    assert abs(found.trace - eigenvalues.sum()) < 5 * found.trace_error
    assert found.lowest == pytest.approx(eigenvalues[-1], rel=1e-3)


def test_a_model_is_left_as_it_was_and_dropout_is_off():
    model, (x, y) = net(norm=True, dropout=0.5).train(), data()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = (hessian(model, LOSS, (x, y), top=2, steps=0) for _ in range(2))
    assert (first.top == second.top).all()
    assert all(module.training for module in model.modules())
    assert all((value == before[name]).all() for name, value in model.state_dict().items())


def test_batch_norm_normalises_by_the_batch_or_by_the_averages():
    model, (x, y) = net(norm=True), data()
    x = 3 * x + 1  # far from the averages of a new model
    model.train()
    by_batch, by_average = LOSS(model(x), y).item(), LOSS(net(norm=True).eval()(x), y).item()
    for how, wanted in (("batch", by_batch), ("running", by_average)):
        fresh = net(norm=True)
        with Objective(fresh, LOSS, (x, y), batch_norm=how) as objective:  # type: ignore[arg-type]
            assert objective.loss() == pytest.approx(wanted)


def test_a_quadratic_and_a_flat_loss():
    class Weights(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(40))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.w * x

    curvature = torch.linspace(0.1, 4, 40)
    one = (torch.ones(1, 40), torch.ones(1))
    bowl = hessian(
        Weights(), lambda o, t: (curvature * o * o).sum() / 2, one, exact_up_to=0, steps=0
    )
    np.testing.assert_allclose(bowl.top, curvature.numpy()[::-1][:5], rtol=1e-3)
    flat = hessian(Weights(), lambda o, t: o.sum(), one, exact_up_to=0)
    assert (flat.top == 0).all() and flat.trace == 0 and flat.near_zero == 1


def test_a_tasks_step_and_source_and_targets_that_do_not_count():
    task = mlp_task(norm=False)
    torch.manual_seed(0)
    model = task.make_model()
    whole = hessian(model, task.step, task.train, examples=None, top=2, steps=0)
    (x, y), *_ = task.train.batches(64)
    padded = torch.cat([x, x]), torch.cat([y, torch.full_like(y, -100)])
    some = hessian(model, LOSS, padded, examples=None, batch_size=50, ignored=-100, top=2, steps=0)
    np.testing.assert_allclose(some.top, whole.top, rtol=1e-4)


def test_a_budget_is_kept_and_one_that_does_not_suffice_is_told():
    counted: list[int] = []
    model = net()
    found = hessian(
        model, LOSS, data(), budget=60, batch_size=45, exact_up_to=0, steps=0, top=3,
        on_batch=counted.append,
    )  # fmt: skip
    assert counted[-1] <= 60 and len(found.top) <= 3
    with pytest.raises(InputError, match="--budget: 4 batches; must be at least"):
        hessian(model, LOSS, data(), budget=4)


def test_what_cannot_be_looked_at_is_told():
    frozen = net().requires_grad_(False)
    with pytest.raises(InputError, match="no weight that is trained"):
        hessian(frozen, LOSS, data())
    with pytest.raises(InputError, match="read again"):
        hessian(net(), LOSS, iter([data()]))


def test_without_curvlinops_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        if name.startswith("curvlinops"):
            raise ImportError(name)
        return real(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r'pip install "hptune\[landscape\]"'):
        hessian(net(), LOSS, data(), exact_up_to=0, steps=5)
