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


def micro_batch(batch_size: int, accumulate: int, devices: int = 1) -> int:
    """Return the examples of each of the parts that a batch is cut into.

    Args:
        batch_size: Examples of a step, on all devices.
        accumulate: Passes of a step.
        devices: Among which each pass is divided.

    Raises:
        InputError: It cannot be cut into so many.
    """
    parts = accumulate * devices
    if devices > 1 and batch_size % parts:
        times = f" times training.accumulate {accumulate}" if accumulate > 1 else ""
        raise InputError(
            f"batch_size: {batch_size}; must divide by the {devices} devices of a trial{times}; choose "
            f"{max(batch_size // parts, 1) * parts} or another multiple of {parts}"
        )
    if batch_size % accumulate:
        raise InputError(
            f"training.accumulate: {accumulate}; must divide the batch size {batch_size}; "
            "choose a divisor"
        )
    return batch_size // parts


def evaluation_points(iterations: int, evaluations: int) -> list[int]:
    """Return after how many iterations the validation set is read: evenly spaced, last at the end."""
    count = min(max(evaluations, 1), iterations)
    return [math.ceil((k + 1) * iterations / count) for k in range(count)]
