"""The plots, one function a plot: `plot_…(what was found, axes)`."""

from hptune.report.plots.candidates import plot_candidates
from hptune.report.plots.final import plot_losses, plot_metric, plot_schedule
from hptune.report.plots.range_test import plot_range_readings, plot_range_test
from hptune.report.plots.search import plot_search

__all__ = [
    "plot_candidates",
    "plot_losses",
    "plot_metric",
    "plot_range_readings",
    "plot_range_test",
    "plot_schedule",
    "plot_search",
]
