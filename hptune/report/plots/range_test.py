"""The LR range test: what was read, what was decided, and what other tools' rules would take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hptune.analysis.lr_range import LrRangeReading, delayed
from hptune.analysis.rules import named_rules
from hptune.report.aggregate import values
from hptune.report.plots.style import (
    BLUE,
    GREEN,
    INK,
    LABEL_POINTS,
    ORANGE,
    label_y,
    legend_above,
)
from hptune.report.wording import plain
from hptune.results.records import Curve, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ABOVE = 0.35  # of the fall: how far above the start the loss is shown
STRIP = 0.25  # of the height, below the curves: the marks of other tools' rules


def plot_range_test(
    curves: Sequence[Curve], reading: LrRangeReading, decided: float | None, ax: Axes
) -> None:
    """Draw training and validation loss against LR, the decision and its plausible interval.

    Args:
        curves: Of one range test, one a seed.
        reading: How it was read.
        decided: The maximum LR that came of it; None where nothing was decided.
    """
    for n, curve in enumerate(curves):
        _line(ax, curve, "train_loss", color=ORANGE, alpha=0.45, linewidth=0.8,
              label="training" if n == 0 else None)  # fmt: skip
        _line(ax, curve, "val_loss", color=BLUE, marker="o", markersize=2.6,
              label="validation" if n == 0 else None)  # fmt: skip
    low, high = _loss_limits(curves)
    ax.set_ylim(low - STRIP / (1 - STRIP) * (high - low), high)
    usable = reading.verdict in ("ok", "still-improving")
    if usable:
        ax.axvspan(*reading.interval, color=GREEN, alpha=0.12, linewidth=0, label="plausible")
    marked = decided or (reading.lr_max if usable else None)
    if marked is not None:
        name = "decided" if decided else "read"
        ax.axvline(marked, color=GREEN, linewidth=1.8, label=f"{name} {plain(marked)}")
    ax.set_yticks([tick for tick in ax.get_yticks() if low - 1e-9 <= tick <= high])
    _lr_axis(curves, ax)
    _mark_rules(curves[-1], ax)
    ax.set_ylabel("loss")
    legend_above(ax, columns=4)


def plot_range_readings(
    curves: Sequence[Curve],
    reading: LrRangeReading,
    decided: float | None,
    name: str,
    ax: Axes,
) -> None:
    """Draw the bare readings of one column of the range test, as in Figure 1 of the report.

    The column is `name`; the other arguments are those of `plot_range_test`.
    """
    for curve in curves:
        _line(ax, curve, name, color=BLUE, marker="o", markersize=2.6, linewidth=0.9)
    is_loss = name.endswith("_loss")
    ax.set_ylim(*(_loss_limits(curves) if is_loss else _metric_limits(curves, reading, name)))
    if decided is not None:
        ax.axvline(decided, color=GREEN, linewidth=1.8, label=f"decided {plain(decided)}")
        legend_above(ax)
    _lr_axis(curves, ax)
    label_y(ax, name)


def _lr_of(curve: Curve) -> FloatArray:
    """Return for each loss the LR that made it, as the range test is read; NaN where LR is 0."""
    lr = np.where(curve.lr > 0, curve.lr, np.nan)
    usable = np.isfinite(lr)
    made = np.full(len(lr), np.nan)
    made[usable] = 10 ** delayed(np.log10(lr[usable]), curve.momentum[usable])
    return made


def _line(ax: Axes, curve: Curve, name: str, **style: object) -> None:
    lr, own = _lr_of(curve), values(curve, name)
    known = np.isfinite(lr) & np.isfinite(own)
    ax.plot(lr[known], own[known], **style)  # type: ignore[arg-type]


def _loss_limits(curves: Sequence[Curve]) -> tuple[float, float]:
    """Return the losses to show: from the lowest to somewhat above the start."""
    losses = [values(c, n) for c in curves for n in ("train_loss", "val_loss")]
    finite = [known for own in losses if len(known := own[np.isfinite(own)])]
    start = max(float(np.median(own[: max(1, len(own) // 20)])) for own in finite)
    lowest = min(float(own.min()) for own in finite)
    fall = max(start - lowest, 1e-6 * abs(start), 1e-12)
    return lowest - 0.04 * fall, start + ABOVE * fall


def _metric_limits(
    curves: Sequence[Curve], reading: LrRangeReading, name: str
) -> tuple[float, float]:
    """Return the values to show: those before the loss turned up, and somewhat beyond."""
    end = reading.lr_rise or reading.lr_divergence or np.inf
    before = [values(c, name)[_lr_of(c) <= end] for c in curves]
    finite = np.concatenate([own[np.isfinite(own)] for own in before])
    if not len(finite):
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    margin = 0.08 * (high - low) or 0.1 * abs(high) or 0.1
    return low - margin, high + margin


def _lr_axis(curves: Sequence[Curve], ax: Axes) -> None:
    lrs = np.concatenate([_lr_of(curve) for curve in curves])
    lrs = lrs[np.isfinite(lrs)]
    ax.set_xscale("log")
    if len(lrs) and lrs.min() < lrs.max():
        ax.set_xlim(lrs.min(), lrs.max())
    ax.set_xlabel("learning rate (log)")


def _mark_rules(curve: Curve, ax: Axes) -> None:
    """Mark below the curves the LRs that fastai's rules would take; none where they find none."""
    transform: Any = {"transform": ax.get_xaxis_transform()}
    rules = named_rules(curve.lr, curve.train_loss).items()
    found = sorted((lr, name) for name, lr in rules if np.isfinite(lr) and lr > 0)
    for n, (lr, name) in enumerate(found):
        ax.scatter(lr, 0.03, marker="v", s=14, color=INK, **transform)
        side = "left" if n % 2 else "right"  # of two that are near, one name to either side
        ax.text(lr, 0.065, name, rotation=90, ha=side, va="bottom", fontsize=LABEL_POINTS - 1,
                color=INK, **transform)  # fmt: skip
