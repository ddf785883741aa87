"""The contract of a source: pairing, resuming, every example once; and augmentation."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from hptune.data.sources.augment import Augment, Draws
from hptune.data.sources.columns import leaves
from hptune.data.sources.memory import TensorSource
from hptune.data.sources.normalize import Normalize, image_normalization
from hptune.data.sources.stream import StreamSource

AUGMENT = Augment(flip=True, crop=2, cutout=3)


def images(n: int = 23) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (n, 3, 8, 8), generator=generator, dtype=torch.uint8)
    return x, torch.arange(n)


def memory() -> TensorSource:
    normalize = Normalize(torch.tensor(1 / 255), torch.tensor(-0.5))
    return TensorSource(*images(), normalize=normalize, augment=AUGMENT)


def stream() -> StreamSource:
    normalize = Normalize(torch.tensor(1 / 255), torch.tensor(-0.5))
    data = TensorDataset(*images())
    return StreamSource(data, workers=0, normalize=normalize, augment=AUGMENT)


@pytest.fixture(params=[memory, stream], ids=["memory", "stream"])
def source(request: pytest.FixtureRequest):
    return request.param()


def by_example(source, batch_size: int, **where: int) -> dict[int, torch.Tensor]:
    return {
        int(label): image
        for x, y in source.batches(batch_size, **where)
        for image, label in zip(x, y, strict=True)
    }


def test_evaluation_reads_every_example_once_in_order(source):
    labels = torch.cat([y for _, y in source.batches(5)])
    assert torch.equal(labels, torch.arange(23))


def test_training_shuffles_and_leaves_the_last_incomplete_batch_out(source):
    batches = list(source.batches(5, seed=0))
    labels = torch.cat([y for _, y in batches])
    assert len(batches) == 4
    assert len(set(labels.tolist())) == 20
    assert not torch.equal(labels, labels.sort().values)


def test_each_epoch_and_seed_has_its_own_order(source):
    def order(**where: int) -> list[int]:
        return torch.cat([y for _, y in source.batches(5, **where)]).tolist()

    assert order(seed=0, epoch=1) == order(seed=0, epoch=1)
    assert len({tuple(order(seed=s, epoch=e)) for s in (0, 1) for e in (0, 1)}) == 4


def test_an_example_looks_the_same_at_every_batch_size(source):
    small, large = by_example(source, 4, seed=3, epoch=2), by_example(source, 11, seed=3, epoch=2)
    common = set(small) & set(large)
    assert len(common) >= 18
    for label in common:
        torch.testing.assert_close(small[label], large[label], rtol=0, atol=0)


def test_a_pass_taken_up_later_goes_on_as_it_would_have(source):
    whole = list(source.batches(4, seed=3, epoch=2))
    rest = list(source.batches(4, seed=3, epoch=2, skip=2))
    assert len(rest) == len(whole) - 2
    for (x, y), (x2, y2) in zip(whole[2:], rest, strict=True):
        assert torch.equal(x, x2) and torch.equal(y, y2)


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("gathered", [0, 2**30])
def test_one_of_every_few_batches_is_as_among_all(source, seed, gathered, monkeypatch):
    monkeypatch.setattr("hptune.data.sources.memory.GATHER_BYTES", gathered)
    whole = list(source.batches(4, seed=seed, epoch=2))
    for part in range(3):
        some = list(source.batches(4, seed=seed, epoch=2, skip=1 + part, every=3))
        assert len(some) == len(whole[1 + part :: 3])
        for (x, y), (x2, y2) in zip(whole[1 + part :: 3], some, strict=True):
            assert torch.equal(x, x2) and torch.equal(y, y2)


def structured() -> TensorSource:
    x, y = images()
    return TensorSource(({"pixels": x.float()}, {"index": y, "double": 2 * y}))


@pytest.mark.parametrize("make", [memory, structured])
def test_what_is_chosen_reads_as_the_batch_does(make):
    source, where = make(), {"seed": 3, "epoch": 2, "skip": 1, "every": 2}
    batches, choices = list(source.batches(4, **where)), list(source.choices(4, **where))
    assert len(choices) == len(batches) == 2
    for batch, choice in zip(batches, choices, strict=True):
        assert all(len(part) == 4 for part in choice)
        for one, other in zip(leaves(batch), leaves(source.read(choice)), strict=True):
            assert torch.equal(one, other) and one.stride() == other.stride()


def test_memory_and_stream_deliver_the_same():
    for (x, y), (x2, y2) in zip(
        memory().batches(6, seed=1), stream().batches(6, seed=1), strict=True
    ):
        assert torch.equal(y, y2)
        torch.testing.assert_close(x, x2)


def test_reading_does_not_touch_the_global_generator(source):
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    list(source.batches(5, seed=0))
    assert torch.equal(torch.rand(2), expected)


def test_a_large_epoch_that_is_gathered_batch_by_batch_is_the_same(monkeypatch):
    whole = list(memory().batches(5, seed=2))
    monkeypatch.setattr("hptune.data.sources.memory.GATHER_BYTES", 0)
    for (x, y), (x2, y2) in zip(whole, memory().batches(5, seed=2), strict=True):
        assert torch.equal(x, x2) and torch.equal(y, y2)


def test_copies_on_a_device_do_not_go_to_other_processes():
    source = TensorSource(torch.zeros(1000, 10), torch.zeros(1000))
    before = len(pickle.dumps(source))
    assert len(source.to(torch.device("meta"))) == 1000
    assert source.to(torch.device("meta")) is source.to(torch.device("meta"))
    assert len(pickle.dumps(source)) == before


@pytest.mark.parametrize("gather", [0, 2**20])
def test_columns_in_a_tuple_of_dicts_keep_their_structure(gather: int, monkeypatch):
    monkeypatch.setattr("hptune.data.sources.memory.GATHER_BYTES", gather)
    x, y = images()
    nested = TensorSource(({"pixels": x}, y))
    flat = TensorSource(x, y)
    for seed in (None, 1):
        pairs = zip(nested.batches(5, seed=seed), flat.batches(5, seed=seed), strict=True)
        for (inputs, targets), (wanted, labels) in pairs:
            assert torch.equal(inputs["pixels"], wanted) and torch.equal(targets, labels)


@given(dy=st.integers(0, 4), dx=st.integers(0, 4))
def test_a_crop_moves_the_image(dy: int, dx: int):
    x = torch.arange(64.0).reshape(1, 1, 8, 8) + 1
    moved = Augment(crop=2).apply(x, Draws(None, torch.tensor([[dy, dx]]), None))
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2))
    assert torch.equal(moved, padded[:, :, dy : dy + 8, dx : dx + 8])


def test_a_flip_mirrors_the_images_that_were_drawn():
    x, _ = images(2)
    x = x.float()
    out = Augment(flip=True).apply(x, Draws(torch.tensor([True, False]), None, None))
    assert torch.equal(out[0], x[0].flip(2)) and torch.equal(out[1], x[1])


@given(row=st.floats(0, 0.999), column=st.floats(0, 0.999))
def test_cutout_blanks_a_square_around_its_centre(row: float, column: float):
    out = Augment(cutout=3).apply(
        torch.ones(1, 2, 8, 8), Draws(None, None, torch.tensor([[row, column]]))
    )
    blank = (out[0, 0] == 0).nonzero()
    assert out[0, 0, int(row * 8), int(column * 8)] == 0
    assert 4 <= len(blank) <= 9
    assert torch.equal(out[0, 0], out[0, 1])


def test_half_of_the_images_are_mirrored():
    draws = Augment(flip=True).draw(10_000, torch.Generator().manual_seed(0))
    assert draws.flip is not None and abs(draws.flip.float().mean().item() - 0.5) < 0.02


def test_normalisation_comes_from_the_training_split_alone():
    x = images(20)[0].numpy()
    x[10:] = 255
    fitted = image_normalization(x, np.arange(10), "standardize", 1.0)
    train = fitted(torch.from_numpy(x[:10]))
    torch.testing.assert_close(train.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(train.std((0, 2, 3)), torch.ones(3), atol=1e-2, rtol=0)


def test_the_mean_image_is_subtracted_and_nothing_divided():
    x = images(20)[0].numpy()
    fitted = image_normalization(x, np.arange(20), "mean-image", 255.0)
    torch.testing.assert_close(
        fitted(torch.from_numpy(x)),
        torch.from_numpy(x - x.astype(float).mean(0)).float(),
        atol=1e-3,
        rtol=0,
    )
