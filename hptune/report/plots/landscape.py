"""What `hptune landscape` saw: curvature, lines, planes and walks, from their tables alone."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hptune.analysis.smoothing import smooth
from hptune.report.plots.style import BLUE, GREY, INK, ORANGE, legend_above, literal
from hptune.report.read import RunRecord, number
from hptune.report.wording import column
from hptune.results.tables import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[Any]
LANDSCAPE = "landscape"
COLOURS = (BLUE, ORANGE, INK)
SMOOTHED = 0.1  # of the walk
_PARTS = ("train_loss", "val_loss", "test_loss")


class LookPlot(NamedTuple):
    """A picture of a look: the name of its file, how to read it, and what draws it on its axes."""

    name: str
    caption: str
    draw: Callable[..., None]
    rows: int = 1


def landscape_plots(record: RunRecord) -> Iterator[LookPlot]:
    """Yield what there is to draw of a run's looks, in the order of the commands."""
    for name, trial, rows in _of(record, "density"):
        spectrum = record.looks.get(f"hessian-{trial}", [])
        yield LookPlot(
            name,
            "How many directions have which curvature. Look for a bulk at zero and a few outliers, about "
            "as many as classes: far outliers mean a sharp minimum, so raise the LR or lower the batch "
            "size; an outlier beyond 2 / LR means that full steps of this LR would overshoot.",
            partial(plot_density, rows, spectrum),
        )
    for name, trial, rows in _of(record, "line"):
        yield LookPlot(
            name,
            f"Loss from {_ends(trial)}. Look for a bump between the ends: none means one basin, where "
            "averaging the weights may help; a bump means different solutions, of which only the outputs "
            "can be averaged. Where the dashed curve has none, they differ in the order of their units "
            "alone. A flatter side generalises better: go on with its settings.",
            partial(plot_line, rows),
        )
    for name, trial, rows in _of(record, "plane"):
        if len({row["x"] for row in rows}) * len({row["y"] for row in rows}) != len(rows):
            continue  # cut short
        yield LookPlot(
            name,
            "Training loss on a plane. Look for a wide, round basin: a narrow or rugged one asks for a "
            "larger LR, a smaller batch, normalisation or skip connections. Beads: the run's path, as far "
            "as it lies in the plane.",
            partial(plot_plane, rows, record.looks.get(f"places-{trial}", [])),
        )
    for name, _, rows in _of(record, "walk"):
        yield LookPlot(
            name,
            "Height above the floor between two steps, and how far the weights have moved. Look for a "
            "height that falls when the LR falls: as long as it is high, a lower LR at the end still wins; "
            "from the first step on near zero, the LR could be larger.",
            partial(plot_walk, rows),
            rows=2,
        )
        yield LookPlot(
            f"{name}-noise",
            "Cosine of successive gradients, and noise scale in examples. Look for the scale against your "
            "batch size: a batch far below it trains as well per example if made larger; one far above it "
            "wastes examples. A cosine near -1 means that steps bounce from wall to wall.",
            partial(plot_noise, rows),
            rows=2,
        )


def numbers_of(record: RunRecord) -> dict[str, list[Row]]:
    """Return the tables that are read as numbers, by their titles."""
    shown = {
        f"Sharpness of {trial}: largest rise of the loss in a box around the weights, in % of 1 + loss. "
        "Smaller is flatter; compare runs, not nets.": rows
        for _, trial, rows in _of(record, "sharpness")
    }
    return shown | {
        f"Curvature at {trial}": [
            {"quantity": _quantity(row), "value": row["value"]} for row in rows
        ]
        for _, trial, rows in _of(record, "hessian")
    }


def plot_density(rows: Sequence[Row], spectrum: Sequence[Row], ax: Axes) -> None:
    """Draw the density of the eigenvalues, the largest ones, and 2 / LR.

    Args:
        rows: eigenvalue and density.
        spectrum: quantity and value; may be empty.
    """
    x, density = _column(rows, "eigenvalue"), _column(rows, "density")
    ax.plot(x, np.maximum(density, 1e-7), color=BLUE, label="density")
    top = _column([row for row in spectrum if row["quantity"] == "eigenvalue"], "value")
    if len(top):
        ax.plot(top, [1e-6] * len(top), "v", color=ORANGE, label=f"the {len(top)} largest")
    lr = next((number(row, "value") for row in spectrum if row["quantity"] == "lr"), None)
    if lr and 2 / lr < 3 * max(x):
        ax.axvline(2 / lr, color=GREY, linestyle="--", label="2 / maximum LR")
    ax.set_yscale("log")
    ax.set_ylim(bottom=5e-7)
    ax.set_xlabel("eigenvalue of the Hessian")
    ax.set_ylabel("density (log)")
    ax.legend()


def plot_line(rows: Sequence[Row], ax: Axes) -> None:
    """Draw the losses along a line, dashed those with the units of both ends in one order.

    Args:
        rows: position, and a loss for each split; where units were matched, that as `matched_` too.
    """
    names = [name for name in _PARTS if name in rows[0]]
    for name, color in zip(names, COLOURS, strict=False):
        ax.plot(_column(rows, "position"), _column(rows, name), color=color, label=column(name))
        if (matched := f"matched_{name}") in rows[0]:
            ax.plot(
                _column(rows, "position"), _column(rows, matched), "--", color=color,
                label=f"{column(name)}, units matched",
            )  # fmt: skip
    for end in (0, 1):
        ax.axvline(end, color=GREY, linestyle="--", linewidth=0.8)
    ax.set_xlabel("position (0: from, 1: to)")
    drawn = [name for name in rows[0] if name.removeprefix("matched_") in names]
    _log_if_wide(ax, np.concatenate([_column(rows, name) for name in drawn]))
    ax.legend()


