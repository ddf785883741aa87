"""A task from what a user has: which loss, metrics and batches it finds, and what it refuses."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

import hptune
from hptune.errors import InputError
from hptune.task import Task as Record
from hptune.training.device import Device
from hptune.training.evaluation import evaluate
from hptune.training.model import make_model

CPU = Device(torch.device("cpu"))
G = torch.Generator().manual_seed(0)
X, Y = torch.randn(60, 6, generator=G), torch.arange(60) % 3
WHOLE = (X, Y)


def net(width: int = 5) -> nn.Module:
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))


class Returns(nn.Module):
    """A linear model that returns what a function makes of its logits and the targets."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.linear, self.make = nn.Linear(6, 3), make

    def forward(self, x: Tensor, targets: Tensor) -> Any:
        logits = self.linear(x)
        return self.make(logits, F.cross_entropy(logits, targets))


def read(task: Record) -> tuple[float, dict[str, float]]:
    """Return loss and metrics of the task's first model over its validation split."""
    torch.manual_seed(0)
    found = evaluate(task, make_model(task, CPU), task.validation, CPU)
    return found.loss, dict(found.metrics)


def test_a_task_is_the_record_that_everything_else_takes():
    task = hptune.Task(net, train=WHOLE)
    assert isinstance(task, Record) and type(task.change(data="other")) is Record
    assert task.model == "Sequential" and task.data == "tensors" and task.classes == 3
    assert len(task.train) == 51 and len(task.validation) == 9 and task.test is None
    assert task.splits == {
        "train": 51, "validation": 9, "test": None, "split": "stratified", "split_seed": 0,
    }  # fmt: skip
    assert "model=Sequential" in repr(task)


def test_loss_and_accuracy_are_the_usual_ones():
    task = hptune.Task(net, train=WHOLE, validation=WHOLE)
    loss, metrics = read(task)
    torch.manual_seed(0)
    logits = net()(X)
    assert loss == pytest.approx(F.cross_entropy(logits, Y).item(), rel=1e-5)
    assert metrics["accuracy"] == pytest.approx((logits.argmax(1) == Y).float().mean().item())


def test_numbers_of_one_column_do_not_broadcast():
    y = X.sum(1)
    for loss in (None, "mse", F.mse_loss, nn.MSELoss()):
        task = hptune.Task(lambda: nn.Linear(6, 1), train=(X, y), validation=(X, y), loss=loss)
        torch.manual_seed(0)
        wanted = F.mse_loss(nn.Linear(6, 1)(X)[:, 0], y).item()
        found, metrics = read(task)
        assert found == pytest.approx(wanted, rel=1e-5)
        assert metrics["r2_score"] == pytest.approx(1 - wanted / y.var(correction=0).item(), 1e-4)


OWN = {
    "number": lambda logits, loss: loss,
    "object": lambda logits, loss: SimpleNamespace(loss=loss, logits=logits),
    "dict": lambda logits, loss: {"loss": loss, "logits": logits},
    "tuple": lambda logits, loss: (logits, loss),
    "tuple, loss first": lambda logits, loss: (loss, logits),
}


@pytest.mark.parametrize("form", OWN)
def test_the_models_own_loss_is_found(form: str):
    for loss in (None, "model"):
        task = hptune.Task(lambda: Returns(OWN[form]), train=WHOLE, validation=WHOLE, loss=loss)
        torch.manual_seed(0)
        wanted = F.cross_entropy(nn.Linear(6, 3)(X), Y).item()
        found, metrics = read(task)
        assert found == pytest.approx(wanted, rel=1e-5)
        assert list(metrics) == ([] if form == "number" else ["accuracy"])


def test_columns_that_a_model_does_not_ask_for_are_left_out():
    batch = {"x": X, "text": X, "targets": Y}
    task = hptune.Task(lambda: Returns(OWN["object"]), train=batch, validation=batch)
    assert read(task)[1].keys() == {"accuracy"}


def test_negative_losses_are_losses():
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets) - 10

    task = hptune.Task(net, train=WHOLE, loss=loss)
    assert -10 < read(task)[0] < -8
    result = hptune.train(task, lr=0.05, epochs=3, progress=False)
    assert -10 < result.metrics["val_loss"] < -8.5


@pytest.mark.parametrize("returns", ["loss", "triple"])
def test_a_step_covers_the_rest(returns: str):
    def step(model: nn.Module, batch: Any) -> Any:
        x, y = batch
        logits = model(x.flip(1))
        loss = F.cross_entropy(logits, y)
        return loss if returns == "loss" else (loss, logits, y)

    task = hptune.Task(net, train=WHOLE, step=step)
    assert list(task.metrics) == ([] if returns == "loss" else ["accuracy"])
    assert task.step(net(), WHOLE)[0].ndim == 0


