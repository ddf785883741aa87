"""Defaults of the shared options, from [tool.hptune] in ./pyproject.toml.

The command line comes before the environment (HPTUNE_OUT, ...), and that before the file.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hptune.errors import InputError, one_line


def file_defaults(path: Path) -> dict[str, Any]:
    """Return the defaults that a pyproject.toml sets.

    Raises:
        InputError: It is not TOML, or has a key or a value that hptune does not know.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: {one_line(error)}; must be TOML that can be read; correct it"
        ) from None
    if "hptune" not in content.get("tool", {}):
        return {}  # without pydantic, whose import takes longer than all else that a command needs
    from pydantic import ValidationError

    from hptune.cli.project import Project
    from hptune.explain import explain

    try:
        project = Project.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {explain(error, Project)}") from None
    return project.tool.hptune.model_dump(exclude_unset=True)
