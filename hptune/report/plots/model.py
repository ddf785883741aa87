"""What a model of all trials predicts along one hyper-parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hptune.report.aggregate import wants_log
from hptune.report.plots.style import BLUE, GREY, label_y, legend_above, literal, log_axis
from hptune.report.wording import parameter
from hptune.results.evidence import Model

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_model(model: Model, name: str, ax: Axes) -> None:
    """Draw the score predicted for a whole run, its band, and where the best value lies.

    Args:
        name: The column of results.csv along which to draw; the others are as decided.
    """
    line, (low, high) = model.lines[name], model.intervals[name]
    ax.axvspan(low, high, color=GREY, alpha=0.15, label="best, with 90 %")
    ax.fill_between(line["values"], line["low"], line["high"], color=BLUE, alpha=0.2)
    ax.plot(line["values"], line["mean"], color=BLUE, label="predicted")
    ax.axvline(model.values[name], color=BLUE, linestyle="--", label="decided")
    if wants_log([line["values"]]):
        log_axis(ax, min(line["values"]) / 1.15, max(line["values"]) * 1.15, "x")
    ax.set_xlabel(literal(parameter(name)))
    label_y(ax, f"val_{model.by}")
    legend_above(ax)
