"""One look for all plots: sizes, fonts, colours, and labels at the ends of lines."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hptune.report.aggregate import FloatArray
from hptune.report.wording import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's, told apart by colour-blind readers and in print.
BLUE, ORANGE, GREEN, RED = "#0072b2", "#d55e00", "#00795c", "#b3261e"
INK, GREY, FAINT = "#222222", "#8c8c8c", "#e3e3e3"
# The candidates that were not chosen: greys and dashes, so that each can be followed.
OTHERS = (
    ("#555555", "-"),
    ("#999999", "-"),
    ("#555555", (0, (4, 1.5))),
    ("#999999", (0, (4, 1.5))),
    ("#555555", (0, (1, 1.2))),
    ("#999999", (0, (1, 1.2))),
)
SIZE = (4.4, 3.0)  # inches: a column and a third of a paper, and a phone's screen
DPI = 300
LABEL_POINTS = 8.0
MOST_LABELS = 8
LONGEST_LABEL = 26
CHARACTER = 0.073  # inches of a label's character
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.edgecolor": "#555555",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "legend.fontsize": LABEL_POINTS,
    "legend.handlelength": 1.6,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.facecolor": "white",
}


@dataclass(frozen=True)
class EndLabel:
    """A text beside the place where a line ends, in data coordinates."""

    x: float
    y: float
    text: str
    color: str
    bold: bool = False


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the project's style; a glyph that the font lacks becomes a box, no warning."""
    import matplotlib

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def new_figure(
    *, rows: int = 1, right: float = 0.97, top: float = 0.89
) -> tuple[Figure, list[Axes]]:
    """Return a figure with axes above each other that share their x axis.

    Args:
        rows: How many axes.
        right: Where they end, as a fraction of the width; labels may stand beyond.
        top: Where they end, as a fraction of the height; a legend stands above.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=DPI)
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.165, right=right, bottom=0.16, top=top, hspace=0.16)
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)
    return figure, list(axes[:, 0])


def room_for(labels: Sequence[str]) -> float:
    """Return where the axes must end so that labels of the lines' ends have room beside them."""
    longest = max((len(text) for text in labels), default=0)
    return 0.955 - CHARACTER * min(longest, LONGEST_LABEL) / SIZE[0]


def log_axis(ax: Axes, low: float, high: float) -> None:
    """Make the y axis logarithmic, with ticks that read as the numbers they are.

    Args:
        ax: The axes.
        low: The lowest value to show, above 0.
        high: The highest.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_yscale("log")
    ax.set_ylim(low, high)
    decades = np.log10(high / low)
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.2 else (1,)))
    ax.yaxis.set_major_formatter(lambda tick, _: plain(float(f"{tick:.3g}")))
    ax.yaxis.set_minor_formatter(NullFormatter())


def share_axis(ax: Axes) -> None:
    """Write fractions on the y axis in per cent."""
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g} %")


def literal(text: str) -> str:
    """Return a user's text so that matplotlib takes no part of it for mathematics."""
    return " ".join(text.split()).replace("$", r"\$")


def legend_above(ax: Axes, columns: int = 3) -> None:
    """Put the legend above the axes, where it covers nothing."""
    ax.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns, borderaxespad=0.2,
        columnspacing=1.0, handletextpad=0.4,
    )  # fmt: skip


def label_ends(ax: Axes, labels: Sequence[EndLabel]) -> None:
    """Write labels to the right of the axes, moved apart where they would overlap.

    Args:
        ax: Its limits must be set.
        labels: A thin line joins each to its place.
    """
    figure = ax.get_figure()
    assert figure is not None
    height = ax.get_position().height * float(figure.get_figheight())  # type: ignore[union-attr]
    step = LABEL_POINTS * 1.35 / 72 / height
    to_axes = ax.transData + ax.transAxes.inverted()
    ends = [to_axes.transform((label.x, label.y)) for label in labels]
    order = sorted(range(len(labels)), key=lambda k: ends[k][1])
    places = spread(np.array([ends[k][1] for k in order]), step)
    for k, place in zip(order, places, strict=True):
        label, (x, y) = labels[k], ends[k]
        ax.plot(
            [x, 1.02, 1.04], [y, place, place], transform=ax.transAxes, clip_on=False,
            color=label.color, linewidth=0.5, alpha=0.7,
        )  # fmt: skip
        ax.text(
            1.05, place, literal(shortened(label.text)), transform=ax.transAxes, va="center", ha="left",
            fontsize=LABEL_POINTS, color=label.color,
            fontweight="bold" if label.bold else "normal",
        )  # fmt: skip


def shortened(text: str, longest: int = LONGEST_LABEL) -> str:
    """Return a label that fits, its end kept: the value stands there."""
    if len(text) <= longest:
        return text
    return f"{text[: longest - 9]}…{text[-8:]}"


def spread(places: FloatArray, step: float) -> FloatArray:
    """Return rising places at least a step apart, each as near to its own as may be.

    Args:
        places: Rising, (N,), as fractions of the height.
        step: The least distance.
    """
    apart: FloatArray = np.clip(places, 0.0, 1.0)
    for _ in range(200):
        gaps = step - np.diff(apart)
        if not (gaps > 1e-6).any():
            break
        for k in np.flatnonzero(gaps > 1e-6):
            gap = max(0.0, step - (apart[k + 1] - apart[k]))
            apart[k] -= gap / 2
            apart[k + 1] += gap / 2
        apart += max(0.0, -apart[0])
    return apart
