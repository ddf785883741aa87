"""Which axis of an array is the channels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hptune.data.spec import Layout
from hptune.errors import InputError

_USUAL = (1, 3, 4)  # channels: grey, colour, colour with alpha
_AXES: dict[Layout, int] = {"channels-first": 0, "channels-second": 1, "channels-last": -1}
_MOST_AXES = 4  # of an example: a volume or a video with channels


def channels_first(inputs: NDArray[Any], layout: Layout) -> tuple[NDArray[Any], list[str]]:
    """Return examples with their channels first, (N, C, ...), and notes on what was guessed.

    Args:
        inputs: (N, H, W), (N, H, W, C) or (N, C, H, W); volumes and video have an axis more.
        layout: Where the channels are. "auto" finds out by the sizes: 1, 3 or 4 channels, the
            axes of space that are alike, the smallest axis. Examples of two axes have none.

    Raises:
        InputError: Too many axes, or a layout that the shape cannot have.
    """
    shape = inputs.shape[1:]
    most = _MOST_AXES - (layout == "no-channels")
    if len(shape) > most:
        raise InputError(
            f"data: inputs of shape {shape}; an example must have {most} axes at most; reshape the array"
        )
    if layout == "no-channels":
        return inputs[:, None], []
    if layout == "auto" and len(shape) == 2:
        # A grey image is square or of bytes; what is not may be something else.
        sure = shape[0] == shape[1] or inputs.dtype.kind != "f"
        note = (
            f"inputs of shape {shape} are taken as grey images; data.layout: channels-first or "
            "channels-last takes them as signals, no-channels as images for certain"
        )
        return inputs[:, None], [] if sure else [note]
    if len(shape) < (3 if layout == "channels-second" else 2):
        raise InputError(
            f"data.layout: {layout}; an example of shape {shape} has no such axis; leave it out"
        )
    if layout != "auto":
        return np.moveaxis(inputs, 1 + _AXES[layout] % len(shape), 1), []
    axis, sure = _find(shape)
    name = next(name for name, at in _AXES.items() if at % len(shape) == axis)
    space = "x".join(str(size) for at, size in enumerate(shape) if at != axis)
    note = (
        f"inputs of shape {shape} are taken as {name}, {shape[axis]} channel{'s' * (shape[axis] > 1)} "
        f"of {space}; data.layout says so for certain, or otherwise"
    )
    return np.moveaxis(inputs, axis + 1, 1), [] if sure else [note]


def _find(shape: tuple[int, ...]) -> tuple[int, bool]:
    """Return the axis of the channels, and whether the sizes leave no doubt."""
    last = len(shape) - 1
    places = [0, last] if len(shape) == 3 else [0, last, 1]  # of video: frames, then channels
    usual = [axis for axis in places if shape[axis] in _USUAL]
    # Height and width, which are often equal, are the axes next to the channels.
    space = {axis: shape[:axis] + shape[axis + 1 :] for axis in places}
    even = [axis for axis in places if space[axis][-2] == space[axis][-1]]
    among = [axis for axis in usual or places if axis in even] or usual or places
    sure = len(shape) == 3 and len(among) == 1 and (not even or among[0] in even)
    if len(among) > 1:
        colour = [axis for axis in usual if axis in among and shape[axis] == 3]
        least = min(among, key=lambda axis: shape[axis])
        small = [least] if 2 * shape[least] <= min(space[least]) else []
        among = colour or small or among
    return among[0], sure
