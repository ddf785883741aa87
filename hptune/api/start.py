"""A model that was given as an object: trials train copies of it, from the same weights after a resume."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from hptune.errors import InputError
from hptune.fingerprint import digest_of_weights
from hptune.task import Task
from hptune.training.snapshot import load_state, model_state, save_state

_ATTACHED = ("_trainer", "_fabric")  # by Lightning; no part of the module


@dataclass(frozen=True)
class CopyOf:
    """Makes copies of a module.

    Attributes:
        module: What is copied, without the Trainer that it may be attached to.
        weights: To start from; None for the module's own.
    """

    module: nn.Module
    weights: Mapping[str, Tensor] | None = None

    def __call__(self, **args: Any) -> nn.Module:
        """Return a fresh copy, which takes no other arguments than its own."""
        if args:
            raise InputError(
                f"model.args: {args}; the module was given as an object, which has its arguments; give a "
                "function of these that makes it, in its place"
            )
        attached = [getattr(self.module, name, None) for name in _ATTACHED]
        copied = deepcopy(self.module, {id(one): None for one in attached if one is not None})
        if self.weights is not None:
            copied.load_state_dict(self.weights)
        return copied


def with_kept_start(
    task: Any, out: Path, restart: bool, tell: Callable[[str], None]
) -> tuple[Task, Callable[[], None]]:
    """Return a task whose copies start from the weights that a run directory keeps, and what keeps them.

    A script that makes its module without a seed makes other weights each time; a run goes on
    from those that it began with. Other models come from their factory, under a seed.

    Args:
        task: What the user gave, an `hptune.Task`.
        out: The run directory.
        restart: Whether the weights given now take the place of those kept.
        tell: Is told in a line where the weights given are not used.
    """
    if not isinstance(task.make_model, CopyOf):
        return cast("Task", task), lambda: None
    path = out / "snapshots" / f"start-{task.identity.structure[:12]}.pt"
    state = None if restart else load_state(path)
    if state is None:
        return cast("Task", task), partial(
            save_state, path, {"model": model_state(task.make_model())}
        )
    start = replace(task.make_model, weights=state["model"])
    kept = digest_of_weights(start())
    if kept != task.identity.weights:
        tell(
            f"module: starts from the weights kept in {out}, not from those given now; --restart "
            "starts from these"
        )
    identity = str(replace(task.identity, weights=kept))
    return task.change(make_model=start, fingerprint=identity), lambda: None
