"""Which fractions to split off, tried with the readers' own splitting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hptune.data.spec import DataSpec
from hptune.data.split import divide
from hptune.errors import InputError

# Of a small set with many classes a larger part is needed, so that each class is in it.
_FRACTIONS = ((0.15, 0.15), (0.2, 0.2), (0.25, 0.25), (0.3, 0.3), (0.3, 0.0), (0.5, 0.0))


def fractions(
    parts: Mapping[str, range], labels: NDArray[Any] | None
) -> tuple[float, float, str | None]:
    """Return validation and test fractions that the data can be split by.

    Args:
        parts: Index range of each of train, validation and test that the data bring.
        labels: Class of each example, None for a regression.

    Returns:
        The two fractions, and why no split is possible, None where one is.
    """
    indices = {name: np.arange(part.start, part.stop) for name, part in parts.items()}
    problem = None
    for validation, test in _FRACTIONS:
        spec = DataSpec(validation=validation, test=test)
        try:
            divide(spec, indices, labels)
        except InputError as error:
            problem = problem or str(error)
        else:
            return validation, test, None
    return *_FRACTIONS[0], problem
