"""Batch norms over parts of a batch, against batch norms of each part."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from factories import CPU, mlp_task, mlp_trial, trained
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from hptune.errors import InputError
from hptune.training.ghost_batch import with_ghost_batches
from hptune.training.statistics import fresh_statistics


class WithActivation(nn.BatchNorm2d):
    """As timm's: a batch norm with more in its forward."""

    def forward(self, batch: Tensor) -> Tensor:
        return super().forward(batch).relu()


KINDS: list[tuple[Callable[[], nn.Module], tuple[int, ...]]] = [
    (lambda: nn.BatchNorm1d(3), (3,)),
    (lambda: nn.BatchNorm1d(3, affine=False), (3, 5)),
    (lambda: nn.BatchNorm2d(3, momentum=0.3), (3, 4, 4)),
    (lambda: nn.BatchNorm2d(3, momentum=None), (3, 4, 4)),
    (lambda: nn.BatchNorm2d(3, track_running_stats=False), (3, 4, 4)),
    (lambda: nn.BatchNorm3d(3), (3, 2, 3, 4)),
    (lambda: WithActivation(3), (3, 4, 4)),
]


@pytest.mark.parametrize(("make", "shape"), KINDS)
def test_each_part_is_normalised_as_a_batch_of_its_own(make, shape: tuple[int, ...]):
    torch.manual_seed(0)
    batch = 2 * torch.randn(24, *shape) + 1
    plain = make()
    ghost = with_ghost_batches(copy.deepcopy(plain), 8, "net")
    parts, momentum = batch.split(8), plain.momentum
    expected = [copy.deepcopy(plain)(part) for part in parts]
    assert torch.equal(ghost(batch), torch.cat(expected))
    assert ghost.momentum == momentum and isinstance(ghost, type(plain))
    assert list(ghost.state_dict()) == list(plain.state_dict())
    if plain.track_running_stats:  # the mean of the parts, at the layer's own momentum
        whole = 1 if momentum is None else momentum
        means = torch.stack([part.transpose(0, 1).flatten(1).mean(1) for part in parts])
        variances = torch.stack([part.transpose(0, 1).flatten(1).var(1) for part in parts])
        torch.testing.assert_close(ghost.running_mean, whole * means.mean(0))
        torch.testing.assert_close(ghost.running_var, 1 - whole + whole * variances.mean(0))
    ghost.eval()
    plain.load_state_dict(ghost.state_dict())
    assert torch.equal(ghost(batch), plain.eval()(batch))


@pytest.mark.parametrize(
    ("examples", "sizes"), [(20, [7, 7, 6]), (13, [7, 6]), (8, [8]), (3, [3]), (24, [8, 8, 8])]
)
def test_a_batch_that_is_no_multiple_is_cut_into_equal_parts(examples: int, sizes: list[int]):
    batch = torch.randn(examples, 4)
    ghost = with_ghost_batches(nn.BatchNorm1d(4), 7, "net")
    expected = [nn.BatchNorm1d(4)(part) for part in batch.split(sizes)]
    assert torch.equal(ghost(batch), torch.cat(expected))
    assert with_ghost_batches(nn.BatchNorm1d(4), 2, "net")(batch).shape == batch.shape


def test_fresh_averages_are_the_mean_over_all_parts():
    net = with_ghost_batches(nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3)), 4, "net")
    task = mlp_task()
    batches = list(task.train.batches(16, seed=0))
    with fresh_statistics(task, net, batches, CPU):
        means = torch.stack([part.var(0) for x, _ in batches for part in x.split(4)])
        torch.testing.assert_close(net[0].running_var, means.mean(0))


def ghost_net() -> nn.Module:
    net = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
    return with_ghost_batches(net, 4, "net")


def test_stacked_trials_normalise_as_each_alone():
    torch.manual_seed(0)
    nets = [ghost_net() for _ in range(3)]
    batch = torch.randn(16, 6)
    alone = [copy.deepcopy(net) for net in nets]
    expected = torch.stack([net(batch) for net in alone])
    parameters, buffers = stack_module_state(nets)
    base = nets[0]
    outputs = vmap(lambda p, b: functional_call(base, (p, b), (batch,)))(parameters, buffers)
    torch.testing.assert_close(outputs, expected)
    found = buffers["1.running_mean"]
    torch.testing.assert_close(found, torch.stack([net[1].running_mean for net in alone]))


def test_a_trial_learns_with_them():
    result = trained(mlp_task().change(make_model=ghost_net), mlp_trial(), CPU)
    assert result.val_loss < result.curve.val_loss[result.curve.val_loss > 0][0]


def test_a_model_without_batch_norms_is_told():
    with pytest.raises(InputError, match=r"model.ghost_batch: 8; model mlp has no batch norm"):
        with_ghost_batches(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)), 8, "mlp")


def test_a_model_is_saved_and_copied_whole(tmp_path):
    model = with_ghost_batches(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), 8, "net")
    torch.save(model, tmp_path / "model.pt")
    batch = torch.randn(24, 4, generator=torch.Generator().manual_seed(0))
    copies = [torch.load(tmp_path / "model.pt", weights_only=False), copy.deepcopy(model)]
    expected = model(batch)
    for other in copies:
        assert torch.equal(other(batch), expected) and other[1].ghost_batch == 8
        assert torch.equal(other[1].running_mean, model[1].running_mean)
