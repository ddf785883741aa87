"""The joint search: what each hyper-parameter's values led to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hptune.report.aggregate import wants_log
from hptune.report.plots.style import BLUE, GREY, label_y, literal, log_axis
from hptune.report.wording import is_share, parameter
from hptune.results.evidence import Comparison
from hptune.results.records import Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_search(comparison: Comparison, name: str, ax: Axes) -> None:
    """Draw what the trials reached against one of their values; what stopped early is hollow.

    Args:
        comparison: A candidate for each trial.
        name: The column of results.csv that holds the value.
    """
    shown = [c for c in comparison.candidates if c.score is not None and name in c.values]
    xs = np.array([c.values[name] for c in shown], dtype=float)
    ys = np.array([c.score for c in shown], dtype=float)
    done = np.array([c.status == Status.COMPLETE for c in shown], dtype=bool)
    chosen = np.array([c.label == comparison.chosen for c in shown], dtype=bool)
    ax.scatter(xs[done], ys[done], s=22, color=GREY)
    ax.scatter(xs[~done], ys[~done], s=22, facecolors="none", edgecolors=GREY)
    ax.scatter(xs[chosen], ys[chosen], s=48, color=BLUE, zorder=3)
    judged = f"val_{comparison.by}"
    if wants_log([xs]):
        ax.set_xscale("log")
    if not is_share(judged) and wants_log([ys]):
        log_axis(ax, ys.min() / 1.15, ys.max() * 1.15)
    ax.set_xlabel(literal(parameter(name)))
    label_y(ax, judged)
