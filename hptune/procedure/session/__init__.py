"""The whole procedure over an experiment and a run directory, stage by stage or in one go."""

from __future__ import annotations

from hptune.procedure.context import Outcome
from hptune.procedure.session.session import Session

__all__ = ["Outcome", "Session"]
