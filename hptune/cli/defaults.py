"""Defaults of the shared options, from [tool.hptune] in ./pyproject.toml.

The command line comes before the environment (HPTUNE_OUT, ...), and that before the file.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictBool, ValidationError

from hptune.config.explain import explain
from hptune.errors import InputError, one_line
from hptune.section import Section

Text = Annotated[str, Field(min_length=1)]


class _Defaults(Section):
    out: Text | None = None
    device: Text | None = None
    track: tuple[Text, ...] = ()
    quiet: StrictBool = False


class _Tools(BaseModel):
    hptune: _Defaults = _Defaults()


class _Project(BaseModel):
    tool: _Tools = _Tools()


def file_defaults(path: Path) -> dict[str, Any]:
    """Return the defaults that a pyproject.toml sets.

    Raises:
        InputError: It is not TOML, or has a key or a value that hptune does not know.
    """
    try:
        project = _Project.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise InputError(f"{path}: {explain(error, _Project)}") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: {one_line(error)}; must be TOML that can be read; correct it"
        ) from None
    return project.tool.hptune.model_dump(exclude_unset=True)