def plot_plane(rows: Sequence[Row], places: Sequence[Row], ax: Axes) -> None:
    """Draw the training loss on a plane as contours, the solutions and the path.

    Args:
        rows: x, y and train_loss, a rectangular grid.
        places: name, x and y.
    """
    xs, ys = (np.unique(_column(rows, name)) for name in ("x", "y"))
    loss = _column(rows, "train_loss").reshape(len(ys), len(xs))
    finite = np.where(np.isfinite(loss), loss, np.nanmax(loss[np.isfinite(loss)], initial=1.0))
    lines = ax.contour(xs, ys, np.log10(np.maximum(finite, 1e-12)), levels=12, cmap="viridis")
    ax.clabel(
        lines, np.asarray(lines.levels)[::3], fmt=lambda level: f"{10**level:.2g}", fontsize=6
    )
    path = [row for row in places if str(row["name"]).startswith("path")]
    if path:
        ax.plot(
            _column(path, "x"), _column(path, "y"), "o-", color=GREY, markersize=2, label="path",
            linewidth=0.8,
        )  # fmt: skip
    for row in places:
        if not str(row["name"]).startswith("path"):
            x, y = _column([row], "x"), _column([row], "y")
            ax.plot(x, y, "*", color=ORANGE, label=literal(str(row["name"])))
    ax.set_xlim(xs[0], xs[-1])
    ax.set_ylim(ys[0], ys[-1])
    ax.set_xlabel("along the first direction")
    ax.set_ylabel("along the second")
    if places:
        legend_above(ax)


def plot_walk(rows: Sequence[Row], height: Axes, distance: Axes) -> None:
    """Draw the height above the floor and the distance from the start against iterations, log."""
    x = _column(rows, "iteration") + 1
    height.plot(x, _column(rows, "height"), ".", color=GREY, markersize=2, label="each")
    height.plot(x, _smooth(_column(rows, "height")), color=BLUE, label="smoothed")
    height.set_ylabel("height")
    height.legend()
    distance.plot(x, _column(rows, "distance"), color=BLUE)
    distance.set_xscale("log")
    distance.set_ylabel("distance")
    distance.set_xlabel("iteration (log)")


def plot_noise(rows: Sequence[Row], cosine: Axes, noise: Axes) -> None:
    """Draw the cosine of successive gradients and the noise scale, smoothed, against iterations."""
    x = _column(rows, "iteration") + 1
    cosines = _column(rows, "cosine")
    known = np.isfinite(cosines)
    cosine.plot(x[known], cosines[known], ".", color=GREY, markersize=2)
    cosine.plot(x[known], _smooth(cosines[known]), color=BLUE)
    cosine.set_ylabel("cosine")
    signal, tr_sigma = (_smooth(_column(rows, name)) for name in ("signal", "noise"))
    seen = signal > 0
    noise.plot(x[seen], tr_sigma[seen] / signal[seen], color=BLUE)
    noise.set_yscale("log")
    noise.set_ylabel("noise scale")
    noise.set_xlabel("iteration")


def _of(record: RunRecord, look: str) -> Iterator[tuple[str, str, list[Row]]]:
    """Yield the tables of one kind: name, what they are of, rows."""
    for name, rows in record.looks.items():
        kind, _, of = name.partition("-")
        if kind == look and set(_NEEDED[look]) <= rows[0].keys():
            yield name, of, rows


_NEEDED: Mapping[str, Sequence[str]] = {
    "density": ("eigenvalue", "density"),
    "hessian": ("quantity", "value"),
    "line": ("position", "train_loss"),
    "plane": ("x", "y", "train_loss"),
    "sharpness": ("measure", "radius", "sharpness"),
    "walk": ("iteration", "height", "distance", "cosine", "signal", "noise"),
}


def _ends(of: str) -> str:
    """Return "start to train-0a1b2c3d" of what a line is called."""
    found = re.fullmatch(r"(start|.*?-[0-9a-f]{8})-(.*-[0-9a-f]{8})", of)
    return of if found is None else " to ".join(found.groups())


def _quantity(row: Row) -> str:
    name = str(row["quantity"]).replace("_", " ")
    return f"{name} {row['number']}" if row.get("number") else name


def _column(rows: Sequence[Row], name: str) -> Array:
    values = [number(row, name) for row in rows]
    return np.array([math.nan if value is None else value for value in values])


def _smooth(values: Array) -> Array:
    if len(values) < 3:
        return values
    filled = np.where(np.isfinite(values), values, 0.0)
    return smooth(filled, SMOOTHED)


def _log_if_wide(ax: Axes, losses: Array) -> None:
    """Draw losses on a logarithmic axis where they span more than a factor of twenty."""
    known = losses[np.isfinite(losses) & (losses > 0)]
    if len(known) and known.max() > 20 * known.min():
        ax.set_yscale("log")
    ax.set_ylabel("loss (log)" if ax.get_yscale() == "log" else "loss")
