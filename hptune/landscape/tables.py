"""What was looked at as the tables that a run directory keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hptune.landscape.box import Rise
from hptune.landscape.curvature import Spectrum
from hptune.results.cells import table_text

_RISE = ("measure", "radius", "directions", "seed", "loss", "highest", "sharpness", "batches")


def rises_table(rises: Iterable[Rise]) -> str:
    """Return how far the loss rises, a row a measure."""
    return table_text(_RISE, ([getattr(rise, name) for name in _RISE] for rise in rises))


def spectrum_table(found: Spectrum, about: Mapping[str, Any]) -> str:
    """Return what is known of a spectrum but its density, a row a number.

    Args:
        about: What else to keep: examples, batch norm.
    """
    names = (
        *("lowest", "trace", "trace_error", "near_zero", "weights", "loss", "gradient_norm"),
        *("products", "exact", "converged"),
    )
    rows: list[Sequence[Any]] = [
        ("eigenvalue", n, value) for n, value in enumerate(found.top.tolist(), 1)
    ]
    rows += [(name, None, getattr(found, name)) for name in names]
    rows += [(name, None, value) for name, value in about.items()]
    return table_text(("quantity", "number", "value"), rows)


def density_table(found: Spectrum) -> str:
    """Return the density of the eigenvalues."""
    rows = zip(found.grid.tolist(), found.density.tolist(), strict=True)
    return table_text(("eigenvalue", "density"), rows)


def rows_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of one kind, with the columns of the first."""
    columns = list(rows[0])
    return table_text(columns, ([row.get(name) for name in columns] for row in rows))
