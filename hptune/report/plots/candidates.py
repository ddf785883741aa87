"""Paired curves of a stage's candidates: the chosen one in colour, the others in grey."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hptune.report.aggregate import over_seeds, wants_log
from hptune.report.plots.style import (
    BLUE,
    MOST_LABELS,
    OTHERS,
    EndLabel,
    label_ends,
    literal,
    log_axis,
    share_axis,
)
from hptune.report.stages import Candidate, Comparison
from hptune.report.wording import column, is_share, value

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_candidates(comparison: Comparison, ax: Axes) -> None:
    """Draw what the candidates were judged by over the run, mean over seeds, labelled at its end."""
    name, axis = comparison.column, axis_of(comparison)
    courses = {
        n: over_seeds(c.curves, name, axis) for n, c in enumerate(comparison.candidates) if c.curves
    }
    courses = {n: course for n, course in courses.items() if len(course)}
    labelled = _labelled(comparison, list(courses))
    labels = []
    greys = iter(OTHERS * (len(courses) // len(OTHERS) + 1))
    for n, course in sorted(
        courses.items(), key=lambda item: comparison.candidates[item[0]].chosen
    ):
        candidate = comparison.candidates[n]
        color, dashes = (BLUE, "-") if candidate.chosen else next(greys)
        ax.plot(course.x, course.mean, color=color, linestyle=dashes, zorder=3 if candidate.chosen else 2,
                linewidth=2.0 if candidate.chosen else 1.1)  # fmt: skip
        if n in labelled:
            text = end_text(candidate, name)
            labels.append(EndLabel(course.x[-1], course.mean[-1], text, color, candidate.chosen))
    _limit(ax, comparison)
    if is_share(name):
        share_axis(ax)
    ax.set_ylabel(literal(column(name)) + (" (log)" if ax.get_yscale() == "log" else ""))
    ax.set_xlabel("seconds of training and validation" if axis == "seconds" else axis)
    label_ends(ax, labels)


def axis_of(comparison: Comparison) -> str:
    """Return the axis to compare along: batch sizes are compared at near-constant time."""
    return "seconds" if comparison.parameter == "batch_size" else "epoch"


def _labelled(comparison: Comparison, drawn: list[int]) -> set[int]:
    """Return the candidates to label: all, or the chosen one and the best where they are many."""
    sign = -1 if comparison.higher_is_better else 1

    def rank(n: int) -> tuple[bool, float]:
        candidate = comparison.candidates[n]
        return not candidate.chosen, np.inf if candidate.end is None else sign * candidate.end

    return set(sorted(drawn, key=rank)[:MOST_LABELS])


def end_text(candidate: Candidate, name: str) -> str:
    """Return what stands at the end of a candidate's line: its value, and what it reached."""
    end = candidate.status if candidate.end is None else value(name, candidate.end)
    return f"{candidate.label}: {end}"


def sound_limits(comparison: Comparison) -> tuple[float, float] | None:
    """Return the lowest and the highest value of candidates that came to an end.

    Where none did, what is far above the rest is left out; None where nothing was read.
    """
    courses = [
        (c.end is not None, over_seeds(c.curves, comparison.column).mean)
        for c in comparison.candidates
        if c.curves
    ]
    sound = [own for ended, own in courses if ended and len(own)]
    shown = sound or [own for _, own in courses if len(own)]
    if not shown:
        return None
    together = np.concatenate(shown)
    return float(together.min()), float(np.quantile(together, 1.0 if sound else 0.9))


def _limit(ax: Axes, comparison: Comparison) -> None:
    """Choose the axis; losses of a candidate that diverged must not squeeze the others."""
    limits = sound_limits(comparison)
    if limits is None:
        return
    low, high = limits
    if not is_share(comparison.column) and wants_log([np.array(limits)]):
        log_axis(ax, low / 1.15, high * 1.15)
    elif low < high:
        ax.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
