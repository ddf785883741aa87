"""Which plots a run has, drawn as PNG with a title, a caption and a text for those who cannot see."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from hptune.report.aggregate import over_seeds
from hptune.report.read import RunRecord
from hptune.report.stages import (
    Comparison,
    FinalRun,
    RangeTest,
    comparisons,
    final_runs,
    range_test,
)
from hptune.report.wording import column, parameter, plain, stage, value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = 256


@dataclass(frozen=True)
class Picture:
    """A drawn plot.

    Attributes:
        name: Of its file, without the suffix.
        group: The section of the page that it belongs to.
        alt: What it shows, in a sentence.
        caption: How to read it.
        png: The file's content.
        width: CSS pixels.
        height: CSS pixels.
    """

    name: str
    group: str
    alt: str
    caption: str
    png: bytes
    width: int
    height: int


def pictures(record: RunRecord) -> list[Picture]:
    """Draw all plots that a run has the data for."""
    from hptune.report.plots.style import house_style

    with house_style():
        drawn = _of_range_test(range_test(record), record)
        for comparison in comparisons(record):
            drawn += _of_comparison(comparison)
        runs = final_runs(record)
        baseline = next((run for run in runs if run.baseline), None)
        for run in runs:
            if run.curves and not run.baseline:
                drawn += _of_final(run, baseline if run.stage == "final" else None, record)
    return drawn


def _shared(comparison: Comparison) -> str:
    """Say what the candidates have in common, so that the difference is the hyper-parameter's."""
    if comparison.stage == "search":
        return "Every trial is a whole run."
    if comparison.parameter == "batch_size":
        return "All began with the same weights and took about the same time."
    return "All began with the same weights and saw the same batches."


def comparison_name(comparison: Comparison) -> str:
    """Return a comparison's name for files and anchors: "momentum", "momentum-lr", "sweep-dropout"."""
    own = {"lr-range": "lr", "momentum": "momentum", "weight-decay": "weight_decay"}
    own |= {"batch-size": "batch_size", "search": "lr"}
    if comparison.stage == "lr-range":
        return "lr-confirmation"
    if own.get(comparison.stage) == comparison.parameter:
        return comparison.stage
    short = comparison.parameter.rpartition(".")[2]
    return f"{comparison.stage}-" + "".join(c if c.isalnum() else "-" for c in short)


def _of_range_test(test: RangeTest | None, record: RunRecord) -> list[Picture]:
    from hptune.report.plots import plot_range_readings, plot_range_test

    if test is None:
        return []
    reading = test.reading
    told = f"The maximum LR decided on is {plain(test.decided)}. " if test.decided else ""
    drawn = [
        _picture(
            "lr-range",
            "lr-range",
            partial(plot_range_test, test),
            alt=f"Training and validation loss against the learning rate. {told}{reading.reason}.",
            caption="Losses against the LR that made them: momentum delays what an LR does, and the "
            "delay is taken out. Triangles: where fastai's rules would put the LR on this curve.",
        )
    ]
    drawn += [
        _picture(
            f"lr-range-{_file_name(name)}",
            "lr-range",
            partial(plot_range_readings, test, name),
            alt=f"The {column(name)} at each reading of the range test, against the learning rate.",
            caption=f"The bare readings of the {column(name)}.",
        )
        for name in ["val_loss", *(f"val_{metric}" for metric in record.metrics[:1])]
    ]
    return drawn


def _of_comparison(comparison: Comparison) -> list[Picture]:
    from hptune.report.plots import plot_candidates, plot_search
    from hptune.report.plots.candidates import end_text
    from hptune.report.plots.style import room_for

    name = comparison_name(comparison)
    drawn = []
    if any(candidate.curves for candidate in comparison.candidates):
        ends = "; ".join(
            f"{c.label}: {value(comparison.column, c.end) if c.end is not None else c.status}"
            for c in comparison.candidates[:12]
        )
        chosen = comparison.chosen
        drawn.append(
            _picture(
                name,
                name,
                partial(plot_candidates, comparison),
                alt=f"{column(comparison.column).capitalize()} over the run for each candidate. "
                f"At the end: {ends}. " + (f"Chosen: {chosen.label}." if chosen else ""),
                caption=f"Blue: chosen. {_shared(comparison)}",
                right=room_for([end_text(c, comparison.column) for c in comparison.candidates]),
                top=0.97,
            )
        )
    if comparison.stage == "search":
        drawn += [
            _picture(
                f"search-{other}",
                name,
                partial(plot_search, comparison, other),
                alt=f"{column(comparison.column).capitalize()} of each trial against its {parameter(other)}.",
                caption=f"Each trial by its {parameter(other)}; hollow: stopped early; blue: chosen.",
                top=0.97,
            )
            for other in ("lr", "momentum", "weight_decay", "batch_size")
        ]
    return drawn


def _of_final(run: FinalRun, baseline: FinalRun | None, record: RunRecord) -> list[Picture]:
    from hptune.report.plots import plot_losses, plot_metric, plot_schedule

    seeds = len(run.curves)
    over = f"mean of {seeds} seeds, band: one standard deviation" if seeds > 1 else "one seed"
    title = stage(run.stage)

    def schedule(upper: Axes, lower: Axes) -> None:
        plot_schedule(run, "lr", upper)
        plot_schedule(run, "momentum", lower)
        lower.set_xlabel("epoch")

    drawn = [
        _picture(
            f"{run.stage}-schedule",
            run.stage,
            schedule,
            alt=f"{title}: learning rate and momentum over the epochs.",
            caption="Learning rate and momentum over the run.",
            rows=2,
            top=0.97,
        ),
        _picture(
            f"{run.stage}-loss",
            run.stage,
            partial(plot_losses, run, baseline=baseline),
            alt=f"{title}: training and validation loss over the epochs, {over}.",
            caption=f"Losses: {over}.",
        ),
    ]
    drawn += [
        _picture(
            f"{run.stage}-{_file_name(metric)}",
            run.stage,
            partial(plot_metric, run, f"val_{metric}", baseline=baseline),
            alt=f"{title}: {column(f'val_{metric}')} over the epochs, {over}.",
            caption=f"{column(f'val_{metric}').capitalize()}: {over}.",
        )
        for metric in record.metrics
        if any(len(over_seeds([curve], f"val_{metric}")) for curve in run.curves)
    ]
    return drawn


def _picture(
    name: str,
    group: str,
    draw: Callable[..., None],
    *,
    alt: str,
    caption: str,
    rows: int = 1,
    right: float = 0.97,
    top: float = 0.89,
) -> Picture:
    from hptune.report.plots.style import SIZE, new_figure

    figure, axes = new_figure(rows=rows, right=right, top=top)
    draw(*axes)
    width, height = (round(96 * inches) for inches in SIZE)
    return Picture(name, group, alt, caption, _png(figure), width, height)


def _png(figure: Figure) -> bytes:
    """Return a figure as PNG of a palette, a third of the size: plots have few colours."""
    from PIL import Image

    file = io.BytesIO()
    figure.savefig(file, format="raw")
    size = figure.canvas.get_width_height()
    drawn = Image.frombytes("RGBA", size, file.getvalue()).convert("RGB")
    small = io.BytesIO()
    drawn.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE).save(
        small, format="png", dpi=(figure.dpi, figure.dpi)
    )
    return small.getvalue()


def _file_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in text)
