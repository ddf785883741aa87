"""Targets as people write them: classes in any form, quantities, and what is neither."""

from __future__ import annotations

import numpy as np
import pytest

from hptune.data.targets import read_targets
from hptune.errors import InputError

Y = np.arange(60) % 3
HOT = np.eye(3)[Y]


@pytest.mark.parametrize(
    ("targets", "names"),
    [
        (Y, "0 1 2"),
        (Y[:, None].astype("u1"), "0 1 2"),
        (Y.astype("f4"), "0 1 2"),
        ((Y + 1).astype("f8"), "1 2 3"),
        (Y.astype("f2"), "0 1 2"),
        (10 * Y, "0 10 20"),
        (np.array(["b", "a", "c"])[Y], "a b c"),
        (np.array([b"b", b"a", b"c"])[Y], "a b c"),
        (Y > 0, "False True"),
        (HOT, "0 1 2"),
        (HOT.astype(bool), "0 1 2"),
        (HOT.astype("i8"), "0 1 2"),
    ],
)
def test_classes_however_they_are_written(targets, names):
    labels, classes, _ = read_targets(targets, None)
    assert " ".join(classes) == names and labels.dtype == np.int64
    assert len(np.unique(labels)) == len(classes) and labels.shape == (60,)
    if targets.dtype.kind not in "USb":
        assert np.array_equal(labels, Y)


@pytest.mark.parametrize(
    ("targets", "width", "word"),
    [
        (np.linspace(0, 1, 60), 1, None),
        (np.linspace(0, 1, 60).reshape(20, 3), 3, None),
        (np.arange(60), 1, "60 distinct values"),
        (np.arange(60.0) % 37, 1, "whole numbers written as floats"),
        (0.9 * HOT + 0.1 / 3, 3, "soft labels"),
    ],
)
def test_quantities_and_what_might_be_classes_is_said(targets, width, word):
    numbers, classes, notes = read_targets(targets, None)
    assert numbers.shape == (len(targets), width) and classes == []
    assert (notes == []) if word is None else word in notes[0]


def test_a_guess_is_said_and_a_given_kind_is_none():
    assert "data.kind: regression" in read_targets(Y.astype("f4"), None)[2][0]
    assert "one-hot targets of 3 columns" in read_targets(HOT, None)[2][0]
    assert read_targets(Y.astype("f4"), "classification")[2] == []
    assert len(read_targets(np.arange(60.0) % 37, "classification")[1]) == 37
    assert read_targets(Y, "regression")[0].shape == (60, 1)


@pytest.mark.parametrize(
    ("targets", "kind", "message"),
    [
        (np.where(Y == 1, np.nan, Y), None, "20 of 60 target values are not finite"),
        (np.array(["a", "b"] * 9), "regression", "must be numbers"),
        (Y + 1j, None, "of type complex128"),
        (np.zeros(9, "M8[s]"), None, "of type datetime64"),
        (np.minimum(HOT + HOT[::-1], 1), None, "several labels an example"),
        (np.zeros((60, 8, 8), int), None, "masks"),
        (np.arange(120).reshape(60, 2), None, "data.kind to regression"),
    ],
)
def test_what_is_neither_is_refused(targets, kind, message):
    with pytest.raises(InputError, match=message):
        read_targets(targets, kind)
