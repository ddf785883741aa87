"""Where a session works: a run directory that is of its experiment, or a stand-in for one."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hptune.config.load import dump, load_experiment
from hptune.config.named import how_to_train
from hptune.config.schema import Experiment, Training
from hptune.errors import InputError
from hptune.explain import short
from hptune.procedure.session.context import tuned
from hptune.results.atomic import write_atomic
from hptune.results.paths import RunPaths
from hptune.results.run_dir import RunDir
from hptune.results.settings import AUTO
from hptune.stages import OPTIMIZER, STAGES
from hptune.training.device import Device, resolve_device


def training_device(name: str, training: Training) -> Device:
    """Return the device of a name, and on how many like it each trial is trained.

    Raises:
        InputError: The device is unknown or absent, or lacks the precision.
    """
    return resolve_device(
        name,
        training.precision,
        devices=training.devices_per_trial,
        sync_batch_norm=training.batch_norm == "sync",
    )


def checked(experiment: Any, out: Any) -> Path:
    """Return where a session is to work, for whoever opens one in Python.

    Raises:
        InputError: These are no experiment and no path.
    """
    for name, value, kinds, rule in (
        ("experiment", experiment, (Experiment,), "what hptune.load_experiment returns"),
        ("out", out, (str, Path), "the path of a folder"),
    ):
        if not isinstance(value, kinds):
            raise InputError(f"{name}: {short(value)}; must be {rule}; give that")
    return Path(out)


def stand_in(out: Path) -> TemporaryDirectory[str]:
    """Return a folder to use in the place of a run directory, with what was measured there.

    Raises:
        InputError: The run directory is a file.
    """
    if out.exists() and not out.is_dir():
        raise InputError(
            f"--out: {out} is a file; must be a folder that can be written; give another --out"
        )
    folder = TemporaryDirectory(prefix="hptune-")
    timings = RunPaths(out).timings
    if timings.exists():
        shutil.copy(timings, folder.name)
    return folder


def check_same_experiment(run_dir: RunDir, experiment: Experiment, *, restart: bool) -> None:
    """Refuse a directory that holds another problem's decisions.

    Raises:
        InputError: It does.
    """
    if restart or not run_dir.experiment.exists() or not run_dir.rows():
        return
    try:
        there = load_experiment(run_dir.experiment)
    except InputError:
        return  # written by another version; the ids of its trials differ, nothing is mixed up
    decided = [d for d in run_dir.decisions() if d.parameter == STAGES[OPTIMIZER].parameter]
    # An optimizer that was open is, once it is decided on, the one that tuned.yaml has.
    there, experiment = (
        tuned(e, decided) if e.optimizer.name == AUTO else e for e in (there, experiment)
    )
    for section in ("data", "model", "loss", "optimizer"):
        if getattr(there, section) != getattr(experiment, section):
            raise InputError(
                f"--out: {run_dir.path} holds a run with another {section} section; a run directory "
                "belongs to one experiment; give another --out, or --restart"
            )


def write_tuned(run_dir: RunDir, experiment: Experiment) -> None:
    """Write the experiment that has every decided value, and how it is trained again."""
    write_atomic(run_dir.tuned, how_to_train(experiment) + dump(experiment))
