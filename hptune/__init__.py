"""hptune: from a bare model and a data set to hyper-parameters, a trained model, and the reasons."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hptune import landscape, schedulers
    from hptune.api.compare import compare
    from hptune.api.experiment import load_experiment
    from hptune.api.lightning import from_lightning
    from hptune.api.options import Options
    from hptune.api.run import lr_find, sweep, train, tune
    from hptune.api.task import Task
    from hptune.data import DataSpec, Splits
    from hptune.errors import HptuneError, InputError
    from hptune.own_loop.child import trial
    from hptune.own_loop.told import TrialEnded
    from hptune.own_loop.trial import Trial
    from hptune.prediction.load import load_run
    from hptune.prediction.predictions import Predictions
    from hptune.prediction.predictor import Predictor
    from hptune.procedure.outcome import Outcome
    from hptune.procedure.session.session import Session

__all__ = [
    "DataSpec",
    "HptuneError",
    "InputError",
    "Options",
    "Outcome",
    "Predictions",
    "Predictor",
    "Session",
    "Splits",
    "Task",
    "Trial",
    "TrialEnded",
    "compare",
    "from_lightning",
    "landscape",
    "load_experiment",
    "load_run",
    "lr_find",
    "schedulers",
    "sweep",
    "train",
    "trial",
    "tune",
]

# Where the public names live; importing hptune imports none of it, torch least of all.
_HOMES = {
    "hptune.api.compare": ("compare",),
    "hptune.api.lightning": ("from_lightning",),
    "hptune.api.options": ("Options",),
    "hptune.api.run": ("lr_find", "sweep", "train", "tune"),
    "hptune.api.task": ("Task",),
    "hptune.api.experiment": ("load_experiment",),
    "hptune.data.spec": ("DataSpec", "Splits"),
    "hptune.errors": ("HptuneError", "InputError"),
    "hptune.own_loop.child": ("trial",),
    "hptune.own_loop.told": ("TrialEnded",),
    "hptune.own_loop.trial": ("Trial",),
    "hptune.prediction.load": ("load_run",),
    "hptune.prediction.predictions": ("Predictions",),
    "hptune.prediction.predictor": ("Predictor",),
    "hptune.procedure.outcome": ("Outcome",),
    "hptune.procedure.session.session": ("Session",),
}


def __getattr__(name: str) -> Any:
    if name in ("landscape", "schedulers"):
        return import_module(f"hptune.{name}")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'hptune' has no attribute {name!r}")
