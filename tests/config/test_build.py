"""From an experiment to a task: model, loss, fingerprint, and what does not go together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hptune.config.build import build_task
from hptune.config.load import load_experiment
from hptune.config.schema import Experiment
from hptune.errors import InputError
from hptune.results.settings import OptimizerSpec
from hptune.task import Task
from hptune.training.check_batch import check_batch
from hptune.training.device import Device
from hptune.training.evaluation import evaluate

OWN = """
import numpy as np
from torch import nn
from torch.nn import functional as F

class Functional(nn.Module):
    def __init__(self, outputs, dropout=0.0):
        super().__init__()
        self.rate, self.head = dropout, nn.Linear(64, outputs)
    def forward(self, x):
        return F.dropout(self.head(x.flatten(1)), self.rate, self.training)

def bare(outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))

def heavy(outputs, targets):
    return 3 * F.cross_entropy(outputs, targets)

def flat(input_shape, outputs):
    return nn.Sequential(nn.Linear(input_shape[0], 1), nn.Flatten(0))

def three(input_shape, outputs):
    return nn.Linear(input_shape[0], 3)

def difference(outputs, targets):
    return (outputs - targets).square().mean()

class Choosy:
    def __init__(self, needed): pass

def by_numpy(outputs):
    net = bare(outputs)
    net[1].weight.data += float(np.random.rand())
    return net

