"""Runs of full length: their schedule, losses and metric, mean and spread over the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hptune.analysis.smoothing import smooth
from hptune.report.aggregate import MeanCurve, over_seeds, wants_log
from hptune.report.plots.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    label_y,
    legend_above,
    literal,
    log_axis,
)
from hptune.report.wording import column, rounded
from hptune.results.records import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMOOTHED = 0.02  # of the run: the training loss of single batches is ragged


def plot_schedule(curve: Curve, upper: Axes, lower: Axes) -> None:
    """Draw LR and momentum over a run, the values between which each moves written at its axis."""
    for name, color, ax in (("lr", BLUE, upper), ("momentum", ORANGE, lower)):
        course = over_seeds([curve], name)
        ax.plot(course.x, course.mean, color=color)
        low, high = float(course.mean.min()), float(course.mean.max())
        margin = 0.1 * (high - low) or 0.1 * abs(high) or 0.1
        ax.set_ylim(low - margin, high + margin)
        ticks: list[float] = []
        for tick in (high, float(course.mean[0]), low):
            if all(abs(tick - other) > margin for other in ticks):  # else they overlap
                ticks.append(tick)
        ax.set_yticks(ticks, [rounded(tick) for tick in ticks])
        ax.set_ylabel("LR" if name == "lr" else name)
    lower.set_xlabel("epoch")


def plot_losses(curves: Sequence[Curve], ax: Axes, baseline: Sequence[Curve] = ()) -> None:
    """Draw training and validation loss, mean and a standard deviation to either side.

    Args:
        curves: One a seed.
        baseline: Runs to compare with, whose mean is drawn.
    """
    train, val = _smoothed(over_seeds(curves, "train_loss")), over_seeds(curves, "val_loss")
    other = over_seeds(baseline, "val_loss")
    _band(ax, train, ORANGE, "training loss (smoothed)", several=len(curves) > 1)
    _band(ax, val, BLUE, "validation loss", several=len(curves) > 1)
    _band(ax, other, GREY, "baseline", several=False)
    together = np.concatenate([train.mean, val.mean, other.mean])
    if wants_log([train.mean, val.mean, other.mean]):
        log_axis(ax, float(together.min()) / 1.3, float(together.max()) * 1.3)
    ax.set_ylabel("loss (log)" if ax.get_yscale() == "log" else "loss")
    ax.set_xlabel("epoch")
    legend_above(ax)


def plot_metric(
    curves: Sequence[Curve],
    name: str,
    ax: Axes,
    baseline: Sequence[Curve] = (),
    test: Sequence[float] = (),
) -> None:
    """Draw a validation metric over the run, and where the test set stood at its end.

    Args:
        curves: One a seed.
        name: The column of the curves.
        baseline: Runs to compare with, whose mean is drawn.
        test: The metric on the test set, one a seed.
    """
    course = over_seeds(curves, name)
    _band(ax, course, BLUE, literal(column(name)), several=len(curves) > 1)
    _band(ax, over_seeds(baseline, name), GREY, "baseline", several=False)
    if test and len(course):
        ax.plot([course.x[-1]] * len(test), test, color=INK, marker="_", linestyle="none",
                markersize=9, clip_on=False, label="test")  # fmt: skip
    label_y(ax, name)
    ax.set_xlabel("epoch")
    legend_above(ax)


def _band(ax: Axes, course: MeanCurve, color: str, label: str, *, several: bool) -> None:
    if not len(course):
        return
    ax.plot(course.x, course.mean, color=color, label=label)
    if several:
        ax.fill_between(course.x, course.low, course.high, color=color, alpha=0.2, linewidth=0)


def _smoothed(course: MeanCurve) -> MeanCurve:
    if len(course) < 3:
        return course
    mean, low, high = (smooth(own, SMOOTHED) for own in (course.mean, course.low, course.high))
    return MeanCurve(course.x, mean, low, high)
