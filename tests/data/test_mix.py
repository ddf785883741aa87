"""Mixup and CutMix: inputs and targets are one mixture, the same for all that share a seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from hptune.data.sources.memory import TensorSource
from hptune.data.sources.mix import Mix, Mixed, refusal

CLASSES = 7


def vectors(count: int = 64) -> TensorSource:
    """One-hot inputs, so that a mixture shows what it is made of."""
    return TensorSource(torch.eye(count), torch.arange(count) % CLASSES)


def images(count: int = 24) -> TensorSource:
    values = torch.arange(1.0, count + 1)[:, None, None, None]
    return TensorSource(values.expand(count, 2, 8, 6).clone(), torch.arange(count) % CLASSES)


def all_of(source, batch_size: int, **how) -> tuple[Tensor, Tensor]:
    inputs, targets = zip(*source.batches(batch_size, **how), strict=True)
    return torch.cat(inputs), torch.cat(targets)


def test_mixup_averages_neighbours_and_their_targets_by_one_share():
    source = vectors()
    x, y = all_of(source, 8, seed=1, epoch=2)
    mixed_x, mixed_y = all_of(Mixed(source, Mix(mixup=0.4, classes=CLASSES)), 8, seed=1, epoch=2)
    partner = torch.arange(64) ^ 1
    own = (mixed_x * x).sum(1, keepdim=True)  # of one-hot inputs
    torch.testing.assert_close(mixed_x, own * x + (1 - own) * x[partner])
    hot = F.one_hot(y, CLASSES).float()
    torch.testing.assert_close(mixed_y, own * hot + (1 - own) * hot[partner])
    torch.testing.assert_close(mixed_y.sum(1), torch.ones(64))
    smoothed = F.cross_entropy(torch.randn(64, CLASSES), mixed_y, label_smoothing=0.1)
    assert torch.isfinite(smoothed)


def test_the_loss_is_that_of_both_targets_by_their_shares():
    logits = torch.randn(64, CLASSES, generator=torch.Generator().manual_seed(0))
    source = Mixed(vectors(), Mix(mixup=1.0, classes=CLASSES))
    (x, y), (plain, labels) = all_of(source, 64, seed=0), all_of(vectors(), 64, seed=0)
    own, partner = (x * plain).sum(1), torch.arange(64) ^ 1
    first, second = (
        F.cross_entropy(logits, t, reduction="none") for t in (labels, labels[partner])
    )
    torch.testing.assert_close(
        F.cross_entropy(logits, y), (own * first + (1 - own) * second).mean()
    )


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_follow_the_beta_distribution(alpha: float):
    source = Mixed(TensorSource(torch.ones(4000, 1), torch.arange(4000.0)[:, None]), Mix(alpha))
    order = all_of(source.source, 4000, seed=0)[1][:, 0]
    mixed = all_of(source, 4000, seed=0)[1][:, 0]
    partner = order[torch.arange(4000) ^ 1]
    own = ((mixed - partner) / (order - partner)).numpy().clip(0, 1)
    assert stats.kstest(own, stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_cutmix_puts_a_rectangle_of_the_neighbour_in_and_counts_its_pixels():
    x, y = all_of(images(), 8, seed=0)
    cut_x, cut_y = all_of(Mixed(images(), Mix(cutmix=1.0, classes=CLASSES)), 8, seed=0)
    partner = torch.arange(24) ^ 1
    other = cut_x != x
    assert (cut_x[other] == x[partner].expand_as(cut_x)[other]).all()
    share = 1 - other[:, 0].float().mean((1, 2))
    hot = F.one_hot(y, CLASSES).float()
    expected = share[:, None] * hot + (1 - share[:, None]) * hot[partner]
    torch.testing.assert_close(cut_y, expected)
    for mask in other[:, 0]:  # a rectangle, the same in all channels
        rows, columns = mask.any(1), mask.any(0)
        assert torch.equal(mask, rows[:, None] & columns[None])
    assert torch.equal(other[:, 0], other[:, 1]) and 0.2 < share.mean() < 0.9


def test_with_both_each_image_gets_one_of_them():
    x, _ = all_of(images(), 24, seed=0)
    both, targets = all_of(Mixed(images(), Mix(1.0, 1.0, CLASSES)), 24, seed=0)
    pairs = zip(both, x, x[torch.arange(24) ^ 1], strict=True)
    cut = [bool(((m == a) | (m == b)).all()) for m, a, b in pairs]
    assert 6 < sum(cut) < 18
    torch.testing.assert_close(targets.sum(1), torch.ones(24))


def test_numbers_are_mixed_as_the_inputs_are():
    source = TensorSource(torch.eye(10), torch.eye(10))
    x, y = all_of(Mixed(source, Mix(0.5)), 10, seed=0)
    assert torch.equal(x, y)


@pytest.mark.parametrize("mix", [Mix(0.3, classes=CLASSES), Mix(0.3, 1.0, CLASSES)])
def test_a_mixture_depends_on_seed_and_epoch_alone(mix: Mix):
    source = Mixed(images(), mix)
    whole = all_of(source, 4, seed=5, epoch=1)
    for size in (2, 8, 12):  # so do the micro-batches of one that accumulates
        torch.testing.assert_close(all_of(source, size, seed=5, epoch=1), whole)
    resumed = all_of(source, 4, seed=5, epoch=1, skip=2)
    assert all(torch.equal(a, b[8:]) for a, b in zip(resumed, whole, strict=True))
    first = all_of(source, 4, seed=5, epoch=1, every=2)
    assert torch.equal(first[0], torch.cat([whole[0][k : k + 4] for k in (0, 8, 16)]))
    assert not torch.equal(all_of(source, 4, seed=5, epoch=2)[0], whole[0])
    moved = all_of(source.to(torch.device("cpu")), 4, seed=5, epoch=1)
    assert torch.equal(moved[0], whole[0])


def test_the_last_of_an_odd_batch_stays_and_readings_are_as_they_are():
    source, plain = Mixed(vectors(15), Mix(1.0, classes=CLASSES)), vectors(15)
    mixed, alone = (next(s.batches(5, seed=0))[0][4] for s in (source, plain))
    assert torch.equal(mixed, alone)
    for (x, y), (a, b) in zip(source.batches(4), plain.batches(4), strict=True):
        assert torch.equal(x, a) and torch.equal(y, b)


def test_named_and_several_inputs_are_mixed_by_one_share():
    source = TensorSource({"a": torch.eye(8), "b": 2 * torch.eye(8), "labels": torch.arange(8)})
    batch = next(Mixed(source, Mix(1.0, classes=8)).batches(8, seed=0))
    assert torch.equal(2 * batch["a"], batch["b"])
    assert np.allclose(batch["labels"], batch["a"])


@pytest.mark.parametrize(
    ("batch", "mix", "told"),
    [
        (
            (torch.ones(2, 3).long(), torch.ones(2).long()),
            Mix(0.1, classes=2),
            "inputs of torch.int64",
        ),
        (
            (torch.ones(2, 3), torch.ones(2).long()),
            Mix(0, 0.1, 2),
            r"inputs of shape \(3,\); needs images",
        ),
        ((torch.ones(2, 3), torch.ones(2, 4).long()), Mix(0.1, classes=2), r"and shape \(4,\)"),
        ((torch.ones(2, 3), torch.ones(2).long()), Mix(0.1), "targets of torch.int64"),
    ],
)
def test_what_cannot_be_mixed_is_told(batch, mix: Mix, told: str):
    import re

    assert re.search(told, refusal(batch, mix))
