"""Data that nothing can be learnt from are refused, and what is odd is said, from every source of data."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import hptune
from hptune.data import DataSpec, load
from hptune.data.sanity import look
from hptune.data.sanity.seen import see
from hptune.data.sources.memory import TensorSource
from hptune.data.sources.stream import StreamSource
from hptune.errors import InputError

G = torch.Generator().manual_seed(0)
Y = torch.arange(60) % 3
NAMES = ("ant", "bee", "cat")


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=G)


class Rows(Dataset):
    """Examples that are there only when they are asked for."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, k: int) -> tuple[Tensor, int]:
        return self.x[k], self.y[k]


def stream(x: Tensor, y: Tensor) -> StreamSource:
    return StreamSource(Rows(x, y), workers=0, targets=y.numpy())


SOURCES = pytest.mark.parametrize("source", [TensorSource, stream], ids=["memory", "stream"])


def told(source, *, classes=NAMES, own_step=False, scale=1.0, **splits) -> str:
    made = {name: source(*columns) for name, columns in splits.items()}
    return " | ".join(look(made, classes=classes, own_step=own_step, scale=scale))


def blank(images: Tensor, count: int) -> Tensor:
    images = images.clone()
    images[:count] = torch.linspace(-1, 1, count)[:, None, None, None]
    return images


@SOURCES
def test_sound_data_are_passed_without_a_word(source):
    x = normal(60, 3, 5, 5)
    assert not told(source, train=(x, Y), validation=(normal(30, 3, 5, 5), Y[:30]))


X, IMAGES = normal(60, 6), normal(60, 3, 5, 5)
OTHER = (normal(30, 6), Y[:30])
ODD = {
    "blank": (dict(train=(blank(IMAGES, 9), Y)), "blank inputs.*9 of 60 training"),
    "constant": (
        dict(train=(X * torch.tensor([1.0, 0, 1, 1, 1, 1]), Y)),
        "1 of 6 input columns are constant",
    ),
    "again": (
        dict(train=(X, Y), validation=(torch.cat([X[:7], OTHER[0][7:]]), Y[:30])),
        "^7 of 30 validation examples have inputs that are in the training set too",
    ),
    "same": (dict(train=(X, Y), test=(X, Y)), "^60 of 60 test examples have inputs that"),
    "twins": (
        dict(train=(torch.where((Y == 2)[:, None], X.roll(1, 0), X), Y)),
        "40 of 60 training examples have the very inputs.*'bee' and 'cat'",
    ),
    "one class": (
        dict(train=(X, Y), validation=(OTHER[0], 0 * OTHER[1] + 1)),
        "30 of 30 validation examples are of one class, 'bee'",
    ),
    "no class": (
        dict(train=(X, Y), validation=(OTHER[0], OTHER[1] % 2)),
        "no validation example of 1 of 3 classes: 'cat'",
    ),
    "not learnt": (
        dict(train=(X, Y % 2), validation=OTHER),
        "no training example of 1 of 3 classes: 'cat'",
    ),
    "raw": (dict(train=(255 * torch.rand(60, 3, 5, 5, generator=G), Y)), "3 input channels are large"),
    "small": (dict(train=(1e-4 * X, Y)), "6 of 6 input columns are small"),
    "a large column": (
        dict(train=(X * torch.tensor([1, 1, 1e9, 1, 1, 1]), Y)),
        "1 of 6 input columns are large .number 2",
    ),
    "unlike": (
        dict(train=(X, Y), validation=(OTHER[0] / 255, OTHER[1])),
        "the validation inputs vary 0.00.* times as much",
    ),
}  # fmt: skip


@SOURCES
@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_is_said(source, name: str):
    splits, message = ODD[name]
    assert re.search(message, told(source, **splits))


@SOURCES
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.ones(60, 6), Y, "inputs of 60 of 60 training examples are all the same"),
        (torch.zeros(60, 3, 5, 5), Y, "are all the same"),
        (X, 0 * Y, "targets of 60 of 60 training examples are all the same, 'ant'"),
        (X / (Y > 0)[:, None], Y, "inputs of 20 of 60 training examples are not finite"),
    ],
)
def test_what_nothing_is_learnt_from_is_refused(source, x, y, message: str):
    with pytest.raises(InputError, match=message):
        told(source, train=(x, y), validation=OTHER)
    assert (
        "same" in told(source, train=(x, y), own_step=True) or "finite" in message or y.max() == 0
    )


def test_targets_of_a_regression_that_are_all_the_same_are_refused():
    with pytest.raises(InputError, match="targets of 60 of 60"):
        told(TensorSource, train=(X, torch.ones(60, 1)), classes=None)


