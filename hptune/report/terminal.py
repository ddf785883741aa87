"""Curves as text: braille dots in a frame, every curve named where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hptune.report.courses import FloatArray, over_seeds, values, wants_log
from hptune.report.plots.candidates import axis_of, end_text, sound_limits
from hptune.report.plots.range_test import loss_limits, lr_of
from hptune.report.plots.style import shortened, spread
from hptune.report.read import RunRecord
from hptune.report.stages import (
    Comparison,
    FinalRun,
    RangeTest,
    comparisons,
    final_runs,
    range_test,
)
from hptune.report.wording import column, plain, stage

WIDTH, HEIGHT = 56, 12  # characters of the frame's inside
LEAST = 24
# A character's eight dots, column by column from the top: what each adds to U+2800.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_CURVES = 8  # more cannot be told apart
_STEPS = 4  # between two points of a line, for each dot that it crosses


Dots = NDArray[np.bool_]


@dataclass(frozen=True)
class Line:
    """A curve: (N,) each, what it is called, and whether it is the one that counts."""

    x: FloatArray
    y: FloatArray
    label: str
    chosen: bool = False


@dataclass(frozen=True)
class TextPlot:
    """A plot as lines of text, and for each the curve that is named there, None where none is."""

    title: str
    lines: tuple[str, ...]
    chosen: tuple[bool, ...]


def text_plots(record: RunRecord, *, width: int = 80, ascii_only: bool = False) -> list[TextPlot]:
    """Return the curves of all stages as text.

    Args:
        record: The run.
        width: Of the terminal, characters.
        ascii_only: For terminals that have no braille.
    """
    test = range_test(record)
    plots = [] if test is None else [_of_range_test(test, width, ascii_only)]
    plots += [
        _of_comparison(own, width, ascii_only)
        for own in comparisons(record)
        if any(len(over_seeds(c.curves, own.column)) for c in own.candidates)
    ]
    plots += [_of_final(run, width, ascii_only) for run in final_runs(record) if run.curves]
    return plots


def draw(
    lines: Sequence[Line],
    *,
    x_name: str,
    log_x: bool = False,
    log_y: bool = False,
    limits: tuple[float, float] | None = None,
    mark: float | None = None,
    width: int = 80,
    ascii_only: bool = False,
) -> tuple[list[str], list[bool]]:
    """Return a plot as text, and for each of its lines whether it names the curve that counts.

    Args:
        lines: The curves; what is not finite, or not positive on a log axis, is left out.
        x_name: Of the x axis.
        log_x: Whether x is logarithmic.
        log_y: Whether y is logarithmic.
        limits: Of y; by default all values are shown.
        mark: A value of x to mark by a vertical line.
        width: Of the terminal, characters.
        ascii_only: Whether to use no braille.
    """
    most = max(12, width - LEAST - 14)
    lines = [replace(line, label=shortened(line.label, most)) for line in lines]
    names = max((len(line.label) for line in lines), default=0)
    inside = max(LEAST, min(WIDTH, width - names - 14))
    curves = [_transformed(line, log_x, log_y) for line in lines]
    known = [(x, y) for x, y in curves if len(x)]
    if not known:
        return ["(nothing that can be drawn)"], [False]
    xs = np.concatenate([x for x, _ in known])
    ys = np.concatenate([y for _, y in known])
    left, right = _range(float(xs.min()), float(xs.max()))
    if limits is not None and (not log_y or limits[0] > 0):
        bounds = tuple(np.log10(limits)) if log_y else limits
        ys = np.clip(ys, *bounds)
    bottom, top = _range(float(ys.min()), float(ys.max()))
    grid = np.zeros((4 * HEIGHT, 2 * inside), dtype=bool)
    for x, y in known:
        across = (x - left) / (right - left) * (grid.shape[1] - 1)
        down = (top - y) / (top - bottom) * (grid.shape[0] - 1)
        _stroke(grid, across, down)
    if mark is not None and (not log_x or mark > 0):
        at = (float(np.log10(mark)) if log_x else mark) - left
        place = round(at / (right - left) * (grid.shape[1] - 1))
        if 0 <= place < grid.shape[1]:
            grid[::3, place] = True
    rows = _rows(grid, ascii_only)
    named = _named_rows(lines, curves, bottom, top)
    return _framed(rows, named, (left, right, bottom, top), x_name, log_x, log_y, ascii_only)


def _of_range_test(test: RangeTest, width: int, ascii_only: bool) -> TextPlot:
    lines = [Line(lr_of(c), values(c, "val_loss"), "validation", chosen=True) for c in test.curves]
    if not any(np.isfinite(line.y).any() for line in lines):
        lines = [Line(lr_of(c), values(c, "train_loss"), "training") for c in test.curves]
    told = f"; marked: the maximum LR, {plain(test.decided)}" if test.decided else ""
    text, chosen = draw(
        lines[:_CURVES], x_name="learning rate", log_x=True, limits=loss_limits(test),
        mark=test.decided, width=width, ascii_only=ascii_only,
    )  # fmt: skip
    return TextPlot(f"LR range test: loss{told}", tuple(text), tuple(chosen))


def _of_comparison(comparison: Comparison, width: int, ascii_only: bool) -> TextPlot:
    axis, name = axis_of(comparison), comparison.column
    lines = []
    for candidate in comparison.candidates:
        course = over_seeds(candidate.curves, name, axis)
        label = f"{'*' if candidate.chosen else ' '} {end_text(candidate, name)}"
        lines.append(Line(course.x, course.mean, label, candidate.chosen))
    lines.sort(key=lambda line: not line.chosen)
    limits = sound_limits(comparison)
    log_y = limits is not None and wants_log([np.array(limits)])
    text, chosen = draw(
        lines[:_CURVES], x_name=axis, limits=limits, log_y=log_y, width=width, ascii_only=ascii_only
    )
    told = f"{column(name)}{' (log)' * log_y}{', * chosen' * any(chosen)}"
    return TextPlot(f"{comparison.title}: {told}", tuple(text), tuple(chosen))


def _of_final(run: FinalRun, width: int, ascii_only: bool) -> TextPlot:
    lines = []
    for name in ("val_loss", "train_loss"):
        course = over_seeds(run.curves, name)
        lines.append(Line(course.x, course.mean, column(name), name == "val_loss"))
    log_y = wants_log([line.y for line in lines])
    text, chosen = draw(lines, x_name="epoch", log_y=log_y, width=width, ascii_only=ascii_only)
    seeds = len(run.curves)
    over = f", mean of {seeds} seeds" if seeds > 1 else ""
    name = stage(run.stage) + " (baseline)" * run.baseline
    return TextPlot(f"{name}: loss{' (log)' * log_y}{over}", tuple(text), tuple(chosen))


def _transformed(line: Line, log_x: bool, log_y: bool) -> tuple[FloatArray, FloatArray]:
    x, y = line.x.astype(float), line.y.astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = np.log10(x) if log_x else x, np.log10(y) if log_y else y
    known = np.isfinite(x) & np.isfinite(y)
    return x[known], y[known]


def _range(low: float, high: float) -> tuple[float, float]:
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _stroke(grid: Dots, across: FloatArray, down: FloatArray) -> None:
    """Set the dots of a line; what lies outside of the frame is left out."""
    for k in range(max(1, len(across) - 1)):
        end = min(k + 1, len(across) - 1)
        # A point far outside would take a line as long as it is far.
        y0, y1 = np.clip(down[[k, end]], -grid.shape[0], 2 * grid.shape[0])
        length = max(abs(across[end] - across[k]), abs(y1 - y0))
        steps = int(length * _STEPS) + 2
        xs = np.rint(np.linspace(across[k], across[end], steps)).astype(int)
        ys = np.rint(np.linspace(y0, y1, steps)).astype(int)
        inside = (xs >= 0) & (xs < grid.shape[1]) & (ys >= 0) & (ys < grid.shape[0])
        grid[ys[inside], xs[inside]] = True


def _rows(grid: Dots, ascii_only: bool) -> list[str]:
    rows = []
    for top in range(0, grid.shape[0], 4):
        text = ""
        for start in range(0, grid.shape[1], 2):
            block = grid[top : top + 4, start : start + 2]
            if ascii_only:
                text += "*" if block.any() else " "
                continue
            code = sum(_DOTS[c][r] for r in range(4) for c in range(2) if block[r, c])
            text += chr(0x2800 + code) if code else " "
        rows.append(text)
    return rows


def _named_rows(
    lines: Sequence[Line],
    curves: Sequence[tuple[FloatArray, FloatArray]],
    bottom: float,
    top: float,
) -> dict[int, Line]:
    """Return at which row each curve is named: where it ends, moved apart."""
    drawn = [(line, float(y[-1])) for line, (_, y) in zip(lines, curves, strict=True) if len(y)]
    drawn = sorted(drawn, key=lambda item: -item[1])[:HEIGHT]
    ends = np.array([(top - end) / (top - bottom) for _, end in drawn])
    rows = np.rint(spread(ends, 1 / (HEIGHT - 1)) * (HEIGHT - 1)).astype(int)
    for k in range(1, len(rows)):
        rows[k] = max(rows[k], rows[k - 1] + 1)
    rows -= max(0, int(rows[-1]) - (HEIGHT - 1)) if len(rows) else 0
    return {int(row): line for row, (line, _) in zip(rows, drawn, strict=True)}


def _framed(
    rows: Sequence[str],
    named: dict[int, Line],
    limits: tuple[float, float, float, float],
    x_name: str,
    log_x: bool,
    log_y: bool,
    ascii_only: bool,
) -> tuple[list[str], list[bool]]:
    left, right, bottom, top = limits
    side, corner, floor = ("|", "+", "-") if ascii_only else ("│", "└", "─")

    def number(value: float, log: bool) -> str:
        return f"{10**value if log else value:.3g}"

    text, chosen = [], []
    for k, row in enumerate(rows):
        tick = {0: number(top, log_y), len(rows) - 1: number(bottom, log_y)}.get(k, "")
        line = named.get(k)
        text.append(f"{tick:>9} {side}{row} {line.label if line else ''}".rstrip())
        chosen.append(line is not None and line.chosen)
    inside = len(rows[0])
    ends = number(left, log_x), number(right, log_x)
    middle = f"{x_name}{' (log)' * log_x}".center(inside - len(ends[0]) - len(ends[1]))
    text += [f"{'':>9} {corner}{floor * inside}", f"{'':>11}{ends[0]}{middle}{ends[1]}"]
    return text, [*chosen, False, False]
