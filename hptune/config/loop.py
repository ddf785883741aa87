"""From an experiment to the task of a training loop of the user's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from hptune.config.schema import Experiment
from hptune.errors import InputError
from hptune.fingerprint import fingerprint
from hptune.own_loop.function import FunctionLoop
from hptune.own_loop.task import loop_task
from hptune.results.settings import AUTO
from hptune.task import Task
from hptune.user_code import find

BATCH_SIZE = 64  # that a loop is taken to have where nothing says so


def build_loop(experiment: Experiment, given: Task | None) -> Task:
    """Return the task of a loop.

    Args:
        experiment: Names the loop, or has its arguments.
        given: The task of a function that was given in Python.

    Raises:
        InputError: There is no such function, or what it needs is not said.
    """
    if experiment.optimizer.name == AUTO:
        raise InputError(
            "optimizer.name: auto; a training loop of your own makes its optimizer itself; leave it out"
        )
    if given is not None:
        assert isinstance(given.loop, FunctionLoop)
        function = given.loop.function
        return _function_task(function, experiment.loop.args, len(given.train))
    assert experiment.function is not None
    function = find(experiment.function, "function")
    return _function_task(function, experiment.loop.args, _examples(experiment))


def function_task(function: Callable[[Any], Any], examples: int) -> Task:
    """Return the task of a function of a trial.

    Raises:
        InputError: It cannot be called.
    """
    return _function_task(function, {}, examples)


def _function_task(function: Callable[[Any], Any], args: Mapping[str, Any], examples: int) -> Task:
    if not callable(function):
        raise InputError(
            f"function: a {type(function).__name__}; must be a function of a trial; correct the name"
        )
    identity = fingerprint(nn.Module(), [function], None)
    content = json.dumps([str(identity), dict(args), examples], sort_keys=True, default=str)
    return loop_task(
        FunctionLoop(function, args),
        examples=examples,
        name=getattr(function, "__name__", type(function).__name__),
        fingerprint=hashlib.sha256(content.encode()).hexdigest()[:12],
        code=identity.code,
    )


def _examples(experiment: Experiment) -> int:
    per_epoch = experiment.loop.iterations_per_epoch
    if per_epoch is None:
        raise InputError(
            "loop.iterations_per_epoch: not given; must be the optimizer steps of an epoch at "
            "hyper_parameters.batch_size; set it, or give --iterations-per-epoch"
        )
    return per_epoch * usual_batch_size(experiment)


def usual_batch_size(experiment: Experiment) -> int:
    """Return the batch size that a loop has where nothing else is decided or given."""
    return experiment.loop.batch_size or experiment.hyper_parameters.batch_size or BATCH_SIZE
