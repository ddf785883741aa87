"""Targets that the loss ignores, and those that only broadcast, through a whole task."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import hptune
from hptune.errors import InputError
from hptune.procedure.final import guessing
from hptune.step import LossOf, PassesOver
from hptune.training.device import Device
from hptune.training.evaluation import Evaluation, evaluate
from hptune.training.model import make_model
from hptune.training.passes import Stack

CPU = Device(torch.device("cpu"))
G = torch.Generator().manual_seed(0)
X = torch.randn(120, 4, generator=G)
Y = (X[:, 0] > 0).long()
THIRD = torch.arange(120) % 3 == 0


def net(outputs: int = 2) -> nn.Module:
    return nn.Linear(4, outputs)


def read(task: hptune.Task, batch_size: int = 50) -> Evaluation:
    torch.manual_seed(0)
    return evaluate(task, make_model(task, CPU), task.validation, CPU, batch_size=batch_size)


def ignoring(ignored: int) -> nn.Module:
    return nn.CrossEntropyLoss(ignore_index=ignored)


@pytest.mark.parametrize("ignored", [-100, -1, 0, 255])
@pytest.mark.parametrize("streamed", [False, True], ids=["tensors", "examples"])
def test_loss_and_metrics_are_those_of_the_targets_that_count(ignored: int, streamed: bool):
    counting = Y + 1 if ignored == 0 else Y
    classes, y = int(counting.max()) + 1, counting.masked_fill(THIRD, ignored)
    data: Any = [(x, int(k)) for x, k in zip(X, y, strict=True)] if streamed else (X, y)
    names = ["accuracy", "f1_score"]
    task = hptune.Task(
        lambda: net(classes), train=data, validation=data, loss=ignoring(ignored), metrics=names
    )
    kept = (X[~THIRD], counting[~THIRD])
    wanted = read(hptune.Task(lambda: net(classes), train=kept, validation=kept, metrics=names))
    found = read(task)
    assert found.loss == pytest.approx(wanted.loss, rel=1e-5)
    assert found.metrics == pytest.approx(wanted.metrics)
    assert task.ignored == ignored


@pytest.mark.parametrize("ignored", [-100, 255])
def test_places_of_a_dense_target_are_left_out_too(ignored: int):
    images = torch.randn(40, 1, 6, 6, generator=G)
    masks = (images[:, 0] > 0).long()
    masks[:, :3] = ignored
    task = hptune.Task(
        lambda: nn.Conv2d(1, 2, 1),
        train=(images, masks),
        validation=(images, masks),
        loss=ignoring(ignored),
        metrics=["accuracy", "f1_score"],
    )
    torch.manual_seed(0)
    logits = make_model(task, CPU)(images)
    counts = masks != ignored
    wanted = (logits.argmax(1) == masks)[counts].float().mean()
    assert read(task).metrics["accuracy"] == pytest.approx(float(wanted))
    assert guessing(task) == pytest.approx(
        float(torch.bincount(masks[counts]).max() / counts.sum()), abs=0.03
    )


def test_what_is_left_out_is_told():
    task = hptune.Task(net, train=(X, Y.masked_fill(THIRD, -1)), loss=ignoring(-1))
    assert task.splits["split"] == "stratified"
    (note,) = task.notes
    assert note.startswith("40 of 120 targets are -1, which the loss ignores")


def test_without_such_targets_nothing_is_masked():
    task = hptune.Task(net, train=(X, Y), loss=ignoring(255))
    assert task.ignored is None and not task.notes


def test_the_most_frequent_class_is_one_that_counts():
    y = Y.masked_fill(torch.arange(120) % 10 < 7, 255)
    task = hptune.Task(net, train=(X, y), validation=(X, y), loss=ignoring(255))
    share = float(torch.bincount(y[y != 255]).max()) / int((y != 255).sum())
    assert guessing(task) == pytest.approx(share, abs=0.1)


def test_one_ignored_example_leaves_the_split_stratified():
    y = Y.clone()
    y[7] = -1
    assert hptune.Task(net, train=(X, y), loss=ignoring(-1)).splits["split"] == "stratified"


def test_batches_without_a_target_that_counts_do_not_end_a_trial():
    y = torch.where(torch.rand(120, generator=G) < 0.7, -100, Y)
    task = hptune.Task(net, train=(X, y))
    how = {"optimizer": "sgd", "lr": 0.01, "batch_size": 2}
    found = hptune.train(task, **how, epochs=3, progress=False)
    assert found.metrics["val_accuracy"] > 0.8
    assert 0 < found.metrics["train_loss"] < 1


@pytest.mark.parametrize("y", [Y, Y.masked_fill(THIRD, -1), torch.full((120,), -1)])
def test_trials_trained_as_one_learn_what_each_learns_alone(y: torch.Tensor):
    step = PassesOver(LossOf(ignoring(-1)), -1)
    together, alone = ([net(), net()] for _ in range(2))
    for own, other in zip(together, alone, strict=True):
        other.load_state_dict(own.state_dict())
    losses = Stack(together, step, CPU).gradients((X, y))
    for own, other, loss in zip(together, alone, losses, strict=True):
        wanted = step(other, (X, y))[0]
        wanted.backward()
        torch.testing.assert_close(loss, wanted.detach())
        torch.testing.assert_close(own.weight.grad, other.weight.grad)


def test_the_result_does_not_depend_on_where_batches_end():
    y = torch.cat([torch.full((60,), -100), Y[60:]])  # the first batches have nothing to read
    task = hptune.Task(net, train=(X, Y), validation=(X, y))
    assert read(task, batch_size=20).loss == pytest.approx(read(task, batch_size=120).loss)


def test_a_split_without_any_target_that_counts_is_refused():
    with pytest.raises(InputError, match="validation: every target is -100"):
        hptune.Task(net, train=(X, Y), validation=(X, torch.full((120,), -100)))


def test_a_class_that_nothing_says_is_ignored_is_refused():
    masks = torch.full((30, 5), 255)
    masks[:, :3] = 1
    data = (torch.randn(30, 5, 4), masks)

    def own(outputs: Any, targets: Any) -> Any:
        return F.cross_entropy(outputs.movedim(-1, 1), targets, ignore_index=255)

    with pytest.raises(InputError, match=r"classes 1 to 255; .* ignore_index"):
        hptune.Task(net, train=data, loss=own)


def test_nor_among_the_first_examples_of_a_stream():
    data = [(x, 255 if k == 1 else int(y)) for k, (x, y) in enumerate(zip(X, Y, strict=True))]

    def own(outputs: Any, targets: Any) -> Any:
        return F.cross_entropy(outputs, targets, ignore_index=255)

    with pytest.raises(InputError, match=r"classes 0 to 255|classes 1 to 255|classes 255 to 255"):
        hptune.Task(net, train=data, validation=data, loss=own)


def own_difference(outputs: Any, targets: Any) -> Any:
    return (outputs - targets).square().mean()


def test_an_own_loss_in_which_a_column_broadcasts_is_refused():
    with pytest.raises(InputError, match=r"outputs of shape \(2, 1\) and targets of \(2,\)"):
        hptune.Task(lambda: net(1), train=(X, X.sum(1)), loss=own_difference)


@pytest.mark.parametrize(
    "loss",
    [
        lambda outputs, targets: own_difference(outputs[:, 0], targets),
        lambda outputs, targets: own_difference(outputs.flatten(), targets),
        lambda outputs, targets: F.mse_loss(outputs.squeeze(1), targets),
    ],
)
def test_an_own_loss_that_knows_its_shapes_is_taken(loss: Any):
    task = hptune.Task(lambda: net(1), train=(X, X.sum(1)), validation=(X, X.sum(1)), loss=loss)
    found = read(task)
    torch.manual_seed(0)
    assert found.loss == pytest.approx(own_difference(net(1)(X)[:, 0], X.sum(1)).item())


def test_own_losses_may_compare_several_outputs_with_one_target():
    task = hptune.Task(lambda: net(3), train=(X, X[:, :1]), loss=own_difference)
    assert not task.metrics


@pytest.mark.parametrize("loss", [nn.MSELoss(), "mse", nn.BCEWithLogitsLoss(), "bce"])
def test_whole_numbers_are_no_classes_to_a_loss_of_numbers(loss: Any):
    task = hptune.Task(lambda: net(1), train=(X, Y), loss=loss)
    assert task.classes is None


def test_masks_of_one_channel_go_with_outputs_of_one_channel():
    images = torch.randn(30, 1, 5, 5, generator=G)
    task = hptune.Task(
        lambda: nn.Conv2d(1, 1, 1), train=(images, (images[:, 0] > 0).long()), loss="bce"
    )
    assert 0 <= read(task).metrics["accuracy"] <= 1


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.linear(x)
        return found[:, 0], found[:, 1:]


@pytest.mark.parametrize("structure", ["tuple", "list", "dict"])
@pytest.mark.parametrize("streamed", [False, True], ids=["tensors", "examples"])
def test_several_heads_have_targets_of_their_own(structure: str, streamed: bool):
    number, first, second = X.sum(1), 0, 1
    targets: Any = (number, Y)
    if structure == "dict":
        first, second = "number", "class"
        targets = {"number": number, "class": Y}
    elif structure == "list":
        targets = [number, Y]

    def loss(outputs: Any, targets: Any) -> Any:
        return F.mse_loss(outputs[0], targets[first]) + F.cross_entropy(outputs[1], targets[second])

    def one(k: int) -> Any:
        if structure == "dict":
            return {name: column[k] for name, column in targets.items()}
        return type(targets)(column[k] for column in targets)

    data: Any = [(X[k], one(k)) for k in range(120)] if streamed else (X, targets)
    task = hptune.Task(Heads, train=data, validation=data, loss=loss)
    found = read(task)
    torch.manual_seed(0)
    assert found.loss == pytest.approx(loss(Heads()(X), targets).item(), rel=1e-5)


def test_what_the_loss_ignores_is_no_class_in_what_is_said_of_the_data():
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long() + 1
    y[:100] = 0  # of the training examples alone
    loss = nn.CrossEntropyLoss(ignore_index=0)
    made = {"train": (x[:160], y[:160]), "validation": (x[160:], y[160:])}
    told = " ".join(hptune.Task(lambda: nn.Linear(4, 3), **made).notes)
    assert "no validation example of 1 of 3 classes: 0" in told
    told = " ".join(hptune.Task(lambda: nn.Linear(4, 3), **made, loss=loss).notes)
    assert "validation example of" not in told
