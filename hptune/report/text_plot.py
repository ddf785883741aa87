"""Lines as text: braille dots in a frame, every line named where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hptune.report.aggregate import FloatArray
from hptune.report.plots.style import shortened, spread
from hptune.report.wording import plain

WIDTH, HEIGHT = 56, 12  # characters of the frame's inside
LEAST = 24
# A character's eight dots: what each adds to U+2800.
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
_STEPS = 4  # between two points of a line, for each dot that it crosses

Dots = NDArray[np.bool_]


@dataclass(frozen=True)
class Line:
    """A curve: (N,) each, what it is called, and whether it is the one that counts."""

    x: FloatArray
    y: FloatArray
    label: str
    chosen: bool = False


def draw(
    lines: Sequence[Line],
    *,
    x_name: str,
    log_x: bool = False,
    log_y: bool = False,
    limits: tuple[float, float] | None = None,
    mark: float | None = None,
    width: int = 80,
    height: int = HEIGHT,
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
        height: Of the frame's inside, characters.
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
    grid = np.zeros((4 * height, 2 * inside), dtype=bool)
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
    named = _named_rows(lines, curves, bottom, top, height)
    return _framed(rows, named, (left, right, bottom, top), x_name, log_x, log_y, ascii_only)


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
    height, width = grid.shape
    cells = grid.reshape(height // 4, 4, width // 2, 2).transpose(0, 2, 1, 3)
    codes = (cells * _DOTS).sum(axis=(2, 3)).tolist()
    drawn = "*" if ascii_only else None
    return [
        "".join((drawn or chr(0x2800 + code)) if code else " " for code in row) for row in codes
    ]


def _named_rows(
    lines: Sequence[Line],
    curves: Sequence[tuple[FloatArray, FloatArray]],
    bottom: float,
    top: float,
    height: int,
) -> dict[int, Line]:
    """Return at which row each curve is named: where it ends, moved apart."""
    drawn = [(line, float(y[-1])) for line, (_, y) in zip(lines, curves, strict=True) if len(y)]
    drawn = sorted(drawn, key=lambda item: -item[1])[:height]
    ends = np.array([(top - end) / (top - bottom) for _, end in drawn])
    rows = np.rint(spread(ends, 1 / (height - 1)) * (height - 1)).astype(int)
    for k in range(1, len(rows)):
        rows[k] = max(rows[k], rows[k - 1] + 1)
    rows -= max(0, int(rows[-1]) - (height - 1)) if len(rows) else 0
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
        return plain(float(f"{10**value if log else value:.3g}"))

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
