"""The curves of all stages as text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hptune.report.aggregate import over_seeds, values, wants_log
from hptune.report.plots.candidates import axis_of, end_text, sound_limits
from hptune.report.plots.range_test import loss_limits, lr_of
from hptune.report.read import RunRecord
from hptune.report.stages import (
    Comparison,
    FinalRun,
    RangeTest,
    comparisons,
    final_runs,
    range_test,
)
from hptune.report.text_plot import Line, draw
from hptune.report.wording import column, plain, stage

_CURVES = 8  # more cannot be told apart


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
