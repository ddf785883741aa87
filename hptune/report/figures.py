"""The plots of a run as PNG, each with a caption and a text for those who cannot see it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from hptune.report.aggregate import over_seeds
from hptune.report.read import RunRecord
from hptune.report.views import (
    anchor_of,
    comparisons,
    decided_lr,
    ended,
    file_name,
    final_runs,
    paired_curves,
    range_test,
    select,
)
from hptune.report.wording import column, parameter, plain, stage_title
from hptune.results.evidence import Comparison, FinalRun
from hptune.results.records import Curve
from hptune.stages import BATCH_SIZE, FINAL, LR_RANGE, SEARCH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = 256
SEARCHED = ("lr", "momentum", "weight_decay", "batch_size")


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

    runs = final_runs(record)
    baseline = next((select(ended(run), record.curves) for run in runs if run.baseline), [])
    with house_style():
        drawn = _of_range_test(record)
        for comparison in comparisons(record):
            drawn += _of_comparison(comparison, record)
        for run in runs:
            own = select(ended(run), record.curves)
            if own and not run.baseline:
                drawn += _of_final(run, own, baseline if run.stage == FINAL else [], record)
    return drawn


def _of_range_test(record: RunRecord) -> list[Picture]:
    from hptune.report.plots import plot_range_readings, plot_range_test

    found = range_test(record.evidence)
    curves = select(found[0].trials, record.curves) if found else []
    if not found or not curves:
        return []
    test, reading = found
    decided = decided_lr(test, record.decisions)
    told = f"The maximum LR decided on is {plain(decided)}. " if decided else ""
    drawn = [
        _picture(
            LR_RANGE,
            LR_RANGE,
            partial(plot_range_test, curves, reading, decided),
            alt=f"Training and validation loss against the learning rate. {told}{reading.reason}.",
            caption="Losses against the LR that made them: momentum delays what an LR does, and "
            "the delay is taken out. Triangles: what fastai's rules would take on this curve.",
        )
    ]
    drawn += [
        _picture(
            f"{LR_RANGE}-{name}",
            LR_RANGE,
            partial(plot_range_readings, curves, reading, decided, name),
            alt=f"The {column(name)} at each reading of the range test, against the learning rate.",
            caption=f"The bare readings of the {column(name)}.",
        )
        for name in ["val_loss", *(f"val_{metric}" for metric in record.metrics[:1])]
    ]
    return drawn


def _of_comparison(comparison: Comparison, record: RunRecord) -> list[Picture]:
    from hptune.report.plots import plot_candidates, plot_search
    from hptune.report.plots.candidates import label

    anchor, judged = anchor_of(comparison), column(f"val_{comparison.by}").capitalize()
    drawn = []
    if paired_curves(comparison, record.curves):
        ends = "; ".join(
            ": ".join(label(c, f"val_{comparison.by}")) for c in comparison.candidates[:12]
        )
        chosen = f" Chosen: {comparison.chosen}." if comparison.chosen else ""
        drawn.append(
            _picture(
                anchor,
                anchor,
                partial(plot_candidates, comparison, record.curves),
                alt=f"{judged} over the run for each candidate. At the end: {ends}.{chosen}",
                caption=f"Blue: chosen. {_shared(comparison)}",
            )
        )
    if comparison.stage == SEARCH:
        drawn += [
            _picture(
                f"{SEARCH}-{name}",
                anchor,
                partial(plot_search, comparison, name),
                alt=f"{judged} of each trial against its {parameter(name)}.",
                caption=f"Each trial by its {parameter(name)}; hollow: stopped early; blue: chosen.",
            )
            for name in SEARCHED
            if any(name in c.values for c in comparison.candidates)
        ]
    return drawn


def _shared(comparison: Comparison) -> str:
    """Return what the candidates have in common, so that the difference is the hyper-parameter's."""
    if comparison.stage == SEARCH:
        return "Every trial is a whole run."
    if comparison.stage == BATCH_SIZE:
        return "All began with the same weights and took about the same time."
    shared = "All began with the same weights and saw the same batches."
    if len({c.seeds for c in comparison.candidates}) > 1:
        shared += " Lines: the seeds that all ran. Numbers: all seeds, put on the same footing."
    return shared


def _of_final(
    run: FinalRun, curves: list[Curve], baseline: list[Curve], record: RunRecord
) -> list[Picture]:
    from hptune.report.plots import plot_losses, plot_metric, plot_schedule

    seeds = len(curves)
    over = f"mean of {seeds} seeds, band: one standard deviation" if seeds > 1 else "one seed"
    title = stage_title(run.stage)

    def schedule(upper: Axes, lower: Axes) -> None:
        plot_schedule(curves[0], "lr", upper)
        plot_schedule(curves[0], "momentum", lower)
        lower.set_xlabel("epoch")

    drawn = [
        _picture(
            f"{run.stage}-schedule",
            run.stage,
            schedule,
            alt=f"{title}: learning rate and momentum over the epochs.",
            caption="Learning rate and momentum over the run.",
            rows=2,
        ),
        _picture(
            f"{run.stage}-loss",
            run.stage,
            partial(plot_losses, curves, baseline=baseline),
            alt=f"{title}: training and validation loss over the epochs, {over}.",
            caption=f"Losses: {over}.",
        ),
    ]
    for metric in record.metrics:
        name = f"val_{metric}"
        if not len(over_seeds(curves, name)):
            continue
        on_test = run.column == f"test_{metric}"
        test = [score for score in run.scores if score is not None] if on_test else []
        drawn.append(
            _picture(
                f"{run.stage}-{metric}",
                run.stage,
                partial(plot_metric, curves, name, baseline=baseline, test=test),
                alt=f"{title}: {column(name)} over the epochs, {over}.",
                caption=f"{column(name).capitalize()}: {over}.",
            )
        )
    return drawn


def _picture(
    name: str,
    group: str,
    draw: Callable[..., None],
    *,
    alt: str,
    caption: str,
    rows: int = 1,
) -> Picture:
    from hptune.report.plots.style import SIZE, new_figure

    figure, axes = new_figure(rows)
    draw(*axes)
    width, height = (round(96 * inches) for inches in SIZE)
    return Picture(file_name(name), group, alt, caption, _png(figure), width, height)


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
