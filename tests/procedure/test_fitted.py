"""What is given up where the time is short, and how times are written."""

from __future__ import annotations

import pytest

from hptune.errors import InputError
from hptune.procedure.session.duration import in_words, seconds_of
from hptune.procedure.session.fitted import Lengths, fitted

ASKED = Lengths(epochs=30, budget=3, seeds=4)
PER_EPOCH = 20


def takes(lengths: Lengths) -> float:
    """A second an epoch, of search and of final runs."""
    return lengths.epochs * (lengths.budget + lengths.seeds)


def chosen(seconds: float) -> Lengths | None:
    return fitted(ASKED, per_epoch=PER_EPOCH, seconds=seconds, takes=takes)[0]


@pytest.mark.parametrize(
    ("seconds", "lengths", "why"),
    [
        (10_000, Lengths(30, 12, 4), "no more than the most search"),
        (300, Lengths(30, 6, 4), "what is left goes to the search"),
        (210, ASKED, "all that was asked for fits"),
        (185, Lengths(30, 3.1, 3), "a seed is given up first"),
        (150, Lengths(30, 3, 2), "then another"),
        (135, Lengths(30, 2.5, 2), "then search"),
        (90, Lengths(22, 2, 2), "then epochs"),
        (15, Lengths(5, 2, 1), "and at last the spread over seeds"),
    ],
)
def test_seeds_are_given_up_first_then_search_then_epochs(
    seconds: float, lengths: Lengths, why: str
):
    assert chosen(seconds) == lengths, why


def test_nothing_fits_into_less_than_the_shortest_sensible_run():
    found, shortest = fitted(ASKED, per_epoch=PER_EPOCH, seconds=1, takes=takes)
    assert found is None
    assert shortest == takes(Lengths(100 / PER_EPOCH, 1.25, 1))
    assert chosen(shortest) is not None


@pytest.mark.parametrize("seconds", [12, 33, 77, 123, 200, 240])
def test_what_was_chosen_fits_and_fills_the_time(seconds: float):
    lengths, taken = fitted(ASKED, per_epoch=PER_EPOCH, seconds=seconds, takes=takes)
    assert lengths is not None and taken == takes(lengths)
    assert 0.9 * seconds < taken <= seconds


def test_epochs_of_a_large_data_set_are_given_up_to_parts_of_one():
    asked = Lengths(2, 3, 4)
    lengths, _ = fitted(asked, per_epoch=5000, seconds=1, takes=takes)
    assert lengths == Lengths(0.25, 2, 2)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("0.5m", 30)],
)
def test_a_time_has_a_unit(written: str, seconds: float):
    assert seconds_of(written) == seconds


@pytest.mark.parametrize("written", ["30", "", "m", "5x", "-5m", "0s", "5m1h"])
def test_what_is_no_time_is_refused(written: str):
    with pytest.raises(InputError, match=r"--time: .*; must be a time with its unit"):
        seconds_of(written)


def test_a_bare_number_is_explained():
    with pytest.raises(InputError, match="write 30m if minutes are meant"):
        seconds_of("30")


def test_times_are_told_to_two_digits():
    assert [in_words(s) for s in (4.21, 50, 60, 150, 4300, 11000)] == [
        *("4.2 s", "50 s", "1 min", "2.5 min", "72 min", "3.1 h")
    ]
