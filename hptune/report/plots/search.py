"""The joint search: what each hyper-parameter's values led to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hptune.report.aggregate import wants_log
from hptune.report.plots.style import BLUE, GREY, literal, log_axis, share_axis
from hptune.report.stages import Comparison
from hptune.report.wording import column, is_share, parameter

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_search(comparison: Comparison, name: str, ax: Axes) -> None:
    """Draw what the trials reached against one of their values; what stopped early is hollow."""
    points = [
        (t.number(name), t.number(comparison.column), t.complete, c.chosen)
        for c in comparison.candidates
        for t in c.trials
    ]
    known = [p for p in points if p[0] is not None and p[1] is not None]
    xs = np.array([p[0] for p in known], dtype=float)
    ys = np.array([p[1] for p in known], dtype=float)
    done = np.array([p[2] for p in known], dtype=bool)
    chosen = np.array([p[3] for p in known], dtype=bool)
    ax.scatter(xs[done], ys[done], s=22, color=GREY, label="complete")
    ax.scatter(
        xs[~done], ys[~done], s=22, facecolors="none", edgecolors=GREY, label="stopped early"
    )
    ax.scatter(xs[chosen], ys[chosen], s=48, color=BLUE, zorder=3, label="chosen")
    if wants_log([xs]):
        ax.set_xscale("log")
    if is_share(comparison.column):
        share_axis(ax)
    elif wants_log([ys]):
        log_axis(ax, ys.min() / 1.15, ys.max() * 1.15)
    ax.set_xlabel(literal(parameter(name)))
    ax.set_ylabel(literal(column(comparison.column)))
