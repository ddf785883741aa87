"""Paired curves of a stage's candidates: the chosen one in colour, the others in grey."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from hptune.report.aggregate import MeanCurve, over_seeds, wants_log
from hptune.report.plots.style import BLUE, OTHERS, label_y, legend_beside, log_axis
from hptune.report.views import Curves, paired_curves
from hptune.report.wording import is_share, value
from hptune.results.evidence import Candidate, Comparison
from hptune.stages import BATCH_SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_LABELS = 12  # more curves cannot be told apart


def plot_candidates(comparison: Comparison, curves: Curves, ax: Axes) -> None:
    """Draw what the candidates were judged by over the run, the best first in the legend.

    Args:
        comparison: As it was decided; its scores stand in the legend.
        curves: Of its trials; the mean over the seeds that all candidates ran is drawn, with a
            band of one standard deviation.
    """
    name = f"val_{comparison.by}"
    # Batch sizes are compared at near-constant time; or after as many updates, which this shows the price of.
    axis = "seconds" if comparison.stage == BATCH_SIZE else "epoch"
    greys = cycle(OTHERS)
    drawn = []
    for candidate, own in paired_curves(comparison, curves):
        course = over_seeds(own, name, axis)
        if not len(course):
            continue
        chosen = candidate.label == comparison.chosen
        color, dashes = (BLUE, "-") if chosen else next(greys)
        (line,) = ax.plot(
            course.x, course.mean, color=color, linestyle=dashes,
            linewidth=2.0 if chosen else 1.1, zorder=3 if chosen else 2,
        )  # fmt: skip
        if len(own) > 1:
            ax.fill_between(
                course.x, course.low, course.high, color=color, linewidth=0,
                alpha=0.2 if chosen else 0.1, zorder=1,
            )  # fmt: skip
        drawn.append((candidate, course, line))
    _limit(ax, name, [(candidate, course) for candidate, course, _ in drawn])
    label_y(ax, name)
    ax.set_xlabel("seconds of training and validation" if axis == "seconds" else axis)
    drawn.sort(key=lambda own: (rank(own[0]), own[0].label != comparison.chosen))
    lines, labels = [], []
    for n, (candidate, _, line) in enumerate(drawn):
        if n < MOST_LABELS or candidate.label == comparison.chosen:
            ended = candidate.status if candidate.score is None else value(candidate.score, name)
            lines.append(line)
            labels.append((candidate.label, ended))
    legend_beside(ax, lines, labels)


def rank(candidate: Candidate) -> float:
    """Return by what candidates are put in order: how much worse than the best they are."""
    return np.inf if candidate.difference is None else candidate.difference


def _limit(ax: Axes, name: str, drawn: Sequence[tuple[Candidate, MeanCurve]]) -> None:
    """Choose the axis; losses of a candidate that diverged must not squeeze the others.

    Where none came to its end, what is far above the rest is left out.
    """
    sound = [course.mean for candidate, course in drawn if candidate.score is not None]
    shown = sound or [course.mean for _, course in drawn]
    if not shown:
        return
    together = np.concatenate(shown)
    low, high = float(together.min()), float(np.quantile(together, 1.0 if sound else 0.9))
    if not is_share(name) and wants_log([np.array([low, high])]):
        log_axis(ax, low / 1.15, high * 1.15)
    elif low < high:
        ax.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
