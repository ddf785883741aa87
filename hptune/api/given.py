"""What is to be tuned, in every form in which it may be given."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from hptune.api.loop import LoopTask, loop_task
from hptune.api.task import Task
from hptune.errors import InputError, one_line
from hptune.training.device import seeded
from hptune.user_code import find, importable_name


def given_task(given: Any, options: dict[str, Any]) -> Task | LoopTask:
    """Return the task that a user means.

    Args:
        given: An `hptune.Task`; a function without arguments that makes one, or its name
            "package.module:function"; or a function of a trial, a training loop.
        options: Those that belong to a training loop are taken out.

    Raises:
        InputError: It is none of these.
    """
    if isinstance(given, str):
        if ":" not in given:
            raise InputError(
                f"task: {given!r}; must be an hptune.Task, or package.module:function that makes one; "
                "correct it"
            )
        given = find(given, "task")
    if isinstance(given, Task):
        return given
    if not makes_a_task(given):
        return loop_task(given, options)
    with seeded(int(options.get("seed", 0)), torch.device("cpu")):
        try:
            task = given()
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"task: {given.__name__} fails ({type(error).__name__}: {one_line(error)}); must return an "
                "hptune.Task; correct it"
            ) from error
    if not isinstance(task, Task):
        raise InputError(
            f"task: {given.__name__} returns a {type(task).__name__}; must return an hptune.Task; "
            "correct it"
        )
    task.maker = importable_name(given)
    return task


def makes_a_task(given: Any) -> bool:
    """Say whether this is a function that takes nothing; one of a trial takes the trial."""
    if not callable(given) or isinstance(given, nn.Module | type):
        return False
    try:
        inspect.signature(given).bind()
    except (TypeError, ValueError):
        return False
    return True
