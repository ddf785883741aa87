"""From the columns of a table to inputs: fitted to the training rows, applied to any rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from hptune.data.split import Indices
from hptune.data.tables.cells import NO, YES, counted
from hptune.data.tables.columns import MOST_VALUES, form
from hptune.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_PARTS = ("year", "month", "day", "day_of_week", "hour", "minute")


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One input of the model.

    Attributes:
        column: That it is made of.
        kind: "number", "yes-no", "date" or "text": what the column holds.
        what: "value" itself; a part of a date, such as "year"; "is" one category; or whether it is
            "missing".
        category: Of what "is" it.
        fill: Stands for a missing value: the median of the training rows.
        mean, std: Of the training rows, by which it is standardised.
        date_format: By which the dates of the column were read.
    """

    column: str
    kind: str
    what: str = "value"
    category: str | None = None
    fill: float = 0.0
    mean: float = 0.0
    std: float = 1.0
    date_format: str = ""

    @property
    def name(self) -> str:
        """What it is called: the column, and what of it."""
        if self.what == "is":
            return f"{self.column}={self.category}"
        return self.column if self.what == "value" else f"{self.column} {self.what}"


@dataclass(frozen=True)
class Preprocessing:
    """The inputs of a table: numbers standardised, text one-hot, dates in parts, gaps filled."""

    features: tuple[Feature, ...]

    @classmethod
    def fit(cls, table: pd.DataFrame, train: Indices, normalize: str = "standardize") -> Self:
        """Choose the features of a table and fit them to its training rows.

        Args:
            table: Inputs, as `read_table` gives them.
            train: Indices of the training rows.
            normalize: "standardize" to mean 0 and standard deviation 1, "mean-image" to mean 0, or
                "none".
        """
        rows, formats = table.iloc[train], table.attrs.get("date_formats", {})
        fitted = []
        for feature, values in _raw([f for name in rows for f in _features(rows[name])], rows):
            known = values[~np.isnan(values)]
            # Halved, so that the mean of the middle two is no overflow.
            fill = 2 * float(np.median(known / 2)) if len(known) else 0.0
            filled = np.where(np.isnan(values), fill, values)
            mean, std = (0.0, 1.0) if normalize == "none" else _moments(filled)
            std = std if normalize == "standardize" else 1.0
            moments = {"fill": fill, "mean": mean, "std": std}
            read_by = {"date_format": formats.get(feature.column, "")}
            fitted.append(Feature(**asdict(feature) | moments | read_by))
        return cls(tuple(fitted))

    @classmethod
    def from_record(cls, record: list[dict[str, Any]]) -> Self:
        """Return what `record` gave."""
        return cls(tuple(Feature(**feature) for feature in record))

    @property
    def record(self) -> list[dict[str, Any]]:
        """All features, in plain values."""
        return [asdict(feature) for feature in self.features]

    @property
    def names(self) -> list[str]:
        """The names of the features, in the order of the inputs."""
        return [feature.name for feature in self.features]

    @property
    def kinds(self) -> dict[str, str]:
        """What each column is to be read as: "number", "date" with its format, or "text"."""
        kinds = {f.column: f"{f.kind} {f.date_format}".strip() for f in self.features}
        return {name: "text" if kind == "yes-no" else kind for name, kind in kinds.items()}

    def apply(self, table: pd.DataFrame) -> NDArray[np.float32]:
        """Return the inputs (N, F) of rows with these columns, in float32.

        Raises:
            InputError: A column is not there.
        """
        absent = [name for name in self.kinds if name not in table]
        if absent:
            raise InputError(
                f"data: the table has no column {absent[0]!r}; must have those that were trained on "
                f"({', '.join(self.kinds)}); add it"
            )
        inputs = np.empty((len(table), len(self.features)), dtype=np.float32)
        for k, (feature, values) in enumerate(_raw(self.features, table)):
            filled = np.where(np.isnan(values), feature.fill, values)
            with np.errstate(
                over="ignore"
            ):  # a number far from all others stays infinite, and is told
                inputs[:, k] = filled / feature.std - feature.mean / feature.std
        return inputs

    def unseen(self, table: pd.DataFrame) -> dict[str, int]:
        """Return the rows whose text no training row had, in each column that has such."""
        found = {}
        for name, kind in self.kinds.items():
            known = [f.category for f in self.features if f.column == name and f.what == "is"]
            if kind == "text" and known:
                found[name] = int((~table[name].isin(known) & table[name].notna()).sum())
        return {name: count for name, count in found.items() if count}


