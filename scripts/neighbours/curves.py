"""Lines over seeds, as most figures have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from scripts.neighbours.experiment import Row, Value


def draw_curves(
    ax: Axes,
    rows: Sequence[Row],
    x: Sequence[float],
    column: str,
    label: str,
    color: str,
    **where: Value,
) -> None:
    """Draw the mean over the seeds of a column that holds lists, and the range of the seeds.

    Args:
        ax: To draw on.
        rows: Stored ones.
        x: Of each number of a list.
        column, where: What is drawn, of the rows with these values.
        label, color: Of the line.
    """
    lists: Any = [row[column] for row in rows if where.items() <= row.items()]
    if lists:
        values = np.array(lists)
        ax.plot(x, values.mean(0), color=color, label=label)
        ax.fill_between(x, values.min(0), values.max(0), color=color, alpha=0.2, linewidth=0)


def draw_seeds(ax: Axes, groups: dict[str, Sequence[float]], colors: Sequence[str]) -> None:
    """Draw one number a seed as dots, a group a column, with a bar at the mean."""
    for place, (values, color) in enumerate(zip(groups.values(), colors, strict=False)):
        ax.plot([place] * len(values), values, "o", color=color, alpha=0.6)
        ax.plot([place - 0.25, place + 0.25], [np.mean(values)] * 2, color=color, linewidth=2)
    ax.set_xticks(range(len(groups)), list(groups))
    ax.set_xlim(-0.6, len(groups) - 0.4)
