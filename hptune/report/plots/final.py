"""The final run: its schedule, its losses and its metric, mean and spread over the seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hptune.analysis.smoothing import smooth
from hptune.report.aggregate import MeanCurve, over_seeds, wants_log
from hptune.report.plots.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    legend_above,
    literal,
    log_axis,
    share_axis,
)
from hptune.report.stages import FinalRun
from hptune.report.wording import column, is_share, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMOOTHED = 0.02  # of the run: the training loss of single batches is ragged


def plot_schedule(run: FinalRun, name: str, ax: Axes) -> None:
    """Draw LR or momentum over the run, its ends written beside the axis."""
    course = over_seeds(run.curves[:1], name)
    ax.plot(course.x, course.mean, color=BLUE if name == "lr" else ORANGE)
    low, high = float(course.mean.min()), float(course.mean.max())
    margin = 0.1 * (high - low) or 0.1 * abs(high) or 0.1
    ax.set_ylim(low - margin, high + margin)
    # The turning points are what one looks for; those that would overlap are left out.
    ticks: list[float] = []
    for tick in (high, float(course.mean[0]), low):
        if all(abs(tick - other) > margin for other in ticks):
            ticks.append(tick)
    ax.set_yticks(ticks, [plain(float(f"{tick:.2g}")) for tick in ticks])
    ax.set_ylabel("LR" if name == "lr" else name)


def plot_losses(run: FinalRun, ax: Axes, baseline: FinalRun | None = None) -> None:
    """Draw training and validation loss, mean and a standard deviation to either side."""
    train = _smoothed(over_seeds(run.curves, "train_loss"))
    val = over_seeds(run.curves, "val_loss")
    shown = [train.mean, val.mean]
    _band(ax, train, ORANGE, "training loss (smoothed)", several=len(run.curves) > 1)
    _band(ax, val, BLUE, "validation loss", several=len(run.curves) > 1)
    if baseline is not None and baseline.curves:
        other = over_seeds(baseline.curves, "val_loss")
        _band(ax, other, GREY, "baseline", several=False)
        shown.append(other.mean)
    if wants_log(shown):
        log_axis(ax, *_positive(shown))
    ax.set_ylabel("loss (log)" if ax.get_yscale() == "log" else "loss")
    ax.set_xlabel("epoch")
    legend_above(ax)


def plot_metric(run: FinalRun, name: str, ax: Axes, baseline: FinalRun | None = None) -> None:
    """Draw a validation metric over the run, and where the test set stood at its end."""
    course = over_seeds(run.curves, name)
    _band(ax, course, BLUE, literal(column(name)), several=len(run.curves) > 1)
    if baseline is not None and baseline.curves:
        _band(ax, over_seeds(baseline.curves, name), GREY, "baseline", several=False)
    if run.column.removeprefix("test_") == name.removeprefix("val_") and run.values:
        ends = np.full(len(run.values), course.x[-1])
        ax.plot(ends, run.values, color=INK, marker="_", linestyle="none", markersize=9, clip_on=False,
                label=f"test, {len(run.values)} seed{'s' * (len(run.values) > 1)}")  # fmt: skip
    if is_share(name):
        share_axis(ax)
    ax.set_ylabel(literal(column(name)))
    ax.set_xlabel("epoch")
    legend_above(ax)


def _band(ax: Axes, course: MeanCurve, color: str, label: str, *, several: bool) -> None:
    ax.plot(course.x, course.mean, color=color, label=label)
    if several:
        ax.fill_between(course.x, course.low, course.high, color=color, alpha=0.2, linewidth=0)


def _smoothed(course: MeanCurve) -> MeanCurve:
    if len(course) < 3:
        return course
    mean, low, high = (smooth(own, SMOOTHED) for own in (course.mean, course.low, course.high))
    return MeanCurve(course.x, mean, low, high)


def _positive(shown: list[np.ndarray]) -> tuple[float, float]:
    together = np.concatenate(shown)
    return float(together.min()) / 1.3, float(together.max()) * 1.3
