"""A training function of the user's own in the place of an `hptune.Task`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from hptune.config.loop import function_task
from hptune.errors import InputError
from hptune.own_loop.task import BATCH_SIZE
from hptune.task import Task as Record
from hptune.user_code import name_to_find


class LoopTask(Record):
    """The task of a training function, with what the functions of hptune ask of a task.

    Args:
        function: Takes an `hptune.Trial`, and trains.
        iterations_per_epoch: Optimizer steps of an epoch at `batch_size`.
        batch_size: Total.

    Attributes:
        batch_size, optimizer, splits, content: As of `hptune.Task`.
        function: Its name in the YAML; None where it can be found by none.
    """

    def __init__(
        self, function: Callable[[Any], Any], *, iterations_per_epoch: int, batch_size: int
    ) -> None:
        made = function_task(function, {}, iterations_per_epoch * batch_size)
        super().__init__(**vars(made))
        self.iterations_per_epoch, self.function = iterations_per_epoch, name_to_find(function)
        self.batch_size: int | None = batch_size
        self.optimizer: Mapping[str, Any] | None = None
        self.splits: Mapping[str, int | str | None] = {"train": len(self.train)}
        self.content = ""  # what the function reads is part of its fingerprint


def loop_task(function: Any, options: dict[str, Any]) -> LoopTask:
    """Return the task of a function, by the options that belong to it, which are taken out.

    Raises:
        InputError: It is no function of a trial, or an option of it is missing or wrong.
    """
    if isinstance(function, nn.Module | type) or not callable(function):
        raise InputError(
            f"task: a {type(function).__name__}; must be an hptune.Task or a function of a trial; "
            "make one from model and data"
        )
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        raise InputError(
            f"task: {getattr(function, '__name__', function)}; must be a function that takes one "
            "argument, the trial; give its other arguments by functools.partial"
        ) from None
    except ValueError:  # of C, without a signature
        pass
    per_epoch = options.pop("iterations_per_epoch", None)
    size = options.get("batch_size", BATCH_SIZE)
    for name, value in (("iterations_per_epoch", per_epoch), ("batch_size", size)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(
                f"{name}: {value!r}; must be a whole number of at least 1, of the training loop; "
                "give iterations_per_epoch=len(loader), say"
            )
    return LoopTask(function, iterations_per_epoch=per_epoch, batch_size=size)
