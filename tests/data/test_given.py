"""Data given in Python: every usual form gives the same examples, what cannot be used is told."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)

from hptune.data import DataSpec
from hptune.data.given import GivenSplit, divide_given, given_split
from hptune.errors import InputError

N = 40
X = torch.arange(N * 3, dtype=torch.float32).reshape(N, 3)
Y = torch.arange(N) % 4


class Pairs(Dataset[Any]):
    """A map-style data set without any attribute to read labels from."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return X[index], int(Y[index])


class Stream(IterableDataset[Any]):
    def __iter__(self):
        yield from Pairs()


def divide(given: GivenSplit, fraction: float, seed: int) -> tuple[GivenSplit, GivenSplit, str]:
    spec = DataSpec(validation=fraction, test=0, split_seed=seed)
    parts, how = divide_given(spec, {"train": given}, given.labels())
    return parts["train"], parts["validation"], how


FORMS = {
    "tensors": (X, Y),
    "list of two tensors": [X, Y],
    "arrays": (X.numpy(), Y.numpy()),
    "float64 and int32": (X.double().numpy(), Y.numpy().astype(np.int32)),
    "TensorDataset": TensorDataset(X, Y),
    "Subset of TensorDataset": Subset(TensorDataset(X, Y), list(range(N))),
    "Dataset": Pairs(),
    "list of examples": [(X[k], int(Y[k])) for k in range(N)],
    "DataLoader": DataLoader(Pairs(), batch_size=8, shuffle=True),
    "DataLoader of tensors": DataLoader(TensorDataset(X, Y), batch_size=8),
    "DataLoader with workers": DataLoader(Pairs(), batch_size=8, num_workers=2),
}


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_form_gives_the_same_batches(form: str):
    given = given_split(FORMS[form], "train")
    assert len(given) == N
    source = given.source()
    for seed in (None, 3):
        wanted = given_split((X, Y), "train").source().batches(16, seed=seed, epoch=1)
        batches = list(source.batches(16, seed=seed, epoch=1))
        assert len(batches) == (3 if seed is None else 2)
        for (x, y), (wanted_x, wanted_y) in zip(batches, wanted, strict=True):
            assert torch.equal(x, wanted_x) and torch.equal(y, wanted_y)
            assert x.dtype == torch.float32 and y.dtype == torch.int64


def test_columns_keep_their_structure_and_are_copies():
    columns = {"text": {"ids": X.clone(), "mask": X > 5}, "labels": Y}
    source = given_split(columns, "train").source()
    batch = next(iter(source.batches(5)))
    assert list(batch) == ["text", "labels"] and list(batch["text"]) == ["ids", "mask"]
    batch["text"]["ids"].zero_()
    assert torch.equal(columns["text"]["ids"], X)
    assert torch.equal(next(iter(source.batches(5)))["text"]["ids"], X[:5])


def test_a_resumed_pass_repeats_exactly():
    source = given_split(((X, X + 1), Y), "train").source()
    whole = list(source.batches(8, seed=1, epoch=2))
    rest = list(source.batches(8, seed=1, epoch=2, skip=3))
    for (wanted, _), (found, _) in zip(whole[3:], rest, strict=True):
        assert torch.equal(wanted[0], found[0]) and torch.equal(wanted[1], found[1])


@pytest.mark.parametrize("form", ["tensors", "Dataset", "DataLoader", "TensorDataset"])
def test_a_split_is_stratified_seeded_and_complete(form: str):
    def examples(given) -> list[float]:
        return [x[0].item() for xs, _ in given.source().batches(7) for x in xs]

    rest, part, how = divide(given_split(FORMS[form], "train"), 0.2, 0)
    assert how == "stratified"
    assert Counter(part.labels().tolist()) == {0: 2, 1: 2, 2: 2, 3: 2}
    assert sorted(examples(rest) + examples(part)) == X[:, 0].tolist()
    again = divide(given_split(FORMS[form], "train"), 0.2, 0)[1]
    other = divide(given_split(FORMS[form], "train"), 0.2, 1)[1]
    assert examples(again) == examples(part) != examples(other)


def test_numbers_and_rare_classes_are_split_at_random():
    assert divide(given_split((X, X[:, 0]), "train"), 0.2, 0)[2] == "random"
    assert divide(given_split((X, torch.arange(N)), "train"), 0.2, 0)[2] == "random"


