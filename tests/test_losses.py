"""What a loss ignores, which shapes go into it, and which are refused."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hptune.errors import InputError
from hptune.losses import fitted, ignored_target
from hptune.step import LossOf


class Within(nn.Module):
    """A loss of the user's own around one of torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.CrossEntropyLoss(ignore_index=7)

    def forward(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return self.inner(outputs, targets)


def with_argument(outputs: Any, targets: Any, ignore_index: int = 255) -> Any:
    return F.cross_entropy(outputs, targets, ignore_index=ignore_index)


def _name(loss: object) -> str:
    """Return a name that is the same in every process: addresses are not."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(loss))


@pytest.mark.parametrize(
    ("loss", "ignored"),
    [
        (F.cross_entropy, -100),
        (nn.CrossEntropyLoss(ignore_index=255), 255),
        (nn.NLLLoss(ignore_index=0), 0),
        (partial(F.cross_entropy, ignore_index=-1), -1),
        (partial(partial(F.nll_loss, ignore_index=3), reduction="mean"), 3),
        (Within(), 7),
        (with_argument, 255),
        (partial(with_argument, ignore_index=4), 4),
        (lambda outputs, targets: (outputs - targets).mean(), -100),
        (max, -100),  # its arguments cannot be read
    ],
)
def test_the_ignored_target_is_where_the_loss_says_it(loss: Any, ignored: int):
    assert ignored_target(loss) == ignored


NUMBERS = [
    nn.MSELoss(), nn.L1Loss(), nn.HuberLoss(), nn.SmoothL1Loss(), nn.BCEWithLogitsLoss(),
    F.mse_loss, F.l1_loss, partial(F.huber_loss, delta=0.5), partial(F.smooth_l1_loss, beta=0.5),
]  # fmt: skip


@pytest.mark.parametrize("loss", NUMBERS, ids=_name)
@pytest.mark.parametrize(("shape", "wanted"), [((5, 1), (5,)), ((5,), (5, 1)), ((5, 1, 2), (5, 2))])
def test_dimensions_of_1_are_fitted(loss: Any, shape: tuple[int, ...], wanted: tuple[int, ...]):
    outputs, targets = torch.rand(shape), torch.rand(wanted)
    found, *_ = LossOf(loss)(nn.Identity(), (outputs, targets))
    assert found == loss(outputs.reshape(wanted), targets)


@pytest.mark.parametrize("loss", NUMBERS, ids=_name)
@pytest.mark.parametrize("shapes", [((5, 3), (5, 1)), ((5, 1), (5, 3)), ((5, 4), (5,))])
def test_widths_that_only_broadcast_are_refused_with_both_shapes(loss: Any, shapes: Any):
    with pytest.raises(InputError) as caught:
        LossOf(loss)(nn.Identity(), (torch.rand(shapes[0]), torch.rand(shapes[1])))
    assert f"outputs of shape {shapes[0]} and targets of {shapes[1]}" in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float64])
def test_numbers_of_another_type_train(dtype: torch.dtype):
    outputs = torch.rand(4, 1, requires_grad=True)
    targets = torch.tensor([0, 1, 1, 0]).to(dtype)
    for loss in (nn.MSELoss(), nn.BCEWithLogitsLoss()):
        LossOf(loss)(nn.Identity(), (outputs, targets))[0].backward()
        assert outputs.grad is not None and outputs.grad.shape == (4, 1)


def test_places_of_classes_become_rows():
    outputs, targets = torch.rand(2, 3, 4, 5), torch.zeros(2, 4, 5, dtype=torch.long)
    rows, classes = fitted(outputs, targets)
    assert rows.shape == (40, 3) and classes.shape == (40,)
    assert torch.equal(rows[7], outputs[0, :, 1, 2])
