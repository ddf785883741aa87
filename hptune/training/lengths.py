"""Lengths in iterations: of an epoch, and between the evaluations of a run."""

from __future__ import annotations

import math

from hptune.errors import InputError


def iterations_per_epoch(examples: int, batch_size: int) -> int:
    """Return the whole batches in a pass over the data.

    Raises:
        InputError: Not one batch fits.
    """
    if batch_size > examples:
        raise InputError(
            f"batch_size: {batch_size}; must not exceed the {examples} training examples; "
            "choose a smaller batch size"
        )
    return examples // batch_size


def evaluation_points(iterations: int, evaluations: int) -> list[int]:
    """Return after how many iterations the validation set is read: evenly spaced, last at the end."""
    count = min(max(evaluations, 1), iterations)
    return [math.ceil((k + 1) * iterations / count) for k in range(count)]
