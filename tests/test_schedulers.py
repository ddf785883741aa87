"""OneCycle in a training loop of one's own: the author's values, groups, resume, the end."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import hptune
from hptune.errors import InputError
from hptune.policies import schedule
from hptune.schedulers import OneCycle

N = 40


def sgd(*lrs: float, momentum: float = 0.9) -> torch.optim.SGD:
    groups = [{"params": [nn.Parameter(torch.ones(2))], "lr": lr} for lr in lrs or (0.1,)]
    return torch.optim.SGD(groups, lr=1.0, momentum=momentum)


def walk(optimizer: torch.optim.Optimizer, scheduler: OneCycle, iterations: int):
    """Return LR and momentum of every group, at every iteration, (iterations, groups) each."""
    lrs, momenta = [], []
    for _ in range(iterations):
        groups = optimizer.param_groups
        lrs.append([float(group["lr"]) for group in groups])
        momenta.append([g["betas"][0] if "betas" in g else g["momentum"] for g in groups])
        optimizer.step()
        scheduler.step()
    return np.array(lrs), np.array(momenta)


@pytest.mark.parametrize("stepsize", [0.45, 7, 1 / 3, 12.5])
def test_it_is_the_policy_to_the_last_bit(stepsize: float):
    optimizer = sgd()
    scheduler = OneCycle(
        optimizer,
        iterations=N,
        lr=0.5,
        lr_min=0.07,
        momentum=0.97,
        momentum_min=0.8,
        stepsize=stepsize,
    )
    lr, momentum = walk(optimizer, scheduler, N)
    args = {"stepsize": stepsize}
    wanted = schedule("1cycle", N, lr=0.5, lr_min=0.07, momentum=0.97, momentum_min=0.8, args=args)
    np.testing.assert_array_equal(lr[:, 0], wanted.lr)
    np.testing.assert_array_equal(momentum[:, 0], wanted.momentum)


@pytest.mark.parametrize(
    ("name", "low", "high", "momentum", "momentum_min", "stepsize"),
    [
        ("wide32cifar_Wide1CycLR.1001CM0.95.85WD1e-4Epoch50BS128a_1", 0.1, 1.0, 0.95, 0.85, 2246),
        ("gResnet56_ResTBS512LR.0800.8M.95WD1e-4Epoch95BS128b_1", 0.08, 0.8, 0.95, None, 4003),
        ("genDensenet40_Den1CycLR.1004M0.9WD1e-6Epoch50BS128c_1", 0.1, 4.0, 0.9, 0.8, 2148),
    ],
    ids=["wide-resnet", "resnet-56", "densenet"],
)
def test_it_is_the_authors_at_every_row_of_his_logs(
    name, low, high, momentum, momentum_min, stepsize, shared_data: Path
):
    with (shared_data / "smith_curves" / f"{name}.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["lr"]]
    at = [int(row["iteration"]) for row in rows]
    optimizer = sgd()
    scheduler = OneCycle(
        optimizer,
        iterations=at[-1] + 1,
        lr=high,
        lr_min=low,
        momentum=momentum,
        momentum_min=momentum_min,
        stepsize=stepsize,
    )
    lr, beta = walk(optimizer, scheduler, at[-1] + 1)
    np.testing.assert_allclose(lr[at, 0], [float(row["lr"]) for row in rows], rtol=1e-3)
    np.testing.assert_allclose(beta[at, 0], [float(row["momentum"]) for row in rows], rtol=1e-4)


def test_adams_beta1_moves_and_beta2_stays():
    optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(2))], lr=1e-3, betas=(0.9, 0.98))
    scheduler = OneCycle(optimizer, iterations=N)
    _, momentum = walk(optimizer, scheduler, N)
    assert momentum[0] == 0.95 and momentum.min() == 0.85
    assert optimizer.param_groups[0]["betas"][1] == 0.98


def test_groups_keep_their_own_lrs_or_take_a_list():
    optimizer = sgd(0.1, 0.01)
    lr, _ = walk(optimizer, OneCycle(optimizer, iterations=N), N)
    np.testing.assert_allclose(lr.max(axis=0), [0.1, 0.01])
    np.testing.assert_allclose(lr[0], [0.01, 0.001])
    optimizer = sgd(0.1, 0.01)
    scheduler = OneCycle(optimizer, iterations=N, lr=[3.0, 2.0], momentum=[0.95, 0.9])
    lr, momentum = walk(optimizer, scheduler, N)
    np.testing.assert_allclose(lr.max(axis=0), [3.0, 2.0])
    np.testing.assert_allclose(momentum.max(axis=0), [0.95, 0.9])


def test_it_goes_on_after_the_end():
    optimizer = sgd()
    lr, momentum = walk(optimizer, OneCycle(optimizer, iterations=N, lr=1.0), 3 * N)
    np.testing.assert_allclose(lr[N:], 1e-4)
    # Momentum's cycles go on with half the height each, as in the author's logs.
    assert momentum[2 * 18 : 4 * 18].min() == pytest.approx(0.9)


def test_momentum_is_left_alone_or_held():
    optimizer = sgd(momentum=0.7)
    _, momentum = walk(optimizer, OneCycle(optimizer, iterations=N, momentum=None), N)
    assert (momentum == 0.7).all()
    optimizer = sgd(momentum=0.7)
    _, momentum = walk(optimizer, OneCycle(optimizer, iterations=N, momentum_min=None), N)
    assert (momentum == 0.95).all()


class Run:
    """A small run whose every weight depends on all LRs and momenta before it."""

    def __init__(self, kind: str) -> None:
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
        groups = [{"params": [p], "lr": 0.05 * 2**-k} for k, p in enumerate(self.net.parameters())]
        if kind == "sgd":
            self.optimizer = torch.optim.SGD(groups, lr=1.0, momentum=0.9, nesterov=True)
        else:
            self.optimizer = torch.optim.Adam(groups, lr=torch.tensor(0.1), foreach=False)
            for group in self.optimizer.param_groups:
                group["lr"] = torch.tensor(group["lr"])
        self.x = torch.randn(16, 3, generator=torch.Generator().manual_seed(1))

    def train(self, scheduler: OneCycle, iterations: int) -> None:
        for _ in range(iterations):
            self.net(self.x).square().mean().backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            scheduler.step()


@pytest.mark.parametrize("kind", ["sgd", "adam-with-tensor-lr"])
@pytest.mark.parametrize("optimizer_first", [True, False])
@pytest.mark.parametrize("done", [5, 18, 30])
def test_resume_mid_cycle_is_bitwise(kind: str, optimizer_first: bool, done: int):
    whole = Run(kind)
    whole.train(OneCycle(whole.optimizer, iterations=N), N)

    begun = Run(kind)
    scheduler = OneCycle(begun.optimizer, iterations=N)
    begun.train(scheduler, done)
    file = io.BytesIO()
    state = {
        "net": begun.net.state_dict(),
        "optimizer": begun.optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
    }
    torch.save(state, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)

    resumed = Run(kind)
    resumed.net.load_state_dict(state["net"])
    if optimizer_first:  # the order in which torch's own schedulers lose an iteration's LR
        resumed.optimizer.load_state_dict(state["optimizer"])
        scheduler = OneCycle(resumed.optimizer, iterations=N)
        scheduler.load_state_dict(state["scheduler"])
    else:
        scheduler = OneCycle(resumed.optimizer, iterations=N)
        scheduler.load_state_dict(state["scheduler"])
        resumed.optimizer.load_state_dict(state["optimizer"])
    resumed.train(scheduler, N - done)
    for a, b in zip(whole.net.parameters(), resumed.net.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"iterations": 100}, "half a cycle is 45 iterations here and 18 in the state"),
        ({"iterations": N, "stepsize": 7}, "half a cycle is 7 iterations here and 18"),
        ({"iterations": N, "lr": 2.0}, "LR or momentum here are not those of the state"),
        ({"iterations": N, "momentum_min": 0.5}, "LR or momentum here"),
        ({"iterations": N, "momentum_min": None}, "LR or momentum here"),
    ],
)
def test_a_state_of_another_cycle_holds_and_says_so(other: dict, told: str):
    begun = sgd()
    scheduler = OneCycle(begun, iterations=N, lr=1.0)
    walk(begun, scheduler, N // 2)
    resumed = sgd()
    again = OneCycle(resumed, **{"lr": 1.0} | other)
    with pytest.warns(UserWarning, match=told) as caught:
        again.load_state_dict(scheduler.state_dict())
    message = str(caught[0].message)
    assert "LR at its lowest after 36 iterations" in message and "last_epoch=19" in message
    assert resumed.param_groups[0]["lr"] == begun.param_groups[0]["lr"]


def test_a_longer_cycle_is_entered_by_last_epoch_as_the_warning_says():
    begun = sgd()
    walk(begun, OneCycle(begun, iterations=N, lr=1.0), N)
    resumed = sgd()
    resumed.load_state_dict(begun.state_dict())
    longer = OneCycle(resumed, iterations=100, lr=1.0, last_epoch=N - 1)
    lr, _ = walk(resumed, longer, 100 - N)
    wanted = schedule("1cycle", 100, lr=1.0, lr_min=0.1, momentum=0.95, momentum_min=0.85)
    np.testing.assert_allclose(lr[:, 0], wanted.lr[N:])


def test_last_epoch_goes_on_with_the_optimizers_state_alone():
    whole = sgd(0.1, 0.01)
    lr, momentum = walk(whole, OneCycle(whole, iterations=N), N)
    begun = sgd(0.1, 0.01)
    walk(begun, OneCycle(begun, iterations=N), 10)
    resumed = sgd(0.1, 0.01)
    resumed.load_state_dict(begun.state_dict())
    scheduler = OneCycle(resumed, iterations=N, last_epoch=9)
    lr_after, momentum_after = walk(resumed, scheduler, N - 10)
    np.testing.assert_array_equal(lr[10:], lr_after)
    np.testing.assert_array_equal(momentum[10:], momentum_after)


def test_it_stands_in_torchs_sequence_of_schedulers():
    optimizer = sgd()
    warmup = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=5)
    cycle = OneCycle(optimizer, iterations=N, lr=0.4)
    both = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, cycle], milestones=[5])
    lr, momentum = walk(optimizer, both, 5 + N)
    wanted = schedule("1cycle", N, lr=0.4, lr_min=0.04, momentum=0.95, momentum_min=0.85)
    np.testing.assert_allclose(lr[5:, 0], wanted.lr)
    np.testing.assert_allclose(momentum[5:, 0], wanted.momentum)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": -1.0}, "lr: -1"),
        ({"lr": 0.1, "lr_min": 0.2}, "lr_min: 0.2"),
        ({"momentum": 1.2}, "momentum: 1.2"),
        ({"momentum": 0.8, "momentum_min": 0.9}, "momentum_min: 0.9"),
        ({"lr": [0.1, 0.2]}, "lr: 2 values; the optimizer has 1 parameter groups"),
        ({"stepsize": 0}, "stepsize: 0"),
    ],
)
def test_bad_values_are_told_in_a_line(arguments: dict, message: str):
    with pytest.raises(InputError) as error:
        OneCycle(sgd(), iterations=N, **arguments)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_an_optimizer_without_momentum_is_told():
    optimizer = torch.optim.Adagrad([nn.Parameter(torch.ones(2))])
    with pytest.raises(InputError, match="Adagrad has neither momentum nor betas"):
        OneCycle(optimizer, iterations=N)
    OneCycle(optimizer, iterations=N, momentum=None)


def test_it_is_reached_from_the_package():
    assert hptune.schedulers.OneCycle is OneCycle
