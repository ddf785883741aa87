"""A label of the data that the loss of an experiment ignores is no class."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from hptune.cli import run
from hptune.config.build import build_task
from hptune.config.load import load_experiment
from hptune.errors import InputError
from hptune.results.settings import OptimizerSpec
from hptune.task import Task
from hptune.training.check_batch import check_batch
from hptune.training.device import Device

LOSSES = """
from functools import partial
from torch import nn
from torch.nn import functional as F

minus_one = nn.CrossEntropyLoss(ignore_index=-1)
last = partial(F.cross_entropy, ignore_index=255)
padding = nn.CrossEntropyLoss(ignore_index=0)
"""
N = 120


def labels(ignored: int, lowest: int = 0) -> np.ndarray:
    found = np.arange(N) % 2 + lowest
    found[::3] = ignored
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ignored")
    (folder / "losses_that_ignore.py").write_text(LOSSES)
    return folder


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def built(loss: str, y: np.ndarray, name: str = "data.npz") -> Task:
    x = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
    overrides = [f"data.path={name}", f"loss={loss}"]
    if name.endswith("npz"):
        np.savez(name, x=x, y=y)
        overrides.append("data.name=npz")
    else:
        with Path(name).open("w", newline="") as file:
            csv.writer(file).writerows([["a", "b", "c", "y"], *np.column_stack([x, y]).tolist()])
        overrides += ["data.name=csv", "data.target=y", "data.kind=classification"]
    return build_task(load_experiment(None, overrides))


@pytest.mark.parametrize(
    ("loss", "ignored", "lowest", "classes"),
    [
        ("losses_that_ignore:minus_one", -1, 0, 2),
        ("losses_that_ignore:last", 255, 0, 2),
        ("losses_that_ignore:padding", 0, 1, 3),
        ("cross-entropy", -100, 0, 2),
    ],
)
def test_it_keeps_its_number_and_the_others_count(
    loss: str, ignored: int, lowest: int, classes: int
):
    y = labels(ignored, lowest)
    task = built(loss, y)
    assert (task.ignored, task.classes) == (ignored, classes)
    found = torch.cat([s.targets for s in (task.train, task.validation, task.test)])
    np.testing.assert_array_equal(np.sort(found), np.sort(y))
    assert task.make_model()(torch.zeros(1, 3)).shape == (1, classes)
    assert task.notes[-1].startswith(f"40 of 120 targets are {ignored}, which the loss ignores")


def test_in_a_table_too():
    y = np.where(labels(-1) == -1, "-1", "yes")
    y[1::2] = "no"
    assert built("losses_that_ignore:minus_one", y, "data.csv").classes == 2


def test_it_is_a_class_to_a_loss_that_does_not_ignore_it():
    task = built("cross-entropy", labels(-1))
    assert (task.ignored, task.classes, task.notes) == (None, 3, ())


def test_the_number_of_another_label_is_refused():
    with pytest.raises(InputError, match=r"ignores the target 0, .* of the class '5'"):
        built("losses_that_ignore:padding", labels(6, 5))


def test_a_first_batch_of_nothing_that_counts_has_no_loss():
    y = np.where(np.arange(N) < 12, np.arange(N) % 2, 255)
    task = built("losses_that_ignore:last", y)
    cpu = Device(torch.device("cpu"))
    found = {
        check_batch(task, cpu, batch_size=1, optimizer=OptimizerSpec(name="sgd"), seed=seed).loss
        for seed in range(8)
    }
    assert None in found and not any(np.isinf(loss) for loss in found - {None})


def test_a_run_says_so_and_leaves_them_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    x = torch.randn(N, 3, generator=torch.Generator().manual_seed(0)).numpy()
    y = (x[:, 0] > 0).astype(int)
    y[::3] = 255
    np.savez("data.npz", x=x, y=y)
    words = ["--set", "data.name=npz", "--set", "data.path=data.npz", "--set", "training.epochs=10"]
    words += ["--set", "loss=losses_that_ignore:last", "--set", "metrics=[accuracy,f1_score]"]
    words += ["--set", "hyper_parameters.lr=0.05", "--executor", "inline", "--device", "cpu"]
    assert run(["train", *words, "--out", str(tmp_path / "run")]) == 0
    assert "warning: 40 of 120 targets are 255" in capsys.readouterr().err
    with (tmp_path / "run" / "results.csv").open() as file:
        row = next(csv.DictReader(file))
    # Were a third of them counted, neither could be above 0.67.
    assert float(row["val_accuracy"]) > 0.8 and float(row["val_f1_score"]) > 0.8
