"""Where the channels of an array are: found, asked for by a key, and said where in doubt."""

from __future__ import annotations

import numpy as np
import pytest

from hptune.data.channels import channels_first
from hptune.errors import InputError


def read(shape: tuple[int, ...], layout: str = "auto", dtype: str = "f4"):
    return channels_first(np.zeros((2, *shape), dtype), layout)


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ((28, 28, 1), (1, 28, 28)),
        ((1, 28, 28), (1, 28, 28)),
        ((32, 40, 3), (3, 32, 40)),
        ((4, 32, 40), (4, 32, 40)),
        ((32, 32, 13), (13, 32, 32)),
        ((13, 32, 32), (13, 32, 32)),
        ((32, 32, 2), (2, 32, 32)),
        ((7, 7, 512), (512, 7, 7)),
        ((512, 7, 7), (512, 7, 7)),
        ((4, 4, 3), (3, 4, 4)),
    ],
)
def test_images_of_any_number_of_channels_are_told_apart(shape, found):
    images, notes = read(shape)
    assert images.shape[1:] == found and notes == []


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ((5, 5, 5), (5, 5, 5)),
        ((24, 32, 10), (10, 24, 32)),
        ((10, 24, 32), (10, 24, 32)),
        ((8, 8, 8, 1), (1, 8, 8, 8)),
        ((1, 8, 8, 8), (1, 8, 8, 8)),
        ((2, 8, 8, 8), (2, 8, 8, 8)),
        ((8, 9, 9, 2), (2, 8, 9, 9)),
        ((5, 3, 16, 16), (3, 5, 16, 16)),
        ((4, 3, 16, 16), (3, 4, 16, 16)),
        ((3, 5, 16, 16), (3, 5, 16, 16)),
        ((5, 16, 16, 3), (3, 5, 16, 16)),
    ],
)
def test_volumes_video_and_what_is_in_doubt_are_read_and_said(shape, found):
    images, notes = read(shape)
    assert images.shape[1:] == found
    assert str(shape) in notes[0] and "data.layout" in notes[0] and len(notes) == 1


@pytest.mark.parametrize(
    ("shape", "layout", "found"),
    [
        ((5, 5, 6), "channels-last", (6, 5, 5)),
        ((3, 5, 16, 16), "channels-second", (5, 3, 16, 16)),
        ((12, 12, 12), "no-channels", (1, 12, 12, 12)),
        ((6, 50), "channels-first", (6, 50)),
        ((50, 6), "channels-last", (6, 50)),
        ((50,), "no-channels", (1, 50)),
    ],
)
def test_the_key_decides_without_a_word(shape, layout, found):
    images, notes = read(shape, layout)
    assert images.shape[1:] == found and notes == []


def test_values_stay_with_their_places():
    x = np.arange(2 * 5 * 3 * 4 * 4).reshape(2, 5, 3, 4, 4)
    video, _ = channels_first(x, "auto")
    assert video[1, 2, 4, 3, 0] == x[1, 4, 2, 3, 0]


def test_what_may_be_signals_is_said():
    assert read((28, 28))[1] == [] and read((20, 30), dtype="u1")[1] == []
    assert "signals" in read((6, 50))[1][0]


@pytest.mark.parametrize(
    ("shape", "layout", "message"),
    [
        ((2, 2, 3, 4, 5), "auto", "4 axes at most"),
        ((3, 4, 5, 6), "no-channels", "3 axes at most"),
        ((9,), "channels-first", "has no such axis"),
        ((9, 9), "channels-second", "has no such axis"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(shape, layout, message):
    with pytest.raises(InputError, match=message):
        read(shape, layout)
