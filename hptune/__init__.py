"""hptune: from a bare model and a data set to hyper-parameters, a trained model, and the reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hptune import schedulers
    from hptune.config.load import load_experiment
    from hptune.data import DataSpec, Splits
    from hptune.errors import HptuneError, InputError
    from hptune.procedure.tune import Outcome, Session
    from hptune.task import Task

__all__ = [
    "DataSpec",
    "HptuneError",
    "InputError",
    "Outcome",
    "Session",
    "Splits",
    "Task",
    "load_experiment",
    "schedulers",
]

# Where each public name lives; importing hptune imports none of it, torch least of all.
_HOMES = {
    "DataSpec": "hptune.data.spec",
    "HptuneError": "hptune.errors",
    "InputError": "hptune.errors",
    "Outcome": "hptune.procedure.tune",
    "Session": "hptune.procedure.tune",
    "Splits": "hptune.data.spec",
    "Task": "hptune.task",
    "load_experiment": "hptune.config.load",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "schedulers":
        return import_module("hptune.schedulers")
    if name not in _HOMES:
        raise AttributeError(f"module 'hptune' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
