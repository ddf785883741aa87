"""Keys that change model and training examples: through an experiment, and through a task of Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import hptune
from hptune.config.build import build_task
from hptune.config.load import load_experiment
from hptune.config.schema import MODEL_METHODS, Model
from hptune.data.sources.mix import Mixed
from hptune.data.spec import DATA_METHODS, DataSpec
from hptune.errors import InputError
from hptune.task import Task
from hptune.training.ghost_batch import GhostBatchNorm

NET = """
import torch
from torch import nn
def net(outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, outputs))
def regular(outputs, targets):
    return nn.functional.cross_entropy(outputs, targets)
"""


def built(*overrides: str) -> Task:
    return build_task(load_experiment(None, ["model.args.hidden=[8]", *overrides]))


KEYS = (
    *("model.init=he", "model.init_gain=2", "data.label_noise=0.1", "data.shuffle_labels=true"),
    *("data.mixup=0.2", "data.cutmix=1"),
)


def test_each_key_is_part_of_what_a_trial_is():
    kept = [built().fingerprint, built("data.mixup=0", "model.init=default").fingerprint]
    with_init = [built("model.init=he", key).fingerprint for key in KEYS[:2]]
    others = [built(key).fingerprint for key in KEYS[2:]]
    assert kept[0] == kept[1]
    assert len({kept[0], *with_init, *others}) == len(KEYS) + 1


def test_keys_that_are_off_are_no_part_of_it():
    assert not set(DATA_METHODS) & DataSpec().identity().keys()
    assert not set(MODEL_METHODS) & Model().identity().keys()
    assert DataSpec(mixup=0.2).identity().keys() - DataSpec().identity().keys() == {"mixup"}


def test_an_experiment_counts_wrong_labels_of_its_training_examples_alone():
    plain, noisy = built(), built("data.label_noise=0.25", "data.mixup=0.2")
    assert isinstance(noisy.train, Mixed)
    wrong = (noisy.train.source.targets != plain.train.targets).sum()
    assert int(wrong) == round(0.25 * len(plain.train)) == 324
    assert any("324 of 1,297 training labels are another class" in note for note in noisy.notes)
    for one, other in ((plain.validation, noisy.validation), (plain.test, noisy.test)):
        assert torch.equal(one.targets, other.targets)


def test_a_models_own_module_is_initialised_and_normalises_by_parts(tmp_path: Path, monkeypatch):
    (tmp_path / "own_keys.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    override = [
        "model.args={}",
        "model.name=own_keys:net",
        "model.ghost_batch=4",
        "model.init=zero",
    ]
    net = build_task(load_experiment(None, override)).make_model()
    assert isinstance(net[2], GhostBatchNorm) and not net[1].weight.any()


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["model.ghost_batch=8"], "model.ghost_batch: 8; model mlp has no batch norm"),
        (["model.ghost_batch=1"], "model.ghost_batch"),
        (["model.init_gain=2"], "model.init_gain: 2 with model.init default"),
        (["model.init=kaiming"], "model.init"),
        (
            ["model.init=he", "model.name=torchvision:resnet18", "model.args={weights: DEFAULT}"],
            "model.init: he with model.args.weights; would put other weights",
        ),
        (
            ["model.ghost_batch=8", "training.batch_norm=sync"],
            "model.ghost_batch: 8 with training.batch_norm sync",
        ),
        (
            ["function=a:b", "loop.iterations_per_epoch=3", "data.mixup=1"],
            "data.mixup: with a training",
        ),
    ],
)
def test_what_does_not_go_together_is_told(overrides: list[str], told: str):
    with pytest.raises(InputError, match=told) as caught:
        build_task(load_experiment(None, overrides))
    assert "\n" not in str(caught.value)


def test_a_regression_has_no_wrong_labels_and_is_mixed(tmp_path: Path):
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    np.savez(tmp_path / "line.npz", x=x, y=x.sum(1, keepdims=True))
    given = ["data.name=npz", f"data.path={tmp_path / 'line.npz'}", "data.kind=regression"]
    with pytest.raises(InputError, match=r"data.label_noise: 0.1; the targets are no classes"):
        built(*given, "data.label_noise=0.1")
    with pytest.raises(InputError, match=r"data.cutmix: inputs of shape \(3,\); needs images"):
        built(*given, "data.cutmix=1")
    _, y = next(built(*given, "data.mixup=1").train.batches(8, seed=0))
    assert y.shape == (8, 1)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def test_a_task_of_python_takes_the_keys(tmp_path: Path):
    x = torch.randn(120, 6, generator=torch.Generator().manual_seed(0))
    task = hptune.Task(Net, train=(x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()))
    settings = {
        "model.init": "he", "model.ghost_batch": 8, "data.mixup": 0.2, "data.label_noise": 0.1,
    }  # fmt: skip
    how = {"lr": 0.05, "epochs": 2, "batch_size": 16, "progress": False}
    plain = hptune.train(task, out=tmp_path / "plain", **how)
    keyed = hptune.train(task, out=tmp_path / "keyed", settings=settings, **how)
    ids = [found.results[0].trial.task for found in (plain, keyed)]
    assert ids[0] == task.fingerprint != ids[1]
    assert keyed.results[0].status == "complete"
