"""What a model is called with, through wrappers too, and batches in which no target counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hptune.step import NOTHING, LossOf, PassesOver, call, takes_targets

X, Y = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 2


class OwnLoss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, ids: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.linear(ids)
        return {"logits": logits, "loss": F.cross_entropy(logits, labels)}


class Wrapper(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)


class WithMore(nn.Module):
    """As peft's: the model beside parts of the wrapper's own."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.extra, self.base_model = nn.Linear(2, 2), inner

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.base_model(*args, **kwargs)


class Keywords(nn.Module):
    """Takes any column and uses them itself: it is no wrapper."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, **batch: Tensor) -> Tensor:
        return self.linear(batch["ids"] + batch["extra"])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model,
        lambda model: torch.compile(model, backend="eager"),
        nn.DataParallel,
        Wrapper,
        WithMore,
        lambda model: torch.compile(Wrapper(nn.DataParallel(model)), backend="eager"),
    ],
    ids=["bare", "compiled", "data-parallel", "wrapper", "with-more", "three-deep"],
)
def test_the_signature_of_the_wrapped_model_counts(wrap: Any):
    inner = OwnLoss()
    model = wrap(inner)
    assert takes_targets(model)
    found = call(model, {"ids": X, "labels": Y, "extra": X})
    torch.testing.assert_close(found["loss"], inner(X, Y)["loss"])


def test_a_wrapper_of_a_model_without_a_loss_of_its_own_takes_no_targets():
    assert not takes_targets(Wrapper(nn.Linear(3, 2)))


def test_a_model_that_takes_any_column_gets_all():
    model = Keywords()
    assert torch.equal(call(model, {"ids": X, "extra": X}), model.linear(2 * X))
    assert not takes_targets(model)


@pytest.mark.parametrize("ignored", [-100, 255, 0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_batch_of_nothing_but_ignored_targets_teaches_nothing(ignored: int, smoothing: float):
    loss = nn.CrossEntropyLoss(ignore_index=ignored, label_smoothing=smoothing)
    model, step = nn.Linear(3, 3), PassesOver(LossOf(loss), ignored)
    found, _, targets = step(model, (X, torch.full((8,), ignored)))
    found.backward()
    assert found.item() == NOTHING and (targets == ignored).all()
    assert not model.weight.grad.any() and not model.bias.grad.any()


def test_any_target_that_counts_makes_the_batch_an_ordinary_one():
    loss, model = nn.CrossEntropyLoss(ignore_index=1), nn.Linear(3, 3)
    found = PassesOver(LossOf(loss), 1)(model, {"input": X, "labels": Y})[0]
    assert found == loss(model(X), Y)
