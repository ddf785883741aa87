"""Looks at an npz file, with the reader's own rules for names and shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hptune.data.assemble import check_finite
from hptune.data.inspect.found import Arrays, noted, split_facts
from hptune.data.readers.npz import arrange, read_parts


def inspect_data(path: Path, target: str | None = None) -> Arrays:
    """Look at the inputs and targets of an npz file.

    Raises:
        InputError: It holds no inputs and targets that fit.
    """
    parts = read_parts(path)
    original = parts["train"][0]
    content = arrange(parts)
    problems: list[str] = []
    with noted(problems):
        check_finite(content.inputs)
    facts = split_facts(content.parts, content.labels, content.classes, problems)
    flattened = f"inputs of shape {original.shape[1:]} are flattened for the regression"
    finite = content.inputs[np.isfinite(content.inputs)]
    return Arrays(
        reader="npz",
        path=path,
        **facts,
        warnings=(flattened,) if original.ndim > 2 and not content.classes else (),
        problems=tuple(problems),
        shape=content.inputs.shape[1:],
        dtype=str(original.dtype),
        low=float(finite.min()) if finite.size else 0.0,
        high=float(finite.max()) if finite.size else 0.0,
    )
