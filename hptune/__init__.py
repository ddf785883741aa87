"""hptune: from a bare model and a data set to hyper-parameters, a trained model, and the reasons."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hptune import schedulers
    from hptune.api.lightning import from_lightning
    from hptune.api.options import Options
    from hptune.api.run import lr_find, sweep, train, tune
    from hptune.api.task import Task
    from hptune.config.load import load_experiment
    from hptune.data import DataSpec, Splits
    from hptune.errors import HptuneError, InputError
    from hptune.procedure.session import Outcome, Session

__all__ = [
    "DataSpec",
    "HptuneError",
    "InputError",
    "Options",
    "Outcome",
    "Session",
    "Splits",
    "Task",
    "from_lightning",
    "load_experiment",
    "lr_find",
    "schedulers",
    "sweep",
    "train",
    "tune",
]

# Where each public name lives; importing hptune imports none of it, torch least of all.
_HOMES = {
    "DataSpec": "hptune.data.spec",
    "HptuneError": "hptune.errors",
    "InputError": "hptune.errors",
    "Options": "hptune.api.options",
    "Outcome": "hptune.procedure.session",
    "Session": "hptune.procedure.session",
    "Splits": "hptune.data.spec",
    "Task": "hptune.api.task",
    "from_lightning": "hptune.api.lightning",
    "load_experiment": "hptune.config.load",
    "lr_find": "hptune.api.run",
    "sweep": "hptune.api.run",
    "train": "hptune.api.run",
    "tune": "hptune.api.run",
}
_MODULES = ("schedulers",)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"hptune.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'hptune' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