@pytest.mark.parametrize("places_last", [True, False])
def test_classes_of_many_places(places_last: bool):
    tokens = torch.randint(0, 5, (30, 7), generator=G)
    wanted = tokens.clone()
    wanted[:, :2] = -100  # no target here

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(5, 9)

        def forward(self, x: Tensor) -> Tensor:
            logits = self.embedding(x)
            return logits.movedim(-1, 1) if places_last else logits

    task = hptune.Task(Tagger, train=(tokens, wanted), validation=(tokens, wanted))
    torch.manual_seed(0)
    logits = nn.Embedding(5, 9)(tokens)
    loss, metrics = read(task)
    wanted_loss = F.cross_entropy(logits[:, 2:].flatten(0, 1), tokens[:, 2:].flatten())
    assert loss == pytest.approx(wanted_loss.item(), rel=1e-4)
    right = (logits.argmax(-1) == tokens)[:, 2:].float().mean().item()
    assert metrics["accuracy"] == pytest.approx(right)


def test_metrics_by_torchmetrics_name():
    task = hptune.Task(
        net, train=WHOLE, validation=WHOLE, metrics=["accuracy", "f1_score", "AUROC"]
    )
    assert read(task)[1].keys() == {"accuracy", "f1_score", "AUROC"}
    labels = torch.stack([Y > 0, X[:, 0] > 0], 1)
    for loss, targets in (("bce", labels), (nn.BCEWithLogitsLoss(), labels.float())):
        task = hptune.Task(
            lambda: nn.Linear(6, 2), train=(X, targets), validation=(X, targets), loss=loss,
            metrics=["accuracy", "f1_score"],
        )  # fmt: skip
        torch.manual_seed(0)
        wanted = ((nn.Linear(6, 2)(X) > 0) == labels).float().mean(0).mean().item()
        assert read(task)[1]["accuracy"] == pytest.approx(wanted)


def test_one_logit_for_two_classes():
    y = (Y > 0).long()
    task = hptune.Task(lambda: nn.Linear(6, 1), train=(X, y), validation=(X, y), loss="bce")
    torch.manual_seed(0)
    wanted = ((nn.Linear(6, 1)(X)[:, 0] > 0).long() == y).float().mean().item()
    assert read(task)[1]["accuracy"] == pytest.approx(wanted)


def test_a_model_that_views_its_convolutions_trains():
    class Old(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.linear = nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(self.conv(x).view(-1, 4 * 36))

    images = torch.randn(60, 1, 8, 8, generator=G)
    task = hptune.Task(Old, train=(images, Y))
    assert not task.channels_last
    assert hptune.train(task, lr=0.01, epochs=1, progress=False).metrics["val_loss"] > 0
    flat = nn.Sequential
    fine = hptune.Task(
        lambda: flat(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 3)), train=(images, Y)
    )
    assert fine.channels_last


def test_the_fingerprint_tells_problems_apart_and_is_the_same_each_time():
    def task(**changes: Any) -> str:
        arguments: dict[str, Any] = {"make_model": net, "train": WHOLE} | changes
        return hptune.Task(arguments.pop("make_model"), **arguments).fingerprint

    same = {task(), task(), task(train=DataLoader(TensorDataset(X, Y), batch_size=9))}
    assert len(same) == 1
    others = [
        task(make_model=lambda: net(6)),
        task(make_model=lambda: nn.Sequential(nn.Dropout(0.1), *net())),
        task(train=(X + 1e-3, Y)),
        task(split_seed=1),
        task(loss=lambda a, b: F.cross_entropy(a, b) + 1),
        task(loss=lambda a, b: F.cross_entropy(a, b) + 2),
        task(loss=nn.CrossEntropyLoss(label_smoothing=0.1)),
        task(metrics="f1_score"),
    ]
    assert len({*same, *others}) == 1 + len(others)


def test_making_a_task_disturbs_no_random_state():
    class Noisy(TensorDataset):
        def __getitem__(self, index: Any) -> Any:
            torch.rand(1), np.random.rand(), random.random()
            return super().__getitem__(index)

    loader = DataLoader(Noisy(X, Y), 8, shuffle=True, generator=torch.Generator().manual_seed(7))
    before = (
        torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate(),
        loader.generator.get_state(),
    )  # fmt: skip
    hptune.Task(net, train=loader)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    assert before[2] == random.getstate()
    assert torch.equal(before[3], loader.generator.get_state())


