"""Predictions: what each example is called, its class or quantities, and how sure the model is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hptune.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_LABEL = "prediction"  # the column, where the target has no name


@dataclass(frozen=True, kw_only=True, repr=False)
class Predictions:
    """What a model predicts for new data.

    Attributes:
        kind: "classification", "regression" or "multilabel"; None where that is not known.
        values: Numbers of the classes (N,), of each place (N, ...) where there are several; 0 and 1
            of labels (N, L); quantities (N,) or (N, T) in the units of the data.
        outputs: Of the model, as they are; of several, what means the mean of their probabilities.
        probabilities: Of classes (N, ..., C) or labels (N, L); None for quantities.
        classes: Names of the classes, none where they go by their numbers.
        ids: What each example is called: the cell of a table's id column, the name of an image's
            file, else its place, from 0.
        id_name: Name of the ids.
        target: Name of what is predicted, None where it has none.
        loss: Mean over the examples that have targets, in the units of training; None without.
        metrics: Of these examples, by name.
        with_targets: How many these are.
        trials: Ids of the trials whose weights predict; of several, the mean counts.
        notes: What the user should know, a sentence each.
    """

    kind: str | None
    values: NDArray[Any]
    outputs: NDArray[np.float32]
    probabilities: NDArray[np.float32] | None
    classes: tuple[str, ...]
    ids: Sequence[Any]
    id_name: str
    target: str | None
    loss: float | None = None
    metrics: Mapping[str, float]
    with_targets: int = 0
    trials: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    @property
    def labels(self) -> NDArray[Any]:
        """The classes by their names, as the data spell them; `values` where they have none."""
        if self.kind != "classification" or not self.classes:
            return self.values
        named: NDArray[Any] = np.asarray(self.classes, dtype=object)[self.values]
        return named

    def frame(self, *, probabilities: bool = False) -> pd.DataFrame:
        """Return a row an example: its id, and its class or quantities.

        Args:
            probabilities: Whether a column a class takes the place of the class.

        Raises:
            InputError: An example has more than one class, or there are no probabilities.
        """
        import pandas as pd

        shown = self.probabilities if probabilities else self.labels
        if shown is None:
            raise InputError(
                f"--probabilities: a {self.kind or 'model of unknown kind'} has none; leave it out"
            )
        if shown.ndim > 2:
            raise InputError(
                f"predictions of shape {shown.shape}: a table has a row an example; use the arrays of "
                "tuned.predict in Python"
            )
        name = self.target or _LABEL
        columns = [name]
        if shown.ndim == 2:
            numbered = [str(k) for k in range(shown.shape[1])]
            named = [*self.classes] if self.classes else numbered
            columns = named if self.kind == "classification" else [f"{name}_{k}" for k in numbered]
        table = pd.DataFrame(np.asarray(shown), columns=columns)
        table.insert(0, self.id_name, list(self.ids), allow_duplicates=True)
        return table

    def __repr__(self) -> str:
        told = f"{len(self):,} predictions by {', '.join(self.trials)}"
        return f"{told}; {reached}" if (reached := self.reached()) else told

    def reached(self) -> str:
        """Return loss and metrics in words, "" where there are no targets."""
        values = {"loss": self.loss, **self.metrics}
        shown = [f"{name} {value:.6g}" for name, value in values.items() if value is not None]
        of = f"{self.with_targets:,} of {len(self):,} examples have targets"
        return f"{of}: {', '.join(shown)}" if shown else ""
