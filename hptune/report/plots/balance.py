"""What regularises, one against the other: training and validation loss of each candidate."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from hptune.report.plots.candidates import rank
from hptune.report.plots.style import BLUE, GREY, ORANGE, legend_above
from hptune.report.read import numbers
from hptune.results.evidence import Comparison
from hptune.results.tables import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_balance(comparison: Comparison, rows: Sequence[Row], ax: Axes) -> None:
    """Draw the losses at the end of each candidate's runs, the best one on top.

    Args:
        comparison: Of the candidates.
        rows: Of results.csv; the mean over a candidate's seeds is drawn.
    """
    drawn = list[tuple[str, float, float]]()
    for candidate in sorted(comparison.candidates, key=rank, reverse=True):
        own = [row for row in rows if row["trial"] in candidate.trials]
        losses = [numbers(own, name) for name in ("train_loss", "val_loss")]
        if candidate.score is not None and all(losses):
            train, validation = map(fmean, losses)
            drawn.append((candidate.label, train, validation))
    places = range(len(drawn))
    for at, (_, train, validation) in zip(places, drawn, strict=True):
        ax.plot([train, validation], [at, at], color=GREY, linewidth=1, zorder=1)
    for name, color, values in (
        ("training", ORANGE, [one[1] for one in drawn]),
        ("validation", BLUE, [one[2] for one in drawn]),
    ):
        ax.plot(values, places, "o", color=color, markersize=4, label=f"{name} loss")
    ax.set_yticks(places, [one[0] for one in drawn])
    ax.set_xlabel("loss")
    if drawn:
        legend_above(ax)