def test_labels_are_read_from_an_attribute_before_any_example_is():
    class Costly(Dataset[Any]):
        targets = Y.tolist()

        def __len__(self) -> int:
            return N

        def __getitem__(self, index: int) -> Any:
            raise AssertionError("an example was loaded")

    rest, _, how = divide(given_split(Costly(), "train"), 0.2, 0)
    assert how == "stratified" and len(rest) == 32
    assert given_split(Subset(Costly(), [3, 2]), "train").labels().tolist() == [3, 2]


def test_a_loaders_collation_batch_size_and_subset_are_taken():
    def doubled(examples: list[Any]) -> Any:
        x, y = default_collate(examples)
        return {"x": 2 * x, "y": y}

    for dataset in (Pairs(), TensorDataset(X, Y)):
        sampler = SubsetRandomSampler([4, 9, 30])
        loader = DataLoader(dataset, batch_size=2, sampler=sampler, collate_fn=doubled)
        given = given_split(loader, "train")
        assert len(given) == 3 and given.batch_size == 2
        batch = next(iter(given.source().batches(3)))
        assert torch.equal(batch["x"], 2 * X[[4, 9, 30]])


class Noise(Dataset[Any]):
    """Random transforms by torch, NumPy and Python, beside the number of the example."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.rand(2) + np.random.rand() + random.random(), index


@pytest.mark.parametrize("workers", [0, 1])
def test_random_transforms_follow_from_seed_epoch_and_example(workers: int):
    given, _ = given_split(DataLoader(Noise(), batch_size=1, num_workers=workers), "train").read()
    assert given.varies

    def examples(batch_size: int, **of: Any) -> dict[int, torch.Tensor]:
        batches = given.source().batches(batch_size, **of)
        return {int(k): x for xs, ks in batches for x, k in zip(xs, ks, strict=True)}

    torch.manual_seed(0)
    before = torch.get_rng_state()
    whole = examples(2, seed=3, epoch=1)
    assert torch.equal(torch.get_rng_state(), before)
    for same in (examples(3, seed=3, epoch=1), examples(2, seed=3, epoch=1, skip=1)):
        assert all(torch.equal(whole[k], x) for k, x in same.items())
    other = examples(2, seed=3, epoch=2)
    assert not any(torch.equal(whole[k], x) for k, x in other.items())
    read, again = examples(2), examples(12)
    assert all(torch.equal(read[k], x) for k, x in again.items())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Stream(), "Stream is an iterable data set"),
        (DataLoader(Stream(), batch_size=2), "Stream is an iterable data set"),
        (
            DataLoader(Pairs(), batch_size=2, sampler=WeightedRandomSampler([1.0] * N, N)),
            "a DataLoader with a WeightedRandomSampler",
        ),
        (
            DataLoader(
                Pairs(), batch_sampler=BatchSampler(SequentialSampler(Pairs()), 4, drop_last=True)
            ),
            "a DataLoader with a BatchSampler of its own",
        ),
        (DataLoader(Pairs(), batch_size=None), "a DataLoader with batch_size=None"),
        ((X, Y[:30]), "lengths 40, 30"),
        ((X, torch.full((N,), torch.nan)), "40 values are not finite"),
        ((X, np.array(["a"] * N)), "an array of <U1"),
        ((X[:0], Y[:0]), "no examples"),
        ([], "no examples"),
        (3, "train: a int"),
        (None, "train: a NoneType"),
        ("folder", "train: a str"),
        ((X, 3), "train: a tuple"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_used_is_told_in_a_line(data: Any, message: str):
    with pytest.raises(InputError) as error:
        given_split(data, "train")
    assert message in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).startswith("train: ")


class Squares(Dataset[Any]):
    def __init__(self, factor: Any) -> None:
        self.factor = factor

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Any]:
        return torch.tensor([index * self.factor(index)]), np.int64(index % 2)


def test_the_hash_of_a_data_set_is_of_examples_from_all_over_it():
    def content(data: Any) -> str:
        return given_split(data, "train").read()[1]

    same = content(Squares(lambda k: 1.0))
    assert content(Squares(lambda k: 1.0)) == same
    # Beyond the first examples alone.
    assert content(Squares(lambda k: 1.0 if k < 500 else -1.0)) != same
    relabelled = Squares(lambda k: 1.0)
    relabelled.targets = [0] * 999 + [1]  # type: ignore[attr-defined]
    other = Squares(lambda k: 1.0)
    other.targets = [1] + [0] * 999  # type: ignore[attr-defined]
    assert content(relabelled) != content(other)
