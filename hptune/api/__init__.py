"""The Python API: a task from one's own model and data, and the shell's commands as functions."""

from __future__ import annotations

from hptune.api.lightning import from_lightning
from hptune.api.options import Options
from hptune.api.results import LrFind, Result, Sweep, Trained, Tuned
from hptune.api.run import lr_find, sweep, train, tune
from hptune.api.task import Task

__all__ = [
    "LrFind",
    "Options",
    "Result",
    "Sweep",
    "Task",
    "Trained",
    "Tuned",
    "from_lightning",
    "lr_find",
    "sweep",
    "train",
    "tune",
]
