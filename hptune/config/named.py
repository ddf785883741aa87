"""A task of Python that an experiment names by the function that makes it."""

from __future__ import annotations

import torch

from hptune.config.schema import Experiment
from hptune.data import GIVEN
from hptune.errors import InputError, one_line
from hptune.task import Task
from hptune.training.device import seeded
from hptune.user_code import find

_FROM_SHELL = (
    "# Made in Python by {}: `hptune train tuned.yaml` works where that can be imported.\n"
)
_FROM_PYTHON = """\
# Made in Python, from a Task that the shell cannot make: pass these values to hptune.train there.
# For the shell, put the Task into a function of a module, and give that: hptune.tune(module.function).
"""


def named_task(experiment: Experiment) -> Task:
    """Return the task that the experiment's function makes, under the seed of the run.

    Raises:
        InputError: There is no such function, or it makes none.
    """
    name = str(experiment.task)
    make = find(name, "task")
    if not callable(make):
        raise InputError(
            f"task: {name!r} is a {type(make).__name__}; must be a function that makes an hptune.Task; "
            "correct the name"
        )
    with seeded(experiment.seed, torch.device("cpu")):
        try:
            task = make()
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"task: {name!r} fails ({type(error).__name__}: {one_line(error)}); must return an "
                "hptune.Task; correct it"
            ) from error
    if not isinstance(task, Task):
        raise InputError(
            f"task: {name!r} returns a {type(task).__name__}; must return an hptune.Task; correct it"
        )
    tuned_on = experiment.data.args.get("content") if experiment.data.name == GIVEN else None
    if tuned_on is not None and tuned_on != getattr(task, "content", tuned_on):
        note = (
            f"{name} gives other data than those that the values of this experiment were decided on"
        )
        task = task.change(notes=(*task.notes, note))
    return task


def how_to_train(experiment: Experiment) -> str:
    """Return the comment at the head of tuned.yaml: how an experiment of Python is trained again."""
    if experiment.data.name != GIVEN or experiment.function or experiment.command:
        return ""
    return _FROM_PYTHON if experiment.task is None else _FROM_SHELL.format(experiment.task)
