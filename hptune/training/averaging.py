"""The average of the weights over a run, which is evaluated, kept and tested in their place.

"swa" is the plain mean of the weights after every iteration from `training.average_start` on; "ema"
gives those of n iterations back a part decay^n, where the decay grows with the iterations that are
averaged up to `training.average_decay`: else the first weights would be most of a short run's average.

Source: Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization";
the growing decay is that of TensorFlow's ExponentialMovingAverage.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hptune.errors import InputError
from hptune.results.records import Trial
from hptune.training.optimizer import ScheduledOptimizer

START = {"swa": 0.75, "ema": 0.0}  # of the run, where nobody says
WARM_UP = 9  # iterations in which an "ema" of n of them has the decay n / (n + WARM_UP), at most


def first_averaged(trial: Trial) -> int:
    """Return the first iteration whose weights are part of the average; the last one is in any case."""
    settings = trial.settings
    assert settings.average is not None, "asked of trials that average"
    start = settings.average_start
    start = START[settings.average] if start is None else start
    return min(round(start * trial.iterations), trial.iterations - 1)


class Average:
    """The average of a model's trainable weights, beside the weights that train.

    Its memory is taken at once, not when averaging begins.

    Args:
        model: On its device; parts that are frozen for a while are trainable.
        optimizer: Of these weights.
        trial: Says which average.

    Raises:
        InputError: The optimizer averages the weights itself.
    """

    def __init__(self, model: nn.Module, optimizer: ScheduledOptimizer, trial: Trial) -> None:
        if optimizer.averages:
            raise InputError(
                f"training.average: {trial.settings.average} with optimizer {trial.optimizer.name}, "
                "which averages the weights itself; must be averaged once; leave one of the two out"
            )
        self._parameters: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
        self._average = [torch.zeros_like(p) for p in self._parameters]
        self._settings, self._first = trial.settings, first_averaged(trial)
        self._count = 0

    @property
    def has_begun(self) -> bool:
        """Whether there is an average."""
        return self._count > 0

    def update(self, iteration: int) -> None:
        """Take in the weights after an iteration."""
        if iteration < self._first:
            return
        n, weight = self._count, 1 / (self._count + 1)
        if self._settings.average == "ema":
            weight = 1 - min(self._settings.average_decay, n / (n + WARM_UP))
        with torch.no_grad():  # as `torch.optim.swa_utils.AveragedModel` does
            torch._foreach_lerp_(self._average, self._parameters, weight)
        self._count += 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the model's weights be the average in the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        with torch.no_grad():  # in the same memory: stacks and CUDA graphs have its address
            for own, average in zip(self._parameters, self._average, strict=True):
                kept = own.clone()
                own.copy_(average)
                average.copy_(kept)

    def state(self) -> dict[str, Any]:
        """Return what `load` takes back."""
        return {"average": [value.cpu() for value in self._average], "count": self._count}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a state of this trial, or of the one that it branches from."""
        for own, value in zip(self._average, state["average"], strict=True):
            own.copy_(value)
        self._count = state["count"]
