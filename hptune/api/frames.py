"""Curves and trials as DataFrames, with the columns of their CSVs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hptune.results.records import Curve, TrialResult
from hptune.results.tables import result_row

if TYPE_CHECKING:
    import pandas as pd


def frame(curve: Curve, **first: str) -> pd.DataFrame:
    """Return a curve with the columns of its CSV, after others that hold one value."""
    import pandas as pd

    columns = {**first, **vars(curve)}
    metrics, seconds = columns.pop("metrics"), columns.pop("seconds")
    named = {f"val_{name}": values for name, values in metrics.items()}
    return pd.DataFrame({**columns, **named, "seconds": seconds})


def rows_of(results: Sequence[TrialResult]) -> pd.DataFrame:
    """Return trials with the columns of results.csv."""
    import pandas as pd

    return pd.DataFrame([result_row(result) for result in results])
