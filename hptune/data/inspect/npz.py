"""Looks at an npz file, by reading it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hptune.data.assemble import splits_of
from hptune.data.inspect.found import Arrays, noted, split_facts
from hptune.data.readers.npz import arrange, read_parts
from hptune.data.sanity import looked_at
from hptune.data.spec import DataSpec


def inspect_data(path: Path, target: str | None = None) -> Arrays:
    """Look at the inputs and targets of an npz file.

    Raises:
        InputError: It holds no inputs and targets that fit.
    """
    parts, notes = read_parts(path)
    content = arrange(parts, notes=notes)
    problems: list[str] = []
    facts = split_facts(content.parts, content.labels, content.classes, problems)
    warnings = tuple(content.notes)
    if not problems:
        spec = DataSpec(validation=facts["validation"], test=facts["test"])
        with noted(problems):
            warnings = looked_at(spec, splits_of(spec, content)).notes
    finite = content.inputs[np.isfinite(content.inputs)]
    return Arrays(
        reader=path.suffix.lower()[1:],
        path=path,
        **facts,
        warnings=warnings,
        problems=tuple(problems),
        shape=content.inputs.shape[1:],
        dtype=str(parts["train"][0].dtype),
        low=float(finite.min()) if finite.size else 0.0,
        high=float(finite.max()) if finite.size else 0.0,
    )
