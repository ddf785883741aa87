"""Curves as text."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from hptune.report.read import read_run
from hptune.report.terminal import text_plots
from hptune.report.text_plot import Line, draw


def line(y: list[float], label: str = "a") -> Line:
    return Line(np.arange(1.0, len(y) + 1), np.array(y), label)


def test_a_rising_line_goes_from_the_lower_left_to_the_upper_right():
    text, _ = draw([line([0, 1, 2, 3])], x_name="epoch", ascii_only=True)
    rows = [row[11:] for row in text[:-2]]
    places = [row.index("*") for row in rows]
    assert places == sorted(places, reverse=True)
    assert text[0].split()[0] == "3" and text[-3].split()[0] == "0"
    assert text[-1].split() == ["1", "epoch", "4"]


def test_a_log_axis_makes_an_exponential_straight():
    text, _ = draw([line([1, 10, 100, 1000])], x_name="x", log_y=True, ascii_only=True)
    straight, _ = draw([line([0, 1, 2, 3])], x_name="x", ascii_only=True)
    assert [row[11:] for row in text[:-2]] == [row[11:] for row in straight[:-2]]


@pytest.mark.parametrize("y", [[], [math.nan] * 3, [math.inf, 1.0], [2.0], [5.0, 5.0], [1, 1e300]])
@pytest.mark.parametrize("log_y", [False, True])
def test_any_curve_can_be_drawn(y: list[float], log_y: bool):
    text, chosen = draw([line(y)], x_name="epoch", log_y=log_y, width=60)
    assert text and len(text) == len(chosen)


def test_every_curve_is_named_once_and_lines_fit_the_terminal():
    lines = [
        line([1.0, 1.0 + k / 1000], f"candidate {k} with a long name: 0.12{k}") for k in range(8)
    ]
    for width in (60, 80, 200):
        text, _ = draw(lines, x_name="epoch", width=width)
        assert all(len(row) <= width for row in text)
        assert [sum(f"0.12{k}" in row for row in text) for k in range(8)] == [1] * 8


def test_all_stages_of_a_run_are_drawn(whole_run: Path):
    plots = text_plots(read_run(whole_run))
    titles = [plot.title.split(":")[0] for plot in plots]
    for stage in ("LR range test", "LR confirmation", "Momentum", "Weight decay", "Final run"):
        assert stage in titles
    assert any(any(plot.chosen) for plot in plots)
    plain = text_plots(read_run(whole_run), ascii_only=True)
    frames = "".join(row for plot in plain for row in plot.lines)
    assert not [c for c in frames if "\u2800" <= c <= "\u28ff" or c in "│└─"]
