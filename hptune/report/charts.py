"""The curves as data for the page's interactive charts: one axis, a column a curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hptune.report.aggregate import FloatArray, over_seeds, values, wants_log
from hptune.report.figures import comparison_name
from hptune.report.plots.candidates import axis_of, end_text, sound_limits
from hptune.report.plots.range_test import loss_limits, lr_of
from hptune.report.read import RunRecord
from hptune.report.stages import (
    Comparison,
    FinalRun,
    RangeTest,
    comparisons,
    final_runs,
    range_test,
)
from hptune.report.wording import column

POINTS = 400  # a curve: more than a screen shows
DIGITS = 5  # significant ones

Line = tuple[str, bool, FloatArray, FloatArray]
"""A label, whether it was chosen, x and y."""


def charts(record: RunRecord) -> dict[str, dict[str, Any]]:
    """Return the charts by the group of plots that each belongs to."""
    found = {}
    test = range_test(record)
    if test is not None:
        found["lr-range"] = _of_range_test(test)
    for comparison in comparisons(record):
        if any(candidate.curves for candidate in comparison.candidates):
            found[comparison_name(comparison)] = _of_comparison(comparison)
    for run in final_runs(record):
        if run.curves and not run.baseline:
            found[run.stage] = _of_final(run)
    return found


def _of_range_test(test: RangeTest) -> dict[str, Any]:
    lines = []
    for trial in test.trials:
        if trial.curve is None:
            continue
        seed = f", seed {trial.row.get('seed')}" * (len(test.trials) > 1)
        for name in ("val_loss", "train_loss"):
            own = values(trial.curve, name)
            lines.append(_line(column(name) + seed, name == "val_loss", lr_of(trial.curve), own))
    return _chart("learning rate", "loss", lines, log_x=True, limits=loss_limits(test))


def _of_comparison(comparison: Comparison) -> dict[str, Any]:
    axis, name = axis_of(comparison), comparison.column
    lines: list[Line] = []
    for candidate in comparison.candidates:
        course = over_seeds(candidate.curves, name, axis)
        lines.append((end_text(candidate, name), candidate.chosen, course.x, course.mean))
    return _chart(axis, column(name), lines, limits=sound_limits(comparison))


def _of_final(run: FinalRun) -> dict[str, Any]:
    lines = []
    for trial in run.trials:
        if trial.curve is None:
            continue
        for name in ("val_loss", "train_loss"):
            text = f"{column(name)}, seed {trial.row.get('seed')}"
            lines.append(
                _line(text, name == "val_loss", trial.curve.epoch, values(trial.curve, name))
            )
    return _chart("epoch", "loss", lines)


def _line(label: str, chosen: bool, x: FloatArray, y: FloatArray) -> Line:
    """Return a line of not too many points: the means of neighbours."""
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    together = math.ceil(len(x) / POINTS)
    if together > 1:
        starts = np.arange(0, len(x), together)
        sizes = np.diff([*starts, len(x)])
        x, y = (np.add.reduceat(own, starts) / sizes for own in (x, y))
    return label, chosen, x, y


def _chart(
    x_name: str,
    y_name: str,
    lines: Sequence[Line],
    *,
    log_x: bool = False,
    limits: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Return a chart whose lines share one axis, None where a line has no value.

    Args:
        x_name: Of the axis.
        y_name: Of the values.
        lines: To draw.
        log_x: Whether the axis begins as a logarithmic one.
        limits: Of the values to show, where what diverges would squeeze the rest.
    """
    drawn = [line for line in lines if len(line[2])]
    axis = sorted({_rounded(x) for line in drawn for x in line[2]})
    place = {x: k for k, x in enumerate(axis)}
    columns = []
    for _, _, xs, ys in drawn:
        own: list[float | None] = [None] * len(axis)
        for x, y in zip(xs, ys, strict=True):
            own[place[_rounded(x)]] = _rounded(y)
        columns.append(own)
    return {
        "x": x_name,
        "y": y_name,
        "limits": limits,
        "logX": log_x,
        "logY": wants_log([ys for *_, ys in drawn]) and not log_x,
        "labels": [label for label, *_ in drawn],
        "chosen": [chosen for _, chosen, *_ in drawn],
        "data": [axis, *columns],
    }


def _rounded(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
