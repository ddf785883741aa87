"""The whole procedure over an experiment and a run directory, stage by stage or in one go."""

from __future__ import annotations

from hptune.procedure.session.session import Session
from hptune.procedure.session.setup import Outcome

__all__ = ["Outcome", "Session"]
