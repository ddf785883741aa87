"""A trial outside hptune: the values of an experiment's file, and nobody who takes in what is told."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hptune.config.load import load_experiment
from hptune.errors import InputError
from hptune.own_loop.assignment import Assignment
from hptune.own_loop.told import TrialEnded
from hptune.results.records import Status, Trial
from hptune.stages import TRAIN
from hptune.training.device import resolve_device

_NEEDED = ("lr", "momentum", "weight_decay", "batch_size")


class Outside:
    """Takes in nothing but an end before the last iteration, of which it tells in a line."""

    def began(self, history: Mapping[str, Any] | None) -> None:
        """Do nothing."""

    def losses(self, values: list[float], seconds: float) -> None:
        """Do nothing."""

    def reading(self, iteration: int, values: Mapping[str, float]) -> None:
        """Do nothing."""

    def rehearsed(self, seen: Mapping[str, Any]) -> None:
        """Do nothing."""

    def ended(self, status: Status, message: str) -> None:
        """Tell why.

        Raises:
            TrialEnded: The run has diverged; a script ends with an exit code of 1.
        """
        if message:
            print(f"hptune: {message}", file=sys.stderr, flush=True)
        if status is Status.DIVERGED:
            raise TrialEnded(1)


def assignment_in(
    path: Path, *, iterations_per_epoch: int | None, seed: int | None, device: str
) -> Assignment:
    """Return the final run that an experiment's file describes.

    Args:
        path: A `tuned.yaml`, or any other experiment with these values.
        iterations_per_epoch: At the file's batch size; None takes what the file says.
        seed: None takes the file's.
        device: As for `--device`.

    Raises:
        InputError: The file cannot be read, or a value is missing.
    """
    experiment = load_experiment(path)
    values = experiment.hyper_parameters
    for name in _NEEDED:
        if getattr(values, name) is None:
            raise InputError(
                f"{path}: hyper_parameters.{name} is null; must have a value; give the tuned.yaml of a "
                "run, or write one"
            )
    assert values.lr is not None and values.momentum is not None
    assert values.weight_decay is not None and values.batch_size is not None
    if methods := experiment.training.methods:
        told = ", ".join(f"training.{name} {value}" for name, value in methods.items())
        print(f"hptune: {path} has {told}: not done here, but by the loop itself", file=sys.stderr)
    loop = experiment.loop
    per_epoch = iterations_per_epoch
    if per_epoch is None and loop.iterations_per_epoch is not None:
        at = loop.batch_size or values.batch_size
        per_epoch = loop.iterations_per_epoch * at // values.batch_size
    if not per_epoch:
        raise InputError(
            f"iterations_per_epoch: not given, nor in {path}; must be the optimizer steps of an epoch "
            f"at batch size {values.batch_size}; give iterations_per_epoch=len(loader), say"
        )
    trial = Trial(
        stage=TRAIN,
        task=experiment.name,
        seed=experiment.seed if seed is None else seed,
        iterations=max(1, round(experiment.training.epochs * per_epoch)),
        batch_size=values.batch_size,
        lr=values.lr,
        lr_min=values.lr_min,
        momentum=values.momentum,
        momentum_min=None if values.momentum_min == values.momentum else values.momentum_min,
        weight_decay=values.weight_decay,
        policy=experiment.policy,
        settings=experiment.training.settings(),
    )
    place = resolve_device(device, experiment.training.precision).torch_device
    return Assignment(
        trial=trial, per_epoch=per_epoch, device=str(place), args=loop.args, tests=True
    )
