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


def micro_batch(batch_size: int, accumulate: int) -> int:
    """Return the examples of each of the parts that a batch is cut into.

    Raises:
        InputError: It cannot be cut into so many.
    """
    if batch_size % accumulate:
        raise InputError(
            f"training.accumulate: {accumulate}; must divide the batch size {batch_size}; "
            "choose a divisor"
        )
    return batch_size // accumulate


def evaluation_points(iterations: int, evaluations: int) -> list[int]:
    """Return after how many iterations the validation set is read: evenly spaced, last at the end."""
    count = min(max(evaluations, 1), iterations)
    return [math.ceil((k + 1) * iterations / count) for k in range(count)]
