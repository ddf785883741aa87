"""Wrong labels on purpose: how many, which, by the seed, and of the training examples alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from hptune.data.label_noise import with_wrong_labels
from hptune.data.sources.memory import TensorSource
from hptune.data.sources.stream import StreamSource
from hptune.data.spec import DataSpec
from hptune.errors import InputError

LABELS = torch.arange(1000) % 5


class Numbers(Dataset):
    def __len__(self) -> int:
        return len(LABELS)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.tensor([float(index)]), int(LABELS[index])


def held() -> TensorSource:
    return TensorSource(torch.arange(1000.0)[:, None], LABELS)


def streamed() -> StreamSource:
    return StreamSource(Numbers(), workers=0, targets=LABELS.numpy())


def labels_of(source) -> np.ndarray:
    return np.concatenate([batch[1].numpy() for batch in source.batches(100)])


@pytest.mark.parametrize("make", [held, streamed])
@pytest.mark.parametrize("fraction", [0.1, 0.337, 1.0])
def test_exactly_so_many_labels_become_another_class(make, fraction: float):
    spec = DataSpec(label_noise=fraction)
    source, notes = with_wrong_labels(spec, make(), 5, seed=3)
    labels, count = labels_of(source), round(fraction * 1000)
    assert (labels != LABELS.numpy()).sum() == count
    assert notes == [
        f"data.label_noise: {fraction:g}: {count:,} of 1,000 training labels are another class on purpose"
    ]
    changed = (labels - LABELS.numpy())[labels != LABELS.numpy()] % 5
    assert set(changed) == {1, 2, 3, 4}  # each of the others
    assert np.array_equal(labels, torch.as_tensor(source.targets).numpy())
    x, y = next(source.batches(1000, seed=1))  # shuffled, each label is still with its example
    assert np.array_equal(labels[x[:, 0].long().numpy()], y.numpy())


def test_the_seed_decides_which():
    spec = DataSpec(label_noise=0.2)
    first, again, other = (
        labels_of(with_wrong_labels(spec, make(), 5, seed=seed)[0])
        for make, seed in ((held, 0), (streamed, 0), (held, 1))
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_shuffled_labels_keep_their_classes_and_say_nothing_of_the_inputs():
    source, notes = with_wrong_labels(DataSpec(shuffle_labels=True), held(), 5, seed=0)
    labels = labels_of(source)
    assert Counter(labels.tolist()) == Counter(LABELS.tolist())
    wrong = int((labels != LABELS.numpy()).sum())
    assert 750 < wrong < 850
    assert notes[0].startswith(f"data.shuffle_labels: true: {wrong} of 1,000 training labels")


def test_labels_that_the_loss_ignores_stay():
    labels = torch.where(torch.arange(100) < 40, -100, torch.arange(100) % 3)
    source = TensorSource(torch.zeros(100, 1), labels)
    found, _ = with_wrong_labels(DataSpec(label_noise=0.5), source, 3, seed=0, ignored=-100)
    assert (found.targets[:40] == -100).all()
    assert int((found.targets != labels).sum()) == 30


def test_off_is_the_same_source():
    source = held()
    assert with_wrong_labels(DataSpec(), source, 5, seed=0) == (source, [])


@pytest.mark.parametrize(
    ("source", "classes", "told"),
    [
        (held(), None, "data.label_noise: 0.1; the targets are no classes; needs a classification"),
        (StreamSource(Numbers()), 5, "the labels are not known before each example is read"),
        (
            TensorSource(torch.zeros(6, 2), torch.zeros(6, 4).long()),
            3,
            r"shape \(6, 4\) and type int64",
        ),
    ],
)
def test_what_has_no_labels_is_told(source, classes: int | None, told: str):
    with pytest.raises(InputError, match=told) as caught:
        with_wrong_labels(DataSpec(label_noise=0.1), source, classes, seed=0)
    assert "\n" not in str(caught.value)


def test_both_at_once_are_refused():
    with pytest.raises(InputError, match=r"data.label_noise: 0.1 with data.shuffle_labels"):
        DataSpec(label_noise=0.1, shuffle_labels=True)


class Labelled(Dataset):
    """Labels that are arrays, or others than those that are held, as a target_transform makes them."""

    def __init__(self, make) -> None:
        self._make = make

    def __len__(self) -> int:
        return len(LABELS)

    def __getitem__(self, index: int):
        return torch.tensor([float(index)]), self._make(int(LABELS[index]))


@pytest.mark.parametrize(
    "make", [np.asarray, lambda label: np.array([label]), lambda label: torch.tensor([label])]
)
def test_labels_keep_the_shape_that_examples_have(make):
    source = StreamSource(Labelled(make), workers=0, targets=LABELS.numpy())
    changed, _ = with_wrong_labels(DataSpec(label_noise=0.1), source, 5, seed=3)
    first, second = (next(s.batches(1000))[1] for s in (source, changed))
    assert first.shape == second.shape and first.dtype == second.dtype
    assert int((first != second).sum()) == 100


def test_labels_that_a_transform_makes_others_of_are_refused():
    source = StreamSource(Labelled(lambda label: 4 - label), workers=0, targets=LABELS.numpy())
    with pytest.raises(InputError, match="are not those of its examples"):
        with_wrong_labels(DataSpec(label_noise=0.1), source, 5, seed=3)
