"""The user's own code by "package.module:name"."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from hptune.errors import InputError


def find(name: str, key: str) -> Any:
    """Return the object at "package.module:name"; the current folder is searched too.

    Args:
        name: As the user writes it.
        key: Where the user wrote it, for the error.

    Raises:
        InputError: It cannot be imported.
    """
    module_name, _, attribute = name.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise InputError(
            f"{key}: {name!r}; module {module_name} cannot be imported "
            f"({type(error).__name__}: {' '.join(str(error).split())[:120]}); it must be on the "
            "path or in the current folder"
        ) from error
    if not hasattr(module, attribute):
        raise InputError(
            f"{key}: {name!r}; module {module_name} has no {attribute!r}; correct the name"
        )
    return getattr(module, attribute)
