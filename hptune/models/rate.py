"""The dropout rate, as every net that has one reads it."""

from __future__ import annotations

from hptune.errors import InputError


def dropout_rate(value: object) -> float:
    """Return the fraction of activations to drop.

    Raises:
        InputError: It is no number from 0 to below 1.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1:
        return float(value)
    raise InputError(
        f"model.args.dropout: {value!r}; must be a number of at least 0 and below 1; correct it"
    )