number = 3
"""


def digits(*overrides: str) -> Experiment:
    return load_experiment(None, ["model.args.hidden=[8]", *overrides])


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_parts.py").write_text(OWN)
    return folder


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("data") / "line.npz"
    x = np.random.default_rng(0).normal(size=(80, 3)).astype(np.float32)
    np.savez(path, x=x, y=(x @ [[1.0], [2.0], [3.0]]).astype(np.float32))
    return str(path)


def numbers(path: str, *overrides: str) -> Experiment:
    given = ["data.name=npz", f"data.path={path}", "data.kind=regression"]
    return load_experiment(None, [*given, *overrides])


def test_a_task_has_the_splits_and_a_fresh_model_each_time():
    task = build_task(digits())
    assert (task.data, task.model, task.classes) == ("digits", "mlp", 10)
    assert (len(task.train), len(task.validation)) == (1297, 230)
    assert task.test is not None and len(task.test) == 270
    torch.manual_seed(3)
    first = task.make_model()
    torch.manual_seed(3)
    again = task.make_model()
    pairs = list(zip(first.parameters(), again.parameters(), strict=True))
    assert pairs and all(torch.equal(a, b) and a is not b for a, b in pairs)


def test_building_leaves_the_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_task(digits())
    assert torch.equal(torch.rand(3), expected)


def loss(task: Task) -> float:
    assert task.step.loss is not None
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]])
    return task.step.loss(logits, torch.tensor([0, 2])).item()


def test_label_smoothing_is_part_of_the_loss():
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]]).log_softmax(1)
    plain = -(logits[0, 0] + logits[1, 2]) / 2
    smoothed = 0.9 * plain + 0.1 * -logits.mean()
    assert loss(build_task(digits())) == pytest.approx(plain.item())
    assert loss(build_task(digits("training.label_smoothing=0.1"))) == pytest.approx(
        smoothed.item()
    )


def test_own_losses_are_functions_or_classes(own: Path, monkeypatch):
    monkeypatch.chdir(own)
    ours = loss(build_task(digits()))
    assert loss(build_task(digits("loss=own_parts:heavy"))) == pytest.approx(3 * ours)
    assert loss(build_task(digits("loss=torch.nn:CrossEntropyLoss"))) == pytest.approx(ours)


def rates(model: nn.Module) -> list[float]:
    return [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)]


def test_dropout_sets_every_layer_and_comes_before_the_models_argument():
    task = build_task(digits("model.args.hidden=[8, 8]", "model.dropout=0.3"))
    assert rates(task.make_model()) == [0.3, 0.3]
    task = build_task(digits("model.args.dropout=0.1", "model.dropout=0.4"))
    assert rates(task.make_model()) == [0.4]
    assert rates(build_task(digits("model.args.dropout=0.1")).make_model()) == [0.1]


def test_dropout_is_passed_to_a_factory_that_takes_it(own: Path, monkeypatch):
    monkeypatch.chdir(own)
    task = build_task(digits("model.name=own_parts:Functional", "model.dropout=0.25"))
    assert task.make_model().rate == 0.25


def test_a_regression_has_a_squared_loss_and_r2(regression: str):
    task = build_task(numbers(regression))
    assert task.classes is None and list(task.metrics) == ["r2_score"]
    assert task.step.loss is nn.functional.mse_loss


def first_batch_of(task: Task) -> None:
    cpu = Device(torch.device("cpu"))
    check_batch(task, cpu, batch_size=8, optimizer=OptimizerSpec(name="sgd"), seed=0)


@pytest.mark.parametrize(
    ("model", "loss", "told"),
    [
        ("three", "mse", r"\(8, 3\) and targets of \(8, 1\); must be of one shape"),
        ("three", "torch.nn:L1Loss", r"\(8, 3\) and targets of \(8, 1\); must be of one shape"),
        ("flat", "own_parts:difference", r"\(8,\) and targets of \(8, 1\) broadcast in it"),
    ],
)
def test_widths_that_only_broadcast_are_told_with_the_first_batch(
    model: str, loss: str, told: str, regression: str, own: Path, monkeypatch
):
    monkeypatch.chdir(own)
    task = build_task(numbers(regression, f"model.name=own_parts:{model}", f"loss={loss}"))
    with pytest.raises(InputError, match=told):
        first_batch_of(task)


@pytest.mark.parametrize("loss", ["mse", "torch.nn:HuberLoss"])
def test_a_model_that_gives_a_number_an_example_fits_a_column(
    loss: str, regression: str, own: Path, monkeypatch
):
    monkeypatch.chdir(own)
    task = build_task(numbers(regression, "model.name=own_parts:flat", f"loss={loss}"))
    first_batch_of(task)
    found = evaluate(task, task.make_model(), task.validation, Device(torch.device("cpu")))
    assert found.metrics["r2_score"] < 1


@pytest.mark.parametrize(
    "override",
    [
        "model.args.hidden=[9]", "model.dropout=0.1", "training.label_smoothing=0.1",
        "metrics=[accuracy, f1_score]", "data.split_seed=1", "data.subset=900", "data.normalize=none",
    ],
)  # fmt: skip
def test_the_fingerprint_changes_with_data_model_and_loss(override: str):
    assert build_task(digits(override)).fingerprint != build_task(digits()).fingerprint


@pytest.mark.parametrize(
    "override", ["seed=7", "training.epochs=9", "name=x", "policy.name=cosine"]
)
def test_the_fingerprint_keeps_with_all_else(override: str):
    assert build_task(digits(override)).fingerprint == build_task(digits()).fingerprint


def test_the_fingerprint_keeps_where_numpy_draws_the_weights(own: Path, monkeypatch):
    monkeypatch.chdir(own)
    first, again = (build_task(digits("model.name=own_parts:by_numpy")) for _ in range(2))
    assert first.fingerprint == again.fingerprint


def test_the_fingerprint_keeps_where_the_data_moves(regression: str, tmp_path: Path):
    moved = tmp_path / "moved.npz"
    moved.write_bytes(Path(regression).read_bytes())
    there, here = build_task(numbers(str(moved))), build_task(numbers(regression))
    assert there.fingerprint == here.fingerprint


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("loss=mse", "needs numbers; use cross-entropy"),
        ("loss=hinge", "must be one of auto, cross-entropy, mse or package.module:callable"),
        ("loss=nowhere:f", "cannot be imported"),
        ("loss=own_parts:Choosy", "must be made without arguments"),
        ("loss=own_parts:number", "must be a function of \\(outputs, targets\\), it is a int"),
        ("metrics=[acuracy]", "did you mean 'accuracy'"),
        ("model.name=lenett", "did you mean 'lenet'"),
        ("model.args.hiden=[3]", "model.args.hiden"),
        ("data.name=digit", "did you mean 'digits'"),
    ],
)
def test_what_is_not_there_is_told(override: str, expected: str, own: Path, monkeypatch):
    monkeypatch.chdir(own)
    with pytest.raises(InputError, match=expected) as caught:
        build_task(digits(override))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["loss=cross-entropy"], "'cross-entropy' on a regression; needs classes"),
        (["metrics=[accuracy]"], "'accuracy' on a regression; needs classes"),
        (["training.label_smoothing=0.1"], "0.1 with loss mse; goes with cross-entropy alone"),
    ],
)
def test_what_a_regression_does_not_take_is_told(overrides, expected: str, regression: str):
    with pytest.raises(InputError, match=expected):
        build_task(numbers(regression, *overrides))


def test_dropout_without_a_layer_for_it_is_told(own: Path, monkeypatch):
    monkeypatch.chdir(own)
    with pytest.raises(InputError, match="own_parts:bare has no dropout layer"):
        build_task(digits("model.name=own_parts:bare", "model.dropout=0.5"))
