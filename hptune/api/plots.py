"""A plain drawing of each result, into matplotlib axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_GREY, _COLOUR = "0.7", "C0"


def plot_lr_range(curve: pd.DataFrame, lr: float, ax: Axes | None = None) -> Axes:
    """Draw a range test's losses against LR, and the LR that was decided as a line."""
    ax = _axes(ax)
    ax.semilogx(curve["lr"], curve["train_loss"], color=_GREY, label="training")
    read = curve.dropna(subset=["val_loss"])
    ax.semilogx(read["lr"], read["val_loss"], color=_COLOUR, label="validation")
    ax.axvline(lr, color="black", linestyle="--", label=f"LR {lr:.3g}")
    # What diverged at the end would flatten everything before it.
    low, first = read["val_loss"].min(), read["val_loss"].iloc[0]
    ax.set_ylim(low - 0.1 * (first - low), first + (first - low))
    ax.set_xlabel("LR")
    return _finished(ax)


def plot_sweep(
    candidates: Sequence[tuple[str, pd.DataFrame]], chosen: int, ax: Axes | None = None
) -> Axes:
    """Draw the candidates' validation losses by epoch, the one that was chosen in colour."""
    ax = _axes(ax)
    for n, (label, curve) in enumerate(candidates):
        read = curve.dropna(subset=["val_loss"])
        colour, order = (_COLOUR, 3) if n == chosen else (_GREY, 2)
        ax.plot(read["epoch"], read["val_loss"], color=colour, zorder=order, label=label)
    ax.set_xlabel("epoch")
    return _finished(ax)


def plot_training(curve: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw training and validation loss by epoch."""
    ax = _axes(ax)
    ax.plot(curve["epoch"], curve["train_loss"], color=_GREY, label="training")
    read = curve.dropna(subset=["val_loss"])
    ax.plot(read["epoch"], read["val_loss"], color=_COLOUR, label="validation")
    ax.set_xlabel("epoch")
    return _finished(ax)


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots()[1]


def _finished(ax: Axes) -> Axes:
    ax.set_ylabel("loss")
    ax.legend()
    return ax
