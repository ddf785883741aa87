"""The plots of a run as images, each with a caption and a text for those who cannot see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from hptune.errors import one_of
from hptune.report.aggregate import over_seeds
from hptune.report.plots.balance import plot_balance
from hptune.report.plots.candidates import plot_candidates
from hptune.report.plots.final import plot_losses, plot_metric, plot_schedule
from hptune.report.plots.landscape import LANDSCAPE, landscape_plots
from hptune.report.plots.model import plot_model
from hptune.report.plots.range_test import plot_range_readings, plot_range_test
from hptune.report.plots.search import plot_search
from hptune.report.plots.style import FORMATS, house_style, image, new_figure
from hptune.report.read import RunRecord
from hptune.report.views import (
    comparisons,
    decided_lr,
    ended,
    file_name,
    final_runs,
    heading,
    models,
    paired_curves,
    range_test,
    select,
)
from hptune.report.wording import column, parameter
from hptune.results.evidence import Comparison, FinalRun
from hptune.results.records import Curve
from hptune.stages import BALANCE, BATCH_SIZE, FINAL, LR_RANGE, SEARCH

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SEARCHED = ("lr", "momentum", "weight_decay", "batch_size")


class Picture(NamedTuple):
    """A drawn plot.

    Attributes:
        name: Of its file, without the suffix.
        group: The section of the page that it belongs to.
        alt: What is drawn, in words.
        caption: How to read it.
        image: The file's content.
    """

    name: str
    group: str
    alt: str
    caption: str
    image: bytes


class Planned(NamedTuple):
    """A plot that a run has the data for: what `Picture` says of it, and what draws it."""

    name: str
    group: str
    caption: str
    draw: Callable[..., None]
    rows: int = 1


def pictures(record: RunRecord, form: str = "png", style: str = "screen") -> list[Picture]:
    """Draw all plots that a run has the data for.

    Args:
        form: png, svg or pdf.
        style: screen or paper.
    """
    one_of(FORMATS, form, "figures")
    runs = final_runs(record.evidence)
    baseline = next((select(ended(run), record.curves) for run in runs if run.baseline), [])
    with house_style(style):
        planned = [*_of_range_test(record)]
        for comparison in comparisons(record.evidence):
            planned += _of_comparison(comparison, record)
        for model in models(record.evidence):
            for name in model.lines:
                caption = f"A whole run predicted along the {parameter(name)}, the rest as decided."
                draw = partial(plot_model, model, name)
                planned.append(Planned(f"model-{name}", "model", caption, draw))
        for run in runs:
            own = select(ended(run), record.curves)
            if own and not run.baseline:
                planned += _of_final(run, own, baseline if run.stage == FINAL else [], record)
        for look in landscape_plots(record):
            planned.append(Planned(look.name, LANDSCAPE, look.caption, look.draw, look.rows))
        return [_drawn(one, form) for one in planned]


def _of_range_test(record: RunRecord) -> Iterator[Planned]:
    found = range_test(record.evidence)
    curves = select(found[0].trials, record.curves) if found else []
    if not found or not curves:
        return
    test, reading = found
    decided = decided_lr(test, record.decisions)
    yield Planned(
        LR_RANGE,
        LR_RANGE,
        "Losses against the LR that made them: momentum delays what an LR does, and "
        "the delay is taken out. Triangles: what fastai's rules would take on this curve.",
        partial(plot_range_test, curves, reading, decided),
    )
    for name in ["val_loss", *(f"val_{metric}" for metric in record.metrics[:1])]:
        yield Planned(
            f"{LR_RANGE}-{name}",
            LR_RANGE,
            f"The bare readings of the {column(name)}.",
            partial(plot_range_readings, curves, reading, decided, name),
        )


def _of_comparison(comparison: Comparison, record: RunRecord) -> Iterator[Planned]:
    anchor, _ = heading(comparison)
    if comparison.parameter == BALANCE:
        yield Planned(
            anchor,
            anchor,
            "From training loss (with dropout and augmentation) to validation loss: a large LR and all that "
            "regularises narrow the gap. Look for the raised LR whose validation loss is lowest: what it "
            "lowers is what to lower with it.",
            partial(plot_balance, comparison, record.trials),
        )
    elif paired_curves(comparison, record.curves):
        yield Planned(
            anchor,
            anchor,
            f"Blue: chosen. {_shared(comparison)}",
            partial(plot_candidates, comparison, record.curves),
        )
    for name in SEARCHED if comparison.stage == SEARCH else ():
        if any(name in c.values for c in comparison.candidates):
            yield Planned(
                f"{SEARCH}-{name}",
                anchor,
                f"Each trial by its {parameter(name)}; hollow: stopped early; blue: chosen.",
                partial(plot_search, comparison, name),
            )


def _shared(comparison: Comparison) -> str:
    """Return what the candidates have in common, so that the difference is the hyper-parameter's."""
    if comparison.stage == SEARCH:
        return "Every trial is a whole run."
    if comparison.stage == BATCH_SIZE:
        return "All began with the same weights and took about the same time."
    shared = "All began with the same weights and saw the same batches."
    if len({c.seeds for c in comparison.candidates}) > 1:
        shared += " Lines: the seeds that all ran. Numbers: all seeds, put on the same footing."
    if min(len(c.seeds) for c in comparison.candidates) > 1:
        shared += " Bands: one standard deviation over the seeds."
    return shared


def _of_final(
    run: FinalRun, curves: list[Curve], baseline: list[Curve], record: RunRecord
) -> Iterator[Planned]:
    seeds = len(curves)
    over = f"mean of {seeds} seeds, band: one standard deviation" if seeds > 1 else "one seed"
    yield Planned(
        f"{run.stage}-schedule",
        run.stage,
        "Learning rate and momentum over the run.",
        partial(plot_schedule, curves[0]),
        rows=2,
    )
    losses = partial(plot_losses, curves, baseline=baseline)
    yield Planned(f"{run.stage}-loss", run.stage, f"Losses: {over}.", losses)
    for metric in record.metrics:
        name = f"val_{metric}"
        if len(over_seeds(curves, name)):
            caption = f"{column(name).capitalize()}: {over}."
            on_test = run.column == f"test_{metric}"
            test = [score for score in run.scores if score is not None] if on_test else []
            plot = partial(plot_metric, curves, name, baseline=baseline, test=test)
            yield Planned(f"{run.stage}-{metric}", run.stage, caption, plot)


def _drawn(planned: Planned, form: str) -> Picture:
    figure, axes = new_figure(planned.rows)
    planned.draw(*axes)
    name, words = file_name(planned.name), _in_words(axes)
    return Picture(name, planned.group, words, planned.caption, image(figure, form))


def _in_words(axes: Sequence[Axes]) -> str:
    """Return what is drawn, for those who cannot see it: what against what, and the legend."""
    shown = []
    for ax in axes:
        text = f"{ax.get_ylabel()} against {axes[-1].get_xlabel()}"
        if legend := ax.get_legend():
            text += ": " + "; ".join(label.get_text() for label in legend.get_texts())
        shown.append(" ".join(text.split()).replace(r"\$", "$"))
    return "; ".join(shown)
