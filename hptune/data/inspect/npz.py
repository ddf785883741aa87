"""Looks at an npz file, with the reader's own rules for names and shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hptune.data.inspect.found import Arrays
from hptune.data.inspect.splits import noted, split_facts
from hptune.data.readers.npz import arrange, check_finite, read_parts
from hptune.data.split import places


def inspect_data(path: Path, target: str | None = None) -> Arrays:
    """Look at the inputs and targets of an npz file.

    Raises:
        InputError: It holds no inputs and targets that fit.
    """
    parts = read_parts(path)
    original = parts["train"][0]
    inputs, targets, classes = arrange(parts)
    problems: list[str] = []
    with noted(problems):
        check_finite(inputs)
    at = places({name: len(y) for name, (_, y) in parts.items()})
    facts = split_facts(at, targets if classes else None, classes, problems)
    shape = inputs.shape[1:]
    flattened = not classes and original.ndim > 2
    finite = inputs[np.isfinite(inputs)]
    return Arrays(
        reader="npz",
        path=path,
        **facts,
        warnings=(f"inputs of shape {original.shape[1:]} are flattened for the regression",)
        * flattened,
        problems=tuple(problems),
        shape=shape,
        dtype=str(original.dtype),
        low=float(finite.min()) if finite.size else 0.0,
        high=float(finite.max()) if finite.size else 0.0,
    )
