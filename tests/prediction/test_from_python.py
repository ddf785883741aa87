"""What was trained in Python predicts data in every form that a task takes, with and without targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import hptune

QUICK: dict[str, Any] = {"lr": 0.05, "epochs": 2, "batch_size": 16, "jobs": 1, "device": "cpu"}
X = torch.randn(160, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()
NEW, WANTED = X[100:], Y[100:]


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "classes"


@pytest.fixture(scope="module")
def trained(out: Path) -> Any:
    task = hptune.Task(net, train=(X[:100], Y[:100]), test=(NEW, WANTED))
    return hptune.train(task, seeds=2, out=out, **QUICK)


def best(trained: Any, column: str) -> float:
    rows = trained.trials.sort_values("val_loss")
    return float(rows[column].iloc[0])


def test_the_own_test_split_gives_what_the_run_read(trained):
    found = trained.predict()
    assert found.loss == best(trained, "test_loss")
    assert found.metrics == {"accuracy": best(trained, "test_accuracy")}
    assert found.probabilities.shape == (60, 3)


@pytest.mark.parametrize(
    "given",
    [
        NEW,
        NEW.numpy().astype(float),
        pd.DataFrame(NEW.numpy()),
        NEW.tolist(),
        list(NEW),
        TensorDataset(NEW),
    ],
    ids=lambda given: type(given).__name__,
)
def test_data_without_targets(trained, given: Any):
    found = trained.predict(given)
    assert (found.values == trained.predict().values).all() and found.loss is None


@pytest.mark.parametrize(
    "given",
    [
        (NEW, WANTED),
        [*zip(NEW, WANTED, strict=True)],
        DataLoader(TensorDataset(NEW, WANTED), batch_size=7),
    ],
    ids=lambda given: type(given).__name__,
)
def test_data_with_targets(trained, given: Any):
    assert trained.predict(given).metrics == trained.predict().metrics


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (NEW[0], r"x\[None\]"),
        (NEW[:, :4], r"each example inputs \(6,\)"),
        ((NEW, NEW, NEW), "3 columns an example"),
        ("test.csv", "correct the path"),
    ],
)
def test_data_of_another_form_are_one_line(trained, given: Any, rule: str):
    with pytest.raises(hptune.InputError, match=rule):
        trained.predict(given)


def test_seeds_predict_together(trained):
    found = trained.predict(ensemble=True)
    assert len(found.trials) == 2 and found.with_targets == 60
    assert found.metrics["accuracy"] == pytest.approx(np.mean(found.values == WANTED.numpy()))


def test_labels_quantities_and_places():
    labels = (X[:, :3] > 0).float()
    task = hptune.Task(lambda: nn.Linear(6, 3), train=(X[:100], labels[:100]), loss="bce")
    found = hptune.train(task, seeds=2, **QUICK).predict(NEW, ensemble=True)
    assert ((found.probabilities > 0.5) == found.values).all() and found.values.shape == (60, 3)

    sums = 100 * X.sum(1)
    task = hptune.Task(lambda: nn.Linear(6, 1), train=(X[:100], sums[:100]), test=(NEW, sums[100:]))
    trained = hptune.train(task, **QUICK | {"lr": 1e-3})
    found = trained.predict()
    assert found.values.shape == (60,) and found.loss == best(trained, "test_loss")

    images = X[:, None, :4].repeat(1, 4, 1)[:, None]
    places = (images[:, 0] > 0).long()
    task = hptune.Task(lambda: nn.Conv2d(1, 2, 1), train=(images[:100], places[:100]))
    found = hptune.train(task, **QUICK).predict((images[100:], places[100:]))
    assert found.values.shape == (60, 4, 4) and found.probabilities.shape == (60, 4, 4, 2)
    assert found.metrics["accuracy"] == pytest.approx(np.mean(found.values == places[100:].numpy()))
    with pytest.raises(hptune.InputError, match="a row an example"):
        found.frame()


def test_an_own_step_reads_its_own_test_split_and_predicts_inputs_alone():
    def step(model: nn.Module, batch: Any) -> torch.Tensor:
        return (model(batch) - batch).square().mean()

    task = hptune.Task(lambda: nn.Linear(6, 6), train=X[:100], test=NEW, step=step)
    trained = hptune.train(task, **QUICK)
    assert trained.predict().loss == best(trained, "test_loss")
    expected = trained.model()(NEW).detach().numpy()
    assert np.allclose(trained.predict(NEW).values, expected, atol=1e-6)


def test_a_model_that_ends_in_a_softmax_keeps_its_probabilities():
    task = hptune.Task(
        lambda: nn.Sequential(nn.Linear(6, 3), nn.Softmax(1)), train=(X[:100], Y[:100])
    )
    trained = hptune.train(task, **QUICK)
    found = trained.predict(NEW).probabilities
    assert np.allclose(found, trained.model()(NEW).detach(), atol=1e-6)
    twice = hptune.train(task, **QUICK | {"seeds": 2})
    each = [
        hptune.load_run(twice.out, make_model=task.make_model, trial=trial).predict(NEW)
        for trial in twice.trials["trial"]
    ]
    mean = np.mean([one.probabilities for one in each], axis=0)
    assert np.allclose(twice.predict(NEW, ensemble=True).probabilities, mean, atol=1e-6)


def test_another_process_finds_the_model_by_its_name_or_is_given_it(trained, out: Path):
    # A function of this module can be imported, as one of the user's own can.
    assert hptune.load_run(out).predict((NEW, WANTED)).metrics == trained.predict().metrics
    task = hptune.Task(lambda width=8: nn.Sequential(nn.Linear(6, width), nn.Linear(width, 3)),
                       train=(X[:100], Y[:100]))  # fmt: skip
    other = out.parent / "unnamed"
    hptune.train(task, out=other, settings={"model.args": {"width": 4}}, **QUICK)
    with pytest.raises(hptune.InputError, match="no other process can import"):
        hptune.load_run(other)

    def make(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(6, width), nn.Linear(width, 3))

    assert hptune.load_run(other, make_model=make).model()[0].out_features == 4
    with pytest.raises(hptune.InputError, match="do not fit"):
        hptune.load_run(other, make_model=lambda width: net()).predict(NEW)


def test_a_data_set_gives_its_classes_their_names():
    class Named(TensorDataset):
        classes = ("none", "one", "two")

    task = hptune.Task(net, train=Named(X[:100], Y[:100]))
    found = hptune.train(task, **QUICK).predict(NEW)
    assert set(found.labels) <= {"none", "one", "two"}
