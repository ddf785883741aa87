"""The LR range test: what was read, what was decided, and what other tools' rules would take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hptune.analysis.lr_range import delayed
from hptune.report.aggregate import FloatArray, values
from hptune.report.plots.style import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    INK,
    LABEL_POINTS,
    ORANGE,
    legend_above,
    literal,
    share_axis,
)
from hptune.report.stages import RangeTest
from hptune.report.wording import column, is_share, plain
from hptune.results.records import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ABOVE = 0.35  # of the fall: how far above the start the loss is shown
STRIP = 0.22  # of the height, below the curves: the marks of the named rules


def plot_range_test(test: RangeTest, ax: Axes) -> None:
    """Draw training and validation loss against LR, the decision and its plausible interval."""
    from matplotlib.ticker import MaxNLocator

    for n, curve in enumerate(test.curves):
        _line(ax, curve, "train_loss", color=ORANGE, alpha=0.45, linewidth=0.8,
              label="training" if n == 0 else None)  # fmt: skip
        _line(ax, curve, "val_loss", color=BLUE, marker="o", markersize=2.6,
              label="validation" if n == 0 else None)  # fmt: skip
    low, high = loss_limits(test)
    strip = STRIP * bool(test.rules)
    ax.set_ylim(low - strip / (1 - strip) * (high - low), high)
    usable = test.reading.verdict in ("ok", "still-improving")
    if usable:
        ax.axvspan(*test.reading.interval, color=GREEN, alpha=0.12, linewidth=0, label="plausible")
    decided = test.decided or (test.reading.lr_max if usable else None)
    if decided is not None:
        name = "decided" if test.decided else "read"
        ax.axvline(decided, color=GREEN, linewidth=1.8, label=f"{name} {plain(decided)}")
    ax.yaxis.set_major_locator(MaxNLocator(6))
    ax.set_yticks([tick for tick in ax.get_yticks() if low - 1e-9 <= tick <= high])
    _lr_axis(test, ax)
    _mark_rules(test.rules, ax)
    ax.set_ylabel("loss")
    legend_above(ax, columns=4)


def plot_range_readings(test: RangeTest, name: str, ax: Axes) -> None:
    """Draw the bare readings of one column of the range test, as in Figure 1 of the report."""
    for curve in test.curves:
        _line(ax, curve, name, color=BLUE, marker="o", markersize=2.6, linewidth=0.9)
    ax.set_ylim(*(loss_limits(test) if name.endswith("_loss") else _metric_limits(test, name)))
    if test.decided is not None:
        ax.axvline(test.decided, color=GREEN, linewidth=1.8, label=f"decided {plain(test.decided)}")
        legend_above(ax)
    if is_share(name):
        share_axis(ax)
    _lr_axis(test, ax)
    ax.set_ylabel(literal(column(name)))


def lr_of(curve: Curve) -> FloatArray:
    """Return for each loss the LR that made it, as the range test is read; NaN where LR is 0."""
    lr = np.where(curve.lr > 0, curve.lr, np.nan)
    usable = np.isfinite(lr)
    made = np.full(len(lr), np.nan)
    made[usable] = 10 ** delayed(np.log10(lr[usable]), curve.momentum[usable])
    return made


def _line(ax: Axes, curve: Curve, name: str, **style: object) -> None:
    lr, own = lr_of(curve), values(curve, name)
    known = np.isfinite(lr) & np.isfinite(own)
    ax.plot(lr[known], own[known], **style)  # type: ignore[arg-type]


def loss_limits(test: RangeTest) -> tuple[float, float]:
    """Return the losses to show: from the lowest to somewhat above the start."""
    losses = [values(c, n) for c in test.curves for n in ("train_loss", "val_loss")]
    finite = [own[np.isfinite(own)] for own in losses]
    finite = [own for own in finite if len(own)]
    start = max(float(np.median(own[: max(1, len(own) // 20)])) for own in finite)
    lowest = min(float(own.min()) for own in finite)
    fall = max(start - lowest, 1e-6 * abs(start), 1e-12)
    return lowest - 0.04 * fall, start + ABOVE * fall


def _metric_limits(test: RangeTest, name: str) -> tuple[float, float]:
    """Return the values to show: those before the loss turned up, and somewhat beyond."""
    end = test.reading.lr_rise or test.reading.lr_divergence or np.inf
    before = [values(c, name)[lr_of(c) <= end] for c in test.curves]
    finite = np.concatenate([own[np.isfinite(own)] for own in before])
    if not len(finite):
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    margin = 0.08 * (high - low) or 0.1 * abs(high) or 0.1
    return low - margin, high + margin


def _lr_axis(test: RangeTest, ax: Axes) -> None:
    lrs = np.concatenate([lr_of(curve) for curve in test.curves])
    lrs = lrs[np.isfinite(lrs)]
    ax.set_xscale("log")
    if len(lrs) and lrs.min() < lrs.max():
        ax.set_xlim(lrs.min(), lrs.max())
    ax.set_xlabel("learning rate (log)")


def _mark_rules(rules: dict[str, float], ax: Axes) -> None:
    """Mark the LRs of the named rules on a strip at the foot, names moved apart by rows."""
    last = [-np.inf, -np.inf]
    for n, (name, lr) in enumerate(sorted(rules.items(), key=lambda item: item[1])):
        at = float(np.log10(lr))
        row = 0 if at - last[0] > 0.9 else 1 if at - last[1] > 0.9 else n % 2
        last[row] = at
        height = 0.045 + 0.085 * row
        ax.plot(lr, height, marker="v", markersize=4, color=INK, transform=ax.get_xaxis_transform(),
                linestyle="none")  # fmt: skip
        at_the_end = lr > ax.get_xlim()[1] / 3  # where a name to its right would be cut off
        ax.annotate(
            name, (lr, height), zorder=4, xycoords=ax.get_xaxis_transform(),
            xytext=(-4 if at_the_end else 4, 0), ha="right" if at_the_end else "left",
            textcoords="offset points", fontsize=LABEL_POINTS - 1, va="center", color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
    if rules:
        ax.plot([0, 1], [STRIP - 0.005] * 2, color=FAINT, linewidth=1, transform=ax.transAxes)
        ax.text(
            0.008, STRIP - 0.035, "fastai’s rules:", transform=ax.transAxes, va="center",
            fontsize=LABEL_POINTS - 1, color=GREY,
        )  # fmt: skip
