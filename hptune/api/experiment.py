"""An experiment from a file, for Python."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import SkipValidation

from hptune.api.words import public
from hptune.config import load
from hptune.config.schema import Experiment
from hptune.errors import InputError
from hptune.explain import short


@public
def load_experiment(
    path: Annotated[str | os.PathLike[str] | None, SkipValidation] = None,
    overrides: Annotated[Mapping[str, Any] | Sequence[str], SkipValidation] = (),
) -> Experiment:
    """Read an experiment, as the commands do.

    Args:
        path: A YAML file, None for the bundled digits.
        overrides: Values by their key paths, {"training.epochs": 20}, or "key.path=value" each.

    Raises:
        InputError: The file cannot be read, or says something that hptune does not understand.
    """
    if path is not None and not isinstance(path, str | os.PathLike):
        raise InputError(
            f"path: {short(path)}; must be the path of a YAML file, or None; correct it"
        )
    by_key = isinstance(overrides, Mapping)
    listed = isinstance(overrides, list | tuple)
    if not all(isinstance(one, str) for one in overrides) if by_key or listed else True:
        raise InputError(
            f"overrides: {short(overrides)}; must be a dict of key paths, or a list of key.path=value; "
            'write {"seed": 1}, say'
        )
    experiment = load.load_experiment(
        None if path is None else Path(path), () if by_key else list(overrides)
    )
    for key, value in overrides.items() if isinstance(overrides, Mapping) else ():
        experiment = load.with_value(experiment, key, value)
    return experiment
