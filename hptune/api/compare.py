"""Runs side by side, from Python: their directories, or the results that functions returned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hptune.api.results import Result
from hptune.errors import InputError, one_of
from hptune.explain import short
from hptune.report import compare_text
from hptune.report.compare import RunsCompared, compare_runs
from hptune.report.plots.runs import AXES, plot_runs
from hptune.report.plots.style import house_style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True, repr=False)
class Compared:
    """Runs side by side; prints as the tables of `hptune compare`.

    Attributes:
        runs: What was reached, with what values, at what cost, and the difference from the first.
    """

    runs: RunsCompared

    @property
    def table(self) -> pd.DataFrame:
        """A row a run: score, difference with its noise and interval, cost, values."""
        import pandas as pd

        document: Any = compare_text.as_document(self.runs)
        return pd.DataFrame(document["runs"]).drop(columns="scores")

    def plot(self, ax: Axes | None = None, *, by: str = "epoch") -> Axes:
        """Draw the curves over one another, into axes of yours or new ones.

        Args:
            ax: None makes new ones.
            by: The axis: epoch, iteration or seconds.
        """
        one_of(AXES, by, "by")
        with house_style():
            if ax is None:
                import matplotlib.pyplot as plt

                ax = plt.subplots(layout="constrained")[1]
            plot_runs(self.runs, by, ax)
        return ax

    def to_markdown(self) -> str:
        """Return the tables in Markdown."""
        return compare_text.as_markdown(self.runs)

    def to_latex(self) -> str:
        """Return the tables in LaTeX, for the package booktabs."""
        return compare_text.as_latex(self.runs)

    def __repr__(self) -> str:
        return self.to_markdown()

    def _repr_markdown_(self) -> str:
        return self.to_markdown()


def compare(*runs: str | Path | Result) -> Compared:
    """Compare runs with the first of them, seed by seed where they ran the same seeds.

    Args:
        runs: Two to eight: run directories, or what `hptune.train` or `hptune.tune` returned.

    Raises:
        InputError: Too few or too many, or none of hptune's.
    """
    paths = []
    for given in runs:
        if not isinstance(given, str | Path | Result):
            raise InputError(
                f"runs: {short(given)}; must be a run directory, or a result of hptune.train or tune; "
                "give one of these"
            )
        paths.append(given.out if isinstance(given, Result) else Path(given))
    return Compared(compare_runs(paths, with_curves=True))
