"""What [tool.hptune] may set in a pyproject.toml."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, StrictBool

from hptune.section import Section

Text = Annotated[str, Field(min_length=1)]


class Defaults(Section):
    """Defaults of the shared options."""

    out: Text | None = None
    device: Text | None = None
    track: tuple[Text, ...] = ()
    quiet: StrictBool = False


class Tools(BaseModel):
    """The tables of all tools."""

    hptune: Defaults = Defaults()


class Project(BaseModel):
    """The file."""

    tool: Tools = Tools()