def test_few_columns_of_few_values_repeat_by_chance():
    few = torch.randint(0, 2, (400, 4), generator=G).float()
    y = torch.arange(400) % 3
    assert not told(TensorSource, train=(few[:300], y[:300]), validation=(few[300:], y[300:]))
    many = torch.randint(0, 2, (100, 40), generator=G).float().repeat(4, 1)
    assert "in the training set too" in told(
        TensorSource, train=(many[:300], y[:300]), validation=(many[300:], y[300:])
    )


def test_ids_have_no_scale_and_a_scale_that_is_meant_is_none_to_speak_of():
    ids = torch.randint(0, 9999, (60, 20), generator=G)
    assert not told(TensorSource, train=(ids, Y))
    raw = 255 * torch.rand(60, 3, 5, 5, generator=G)
    assert not told(TensorSource, train=(raw, Y), scale=255.0)


def test_a_large_split_is_looked_at_in_part(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hptune.data.sanity.seen._READ", 50)
    monkeypatch.setattr("hptune.data.sanity.seen._COMPARED", 100)
    x = normal(1000, 6)
    seen = see("train", TensorSource(x, torch.arange(1000) % 3))
    assert len(seen.inputs[0]) == 50 and len(seen.keys) == 100
    assert torch.equal(seen.inputs[0][-1], x[-1])
    assert "100 of 100 validation examples (looked at, of 1,000)" in told(
        TensorSource, train=(x, torch.arange(1000) % 3), validation=(x, torch.arange(1000) % 3)
    )


def test_looking_draws_no_random_number():
    class Noisy(Rows):
        def __getitem__(self, k: int) -> tuple[Tensor, int]:
            return self.x[k] + torch.randn(6) + float(np.random.rand()), self.y[k]

    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    look({"train": StreamSource(Noisy(X, Y), workers=0)}, classes=NAMES)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


def test_structures_of_tensors_are_looked_at():
    columns = {"ids": torch.ones(60, 5).long(), "mask": torch.ones(60, 5), "labels": Y}
    with pytest.raises(InputError, match="all the same"):
        look({"train": TensorSource(columns)}, classes=())


def net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(3))


def test_tasks_in_python_are_looked_at():
    task = hptune.Task(net, train=(X, Y), validation=(X[:30], Y[:30] % 2))
    assert [note.split(" have ")[0] for note in task.notes] == [
        "30 of 30 validation examples",
        "no validation example of 1 of 3 classes: 2",
    ]
    assert task.change(data="other").notes == task.notes
    for x, y in ((X, 0 * Y), (0 * X, Y)):
        with pytest.raises(InputError, match="all the same"):
            hptune.Task(net, train=(x, y))
    with pytest.raises(InputError, match="not finite"):
        hptune.Task(net, train=Rows(X / 0, Y))


def test_classes_that_are_written_as_floats_are_said():
    train = (X, (Y % 2).float()[:, None])

    def one() -> nn.Module:
        return nn.Linear(6, 1)

    assert "2 whole numbers written as floats" in hptune.Task(one, train=train).notes[0]
    assert not hptune.Task(one, train=train, loss="bce").notes
    assert not hptune.Task(one, train=(X, X[:, :1])).notes


def test_a_step_of_ones_own_may_do_without_inputs():
    def step(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return model(torch.randn(len(batch[0]), 6)).square().mean()

    task = hptune.Task(net, train=(0 * X, 0 * Y), step=step)
    assert "all the same" in task.notes[0]


def test_files_and_functions_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    np.savez(tmp_path / "x.npz", x=np.zeros((60, 9, 9), "u1"), y=Y.numpy())
    with pytest.raises(InputError, match="all the same"):
        load(DataSpec(name="npz", path=str(tmp_path / "x.npz")))
    (tmp_path / "own_splits.py").write_text(
        "import torch\n"
        "from dataclasses import replace\n"
        "from hptune.data import load, DataSpec\n"
        "def same():\n"
        "    splits = load(DataSpec(subset=200))\n"
        "    return replace(splits, validation=splits.train)\n"
        "class Rows(torch.utils.data.Dataset):\n"
        "    def __len__(self): return 60\n"
        "    def __getitem__(self, k): return torch.full((3,), float(k)), k % 3\n"
        "class Few(Rows):\n"
        "    def __getitem__(self, k): return torch.full((3,), k + 0.5), k % 2\n"
        "def few(): return Rows(), Few(), None\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "validation examples have inputs" in load(DataSpec(name="own_splits:same")).notes[0]
    notes = load(DataSpec(name="own_splits:few")).notes
    assert "no validation example of 1 of 3 classes: '2'" in notes


def test_the_digits_are_sound():
    assert load(DataSpec()).notes == ()
