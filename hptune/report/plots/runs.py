"""Runs of full length laid over one another, each with its spread over the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hptune.errors import InputError
from hptune.report.aggregate import over_seeds, wants_log
from hptune.report.compare import RunsCompared
from hptune.report.plots.style import (
    FORMATS,
    PALETTE,
    house_style,
    image,
    label_y,
    legend_beside,
    log_axis,
    new_figure,
)
from hptune.report.wording import column, is_share, spread
from hptune.results.records import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXES = ("epoch", "iteration", "seconds")


def draw_runs(compared: RunsCompared, form: str, *, by: str, style: str) -> bytes:
    """Return the plot as a file: png, svg or pdf."""
    with house_style(style):
        figure, (ax,) = new_figure()
        plot_runs(compared, by, ax)
        return image(figure, form)


def form_of(path: Path) -> str:
    """Return what a plot's file is by its name.

    Raises:
        InputError: None of what can be drawn.
    """
    form = path.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        raise InputError(
            f"--plot: {path}; must end in {', '.join(f'.{name}' for name in FORMATS)}; name it so"
        )
    return form


def plot_runs(compared: RunsCompared, by: str, ax: Axes) -> None:
    """Draw the validation readings of every run: the mean, and a band of one standard deviation.

    Args:
        compared: With its curves; the scores in the legend are those that are compared.
        by: The axis: epoch, iteration or seconds. A comparison is fair by that of which the runs
            cost the same.
    """
    name = f"val_{compared.column.partition('_')[2] or 'loss'}"
    colours = cycle(PALETTE)
    lines, labels, shown = [], [], []
    for run in compared.runs:
        curves, colour = compared.curves.get(run.name, ()), next(colours)
        course = over_seeds(curves, name, by) if curves else None
        if course is None or not len(course):
            continue
        (line,) = ax.plot(course.x, course.mean, color=colour)
        if len(curves) > 1:
            ax.fill_between(
                course.x, course.low, course.high, color=colour, alpha=0.15, linewidth=0
            )
        lines.append(line)
        labels.append((run.name, spread(list(run.reached.values()), compared.column)))
        shown.append(course.mean)
    if shown:
        _limit(ax, shown, log=not is_share(name) and wants_log(shown))
    label_y(ax, name)
    ax.set_xlabel("seconds of training and validation" if by == "seconds" else by)
    legend_beside(ax, lines, labels, title=column(compared.column))


def _limit(ax: Axes, shown: Sequence[FloatArray], *, log: bool) -> None:
    """Choose the axis: the first readings, of nets that know nothing, would squeeze all others."""
    told = np.concatenate([mean if log else mean[min(1, len(mean) - 1) :] for mean in shown])
    low, high = float(told.min()), float(told.max())
    if log:
        log_axis(ax, low / 1.3, high * 1.3)
    else:
        margin = 0.1 * (high - low) or 0.1 * abs(high) or 0.1
        ax.set_ylim(low - margin, high + margin)
