"""From an experiment to the task of a training loop of the user's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from hptune.config.schema import Experiment
from hptune.errors import InputError
from hptune.fingerprint import fingerprint
from hptune.own_loop import output, placeholders
from hptune.own_loop.command import CommandLoop
from hptune.own_loop.function import FunctionLoop
from hptune.own_loop.sources import sources_of
from hptune.own_loop.task import BATCH_SIZE, loop_task
from hptune.task import Task
from hptune.user_code import find, name_of_command


def build_loop(experiment: Experiment, given: Task | None) -> Task:
    """Return the task of a loop.

    Args:
        experiment: Names the loop, or has its arguments.
        given: The task of a function that was given in Python.

    Raises:
        InputError: There is no such function, or what it needs is not said.
    """
    asked = [f"model.{key}" for key in experiment.model.methods]
    if asked := [*asked, *(f"data.{key}" for key in experiment.data.methods)]:
        raise InputError(
            f"{', '.join(asked)}: with a training loop of your own, which makes its model and reads its "
            "data itself; do it there; leave it out"
        )
    if experiment.model.freeze is not None or experiment.optimizer.layer_decay < 1:
        raise InputError(
            "model.freeze, optimizer.layer_decay: with a training loop of your own, which makes its "
            "model and optimizer itself; freeze there; leave them out"
        )
    if methods := experiment.training.methods:
        name, value = next(iter(methods.items()))
        raise InputError(
            f"training.{name}: {value} with a training loop of your own, which takes its steps and keeps "
            "its weights itself; do it there; leave it out"
        )
    if given is not None:
        assert isinstance(given.loop, FunctionLoop)
        function = given.loop.function
        return function_task(function, experiment.loop.args, len(given.train))
    if experiment.command is not None:
        return _command_task(experiment, experiment.command)
    assert experiment.function is not None
    function = find(experiment.function, "function")
    return function_task(function, experiment.loop.args, _examples(experiment))


def function_task(function: Callable[[Any], Any], args: Mapping[str, Any], examples: int) -> Task:
    """Return the task of a function of a trial.

    Raises:
        InputError: It cannot be called.
    """
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


def _command_task(experiment: Experiment, words: tuple[str, ...]) -> Task:
    loop = experiment.loop
    placeholders.check(words, list(loop.args))
    output.check(loop.metrics)
    code = sources_of(words, Path.cwd())
    made = CommandLoop(
        words=words,
        args=loop.args,
        metrics=loop.metrics,
        results=loop.results,
        timeout=loop.timeout,
    )
    # Of a command with placeholders an epoch is all that is known, and that is its iteration.
    counts_epochs = loop.iterations_per_epoch is None and bool(made.takes)
    size = experiment.hyper_parameters.batch_size or usual_batch_size(experiment)
    examples = size if counts_epochs else _examples(experiment)
    how = [words, dict(loop.args), loop.metrics, loop.results, code, examples]
    return loop_task(
        made,
        examples=examples,
        name=name_of_command(words),
        fingerprint=hashlib.sha256(json.dumps(how, default=str).encode()).hexdigest()[:12],
        code=code,
    )


def _examples(experiment: Experiment) -> int:
    per_epoch = experiment.loop.iterations_per_epoch
    if per_epoch is None:
        raise InputError(
            "loop.iterations_per_epoch: not given; must be the optimizer steps of an epoch at "
            "hyper_parameters.batch_size, for a script that asks for its trial by hptune.trial(); give "
            "--iterations-per-epoch, or have hptune fill in values, as in `--lr {lr}` of the command"
        )
    return per_epoch * usual_batch_size(experiment)


def usual_batch_size(experiment: Experiment) -> int:
    """Return the batch size that a loop has where nothing else is decided or given."""
    return experiment.loop.batch_size or experiment.hyper_parameters.batch_size or BATCH_SIZE