MODEL = net()
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("a model", {"make_model": MODEL}, "make_model: a Sequential; must be a function"),
    ("the same model", {"make_model": lambda: MODEL}, "make_model: gives the same parameters"),
    ("no model", {"make_model": lambda: 3}, "make_model: returns a int; must return"),
    ("not callable", {"make_model": 3}, "make_model: a int; must be a function"),
    ("needs arguments", {"make_model": nn.Linear}, "make_model: fails (TypeError"),
    ("no targets", {"train": X}, "train: the examples have no targets"),
    ("no targets in dict", {"train": {"a": X}}, "train: the examples have no targets"),
    ("wrong width", {"train": (X[:, :4], Y)},
     "model Sequential: fails on a batch of shapes (2, 4), (2,)"),
    ("class too high", {"train": (X, Y + 7)},
     "train: classes 8 to 8; must be from 0 to 2, for the model has 3 outputs"),
    ("rare class too high", {"train": (X, torch.where(torch.arange(60) == 40, 3, Y))},
     "to 3; must be from 0 to 2, for the model has 3 outputs"),
    ("vector loss", {"loss": nn.CrossEntropyLoss(reduction="none")},
     "loss: gives a tensor of shape (2,); must be one number"),
    ("loss of a float", {"loss": lambda a, b: 0.5}, "loss: gives a float; must be one number"),
    ("unknown loss", {"loss": "hinge"}, "loss: 'hinge'; must be cross-entropy, mse, bce, model"),
    ("loss no function", {"loss": 3}, "loss: a int; must be a function"),
    ("loss and step", {"loss": "mse", "step": lambda m, b: 0}, "loss: given with step"),
    ("no own loss", {"loss": "model", "make_model": lambda: Returns(lambda a, b: {"a": a})},
     "loss: the model returns a dict with a without a loss"),
    ("unknown metric", {"metrics": ["f1_scor"]}, "did you mean 'f1score'?"),
    ("metrics without outputs", {"step": lambda m, b: m(b[0]).mean(), "metrics": ["accuracy"]},
     "metrics: accuracy; outputs and targets are not known"),
    ("kind", {"kind": "ranking"}, "kind: 'ranking'; must be"),
    ("fraction", {"validation": 1.5}, "data.validation: 1.5; must lie between 0 and 1"),
    ("ragged", {"train": [(X[k, : 3 + k % 2], 0) for k in range(20)], "validation": WHOLE},
     "train: the first examples do not make a batch"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_what_does_not_fit_is_told_in_a_line(changes: dict[str, Any], message: str):
    arguments: dict[str, Any] = {"make_model": net, "train": WHOLE} | changes
    with pytest.raises(InputError) as error:
        hptune.Task(arguments.pop("make_model"), **arguments)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_loss_without_gradients_is_told_before_any_trial():
    task = hptune.Task(net, train=WHOLE, loss=lambda a, b: F.cross_entropy(a.detach(), b))
    with pytest.raises(InputError, match="loss: does not depend on the model's parameters"):
        hptune.train(task, lr=0.1, epochs=1, progress=False)


def test_whole_numbers_are_a_regression_where_the_kind_says_so():
    y = (3 * X[:, 0]).round().long()
    task = hptune.Task(lambda: nn.Linear(6, 1), train=(X, y), validation=(X, y), kind="regression")
    torch.manual_seed(0)
    wanted = F.mse_loss(nn.Linear(6, 1)(X)[:, 0], y.float()).item()
    loss, metrics = read(task)
    assert loss == pytest.approx(wanted, rel=1e-5)
    r2 = 1 - wanted / y.float().var(correction=0).item()
    assert metrics["r2_score"] == pytest.approx(r2, 1e-4)


def test_columns_of_a_data_frame():
    frame = pd.DataFrame(X.numpy(), columns=list("abcdef")).assign(y=Y.numpy())
    task = hptune.Task(net, train=(frame[list("abcdef")], frame[["y"]]))
    same = hptune.Task(net, train=(X, Y))
    assert task.classes == 3 and task.splits == same.splits
    assert read(task) == read(same)


def test_lazy_modules_get_their_shapes():
    def lazy(width: int = 5) -> nn.Module:
        return nn.Sequential(nn.LazyLinear(width), nn.ReLU(), nn.LazyLinear(3))

    task = hptune.Task(lazy, train=WHOLE)
    swept = hptune.sweep(task, "model.args.width", [3, 5], lr=0.1, epochs=2, progress=False)
    assert swept.value in (3, 5)


def test_random_transforms_do_not_change_the_fingerprint():
    class Noisy(Dataset[Any]):
        def __init__(self) -> None:
            self.random = np.random.default_rng()

        def __len__(self) -> int:
            return 60

        def __getitem__(self, index: Any) -> Any:
            return X[index] + float(self.random.normal()), Y[index]

    tasks = [hptune.Task(net, train=Noisy()) for _ in range(2)]
    assert tasks[0].fingerprint == tasks[1].fingerprint