def encoded(
    table: pd.DataFrame, divided: Mapping[str, Indices], normalize: str
) -> tuple[NDArray[np.float32], Preprocessing, list[str]]:
    """Return a table's inputs (N, F), how they are made, and what to say of them.

    Args:
        table: Inputs, as `read_table` gives them.
        divided: Indices of the rows of each split; the features are fitted to "train".
        normalize: How they are scaled, see `Preprocessing.fit`.
    """
    made = Preprocessing.fit(table, divided["train"], normalize)
    missing = table.isna().sum()
    gaps = {str(name): int(count) for name, count in missing[missing > 0].items()}
    notes = []
    if gaps:
        notes.append(
            "missing cells get the median of the training rows, in text a category of their own, and "
            f"an input that says that they were missing: {counted(gaps)}"
        )
    others = [part for part in divided if part != "train"]
    unseen = {part: made.unseen(table.iloc[divided[part]]) for part in others}
    notes += [
        f"text in {part} rows that no training row has is none of the categories: {counted(found)}"
        for part, found in unseen.items()
        if found
    ]
    return made.apply(table), made, notes


def _features(column: pd.Series[Any]) -> Iterator[Feature]:
    """Yield what becomes of a column, by the values in the training rows."""
    name, kind = str(column.name), form(column)
    if kind == "date":
        varying = [part for part in _PARTS if _part(column, part).nunique() > 1]
        for part in varying or _PARTS[:1]:
            yield Feature(column=name, kind=kind, what=part)
    elif kind == "text":
        counts = column.value_counts()
        kept = sorted(counts[counts > 0].index[:MOST_VALUES])
        for category in kept:
            yield Feature(column=name, kind=kind, what="is", category=str(category))
    else:
        yield Feature(column=name, kind=kind)
    if column.isna().any():
        yield Feature(column=name, kind=kind, what="missing")


def _raw(
    features: list[Feature] | tuple[Feature, ...], table: pd.DataFrame
) -> Iterator[tuple[Feature, NDArray[np.float64]]]:
    """Yield each feature with its values before scaling, NaN where the cell is missing."""
    import pandas as pd

    for name, group in groupby(features, key=lambda feature: feature.column):
        column, wanted = table[name], list(group)
        missing = column.isna().to_numpy()
        known = [feature.category for feature in wanted if feature.what == "is"]
        codes: NDArray[Any] = np.empty(0)
        if known:
            codes = column.cat.set_categories(pd.Index(known, dtype=object)).cat.codes.to_numpy()
        at = 0
        for feature in wanted:
            if feature.what == "missing":
                yield feature, missing.astype(np.float64)
            elif feature.what == "is":
                yield feature, np.asarray(codes == at, np.float64)
                at += 1
            elif feature.kind == "number":
                yield feature, column.to_numpy(dtype=np.float64)
            elif feature.kind == "yes-no":
                lower = column.astype(object).str.lower()
                yield feature, np.where(lower.isin(YES), 1.0, np.where(lower.isin(NO), 0.0, np.nan))
            else:
                yield feature, _part(column, feature.what).to_numpy(dtype=np.float64)


def _part(dates: pd.Series[Any], part: str) -> pd.Series[Any]:
    found: pd.Series[Any] = getattr(dates.dt, part)
    return found


def _moments(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return mean and standard deviation of numbers of any size; 1 for that of a constant."""
    largest = float(np.abs(values).max(initial=0.0)) or 1.0
    scaled = values / largest
    std = float(scaled.std())
    return float(scaled.mean()) * largest, std * largest if std > 1e-14 else 1.0
