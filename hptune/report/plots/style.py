"""One look for all plots: sizes, fonts, colours, axes and legends."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Literal

import numpy as np

from hptune.errors import one_of
from hptune.report.wording import column, is_share, rounded

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# Okabe and Ito's, told apart by colour-blind readers and in print.
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#00795c"
INK, GREY = "#222222", "#8c8c8c"
# Runs side by side; Okabe and Ito's yellow is too pale for a line.
PALETTE = (BLUE, ORANGE, GREEN, "#cc79a7", "#e69f00", "#56b4e9", INK, GREY)
# The candidates that were not chosen: greys and dashes, so that each can be followed.
OTHERS = (
    ("#555555", "-"),
    ("#999999", "-"),
    ("#555555", (0, (4, 1.5))),
    ("#999999", (0, (4, 1.5))),
    ("#555555", (0, (1, 1.2))),
    ("#999999", (0, (1, 1.2))),
)
SIZE = (4.4, 3.0)  # inches: a phone's screen
DPI = 300
NARROW, LINE = 4.0, 0.15  # inches: no room beside the axes; of a line of a legend above them
STYLES = ("screen", "paper")
FORMATS = ("png", "svg", "pdf")
COLOURS = 256
LABEL_POINTS = 8.0
LABEL_WIDTH = 24  # characters of a line of the legend beside the axes
FEW_LABELS = 6  # whose names have room for two lines
_ASSETS = Path(__file__).parents[1] / "assets"


@contextmanager
def house_style(style: str = "screen") -> Iterator[None]:
    """Draw in the project's style; a glyph that the font lacks becomes a box, no warning.

    Args:
        style: "screen", or "paper" for a figure as wide as a column, in 8 points.
    """
    import matplotlib
    from matplotlib.style import use

    one_of(STYLES, style, "style")
    with matplotlib.rc_context(fname=_ASSETS / "plots.mplstyle"), warnings.catch_warnings():
        matplotlib.rcParams["figure.figsize"] = SIZE
        if style != "screen":
            use(_ASSETS / f"{style}.mplstyle")
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def new_figure(rows: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many axes above each other, which share their x axis."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(dpi=DPI, layout="constrained")  # makes room for legends
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)
    return figure, list(axes[:, 0])


def log_axis(ax: Axes, low: float, high: float, which: Literal["x", "y"] = "y") -> None:
    """Make an axis logarithmic, from above 0 on, with ticks that read as the numbers they are."""
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis = ax.yaxis if which == "y" else ax.xaxis
    decades = np.log10(high / low)
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.2 else (1,)))
    axis.set_major_formatter(lambda tick, _: rounded(tick, 3))
    axis.set_minor_formatter(NullFormatter())


def label_y(ax: Axes, name: str) -> None:
    """Write what a column is at the y axis: fractions in per cent, a logarithmic scale as such."""
    if is_share(name):
        ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g} %")
    ax.set_ylabel(literal(column(name)) + (" (log)" if ax.get_yscale() == "log" else ""))


def literal(text: str) -> str:
    """Return a user's text so that matplotlib takes no part of it for mathematics."""
    return " ".join(text.split()).replace("$", r"\$")


def legend_above(ax: Axes, columns: int = 3) -> None:
    """Put the legend above the axes, where it covers nothing."""
    if ax.figure.get_size_inches()[0] < NARROW:  # type: ignore[union-attr]
        columns = 2
    ax.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns, borderaxespad=0.2,
        columnspacing=1.0, handletextpad=0.4,
    )  # fmt: skip


def legend_beside(
    ax: Axes, lines: Sequence[Line2D], labels: Sequence[tuple[str, str]], title: str = ""
) -> None:
    """Put the legend to the right of the axes, or above where there is no room.

    A long name is cut, the value after it is not.
    """
    rows = 1 if len(labels) > FEW_LABELS else 2
    wrapped = []
    for name, reached in labels:
        cut = "\n".join(wrap(name, LABEL_WIDTH - len(reached), max_lines=rows, placeholder="…"))
        wrapped.append(f"{cut}: {reached}".replace("$", r"\$"))
    width, height = ax.figure.get_size_inches()  # type: ignore[union-attr]
    narrow = width < NARROW
    if narrow:
        ax.figure.set_size_inches(width, height + LINE * len(labels))  # type: ignore[union-attr]
    ax.legend(
        lines, wrapped, title=title or None, title_fontsize=LABEL_POINTS, alignment="left",
        loc="lower left" if narrow else "upper left",
        bbox_to_anchor=(-0.02, 1.0) if narrow else (1.0, 1.02), borderaxespad=0.2,
        handlelength=1.4, handletextpad=0.4, labelspacing=0.35,
    )  # fmt: skip


def image(figure: Figure, form: str) -> bytes:
    """Return a figure as a file of one of `FORMATS`, the same at every drawing."""
    file = io.BytesIO()
    if form != "png":
        date = {"svg": "Date", "pdf": "CreationDate"}[form]
        figure.savefig(file, format=form, metadata={date: None})
        return file.getvalue()
    from PIL import Image

    # Of a palette, which is a third of the size: plots have few colours.
    figure.savefig(file, format="raw")
    size = figure.canvas.get_width_height()
    drawn = Image.frombytes("RGBA", size, file.getvalue()).convert("RGB")
    small = io.BytesIO()
    drawn.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE).save(
        small, format="png", dpi=(figure.dpi, figure.dpi)
    )
    return small.getvalue()
