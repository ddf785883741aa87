"""A task whose training loop is the user's own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hptune.errors import InputError
from hptune.results.records import Trial
from hptune.step import Read
from hptune.task import Batch, Loop, MetricSpec, Source, Task
from hptune.training.device import Device

BATCH_SIZE = 64  # that a loop is taken to have where nothing says so
READ_FOR_TRAINED = 3  # examples that are read in the time in which one is trained
# Words in the names of metrics that are better the lower they are; of any other, higher is better.
_LOWER = {
    "loss",
    "error",
    "err",
    "perplexity",
    "ppl",
    "mse",
    "mae",
    "rmse",
    "nll",
    "fid",
    "wer",
    "cer",
}


@dataclass(frozen=True)
class Counted:
    """Examples that only the user's loop knows: their number is all that is said of them."""

    examples: int

    def __len__(self) -> int:
        return self.examples

    def to(self, device: torch.device) -> Source:
        """Return itself."""
        return self

    def batches(
        self,
        batch_size: int,
        *,
        seed: int | None = None,
        epoch: int = 0,
        skip: int = 0,
        every: int = 1,
    ) -> Iterator[Batch]:
        """Refuse: the loop reads its data itself."""
        raise _own()


class _OwnStep:
    stackable = False

    def __call__(self, model: nn.Module, batch: Any) -> Read:
        raise _own()


def _own() -> InputError:
    return InputError(
        "model and data: belong to a training loop of your own, which hptune only calls; are not "
        "known to it; use what your loop saves"
    )


def _no_model(**args: Any) -> nn.Module:
    raise _own()


def loop_task(
    loop: Loop, *, examples: int, name: str, fingerprint: str, code: Mapping[str, str]
) -> Task:
    """Return the task of a loop, before its rehearsal.

    Args:
        loop: The user's.
        examples: In the training set: of an epoch.
        name: For the tables.
        fingerprint: Of the loop and its own hyper-parameters.
        code: The user's source files, with digests.
    """
    return Task(
        make_model=_no_model,
        step=_OwnStep(),
        train=Counted(examples),
        validation=Counted(examples),
        data="own loop",
        model=name,
        fingerprint=fingerprint,
        code=code,
        loop=loop,
    )


def rehearsed(
    task: Task, seen: Mapping[str, Any], batch_size: int, examples: int | None = None
) -> Task:
    """Return the task of a loop with what its rehearsal has shown.

    Args:
        batch_size: Of the rehearsal.
        examples: Of the validation set; where nobody says, it counts as many as a reading takes time.
    """
    if examples is not None:
        seen = {**seen, "validation_examples": examples}
    iterations = seen["evaluation_seconds"] / (seen["iteration_seconds"] or 1.0)
    # To a power of two, for times differ from one measurement to the next.
    cost = 2 ** round(math.log2(max(iterations * batch_size * READ_FOR_TRAINED, 1)))
    return task.change(
        seen=seen,
        metrics=metric_specs(seen["metrics"]),
        validation=Counted(examples or cost),
        notes=tuple(seen.get("notes", ())),
    )


def metric_specs(names: Sequence[str]) -> dict[str, MetricSpec]:
    """Return metrics that a loop computes itself; which way is better, their names say."""
    return {
        name: MetricSpec(_no_metric, higher_is_better=_LOWER.isdisjoint(name.lower().split("_")))
        for name in names
    }


def rehearse(task: Task, trial: Trial, device: Device) -> Mapping[str, Any]:
    """Rehearse the loop of a task, and return what that shows.

    Raises:
        InputError: The loop fails, or cannot be tuned.
    """
    assert task.loop is not None
    seen = task.loop.rehearse(task, trial, device)
    if "lr" not in seen["reads"] and seen["iteration_seconds"] is not None:
        raise InputError(
            f"{task.model}: neither reads trial.lr nor calls trial.schedule; must train by the "
            "trial's LR; write schedule = trial.schedule(optimizer), and schedule.step() after each "
            "step"
        )
    return seen


def _no_metric() -> Any:
    raise _own()
