"""What a loop of the user's own trains with, and which of it the loop has asked for."""

from __future__ import annotations

import torch

from hptune.own_loop.assignment import Assignment


class Given:
    """The values of a trial; those that the loop never reads, it does not train by.

    Attributes:
        iterations: Optimizer steps of the run.
        iterations_per_epoch: At this trial's batch size.
        iteration: The one in progress, from 0; -1 before the first.
        args: The loop's own hyper-parameters.
        device: Where hptune was asked to train.
    """

    def __init__(self, assignment: Assignment) -> None:
        self._trial = assignment.trial
        self.iterations = self._trial.iterations
        self.iterations_per_epoch = assignment.per_epoch
        self.args = dict(assignment.args)
        self.device = torch.device(assignment.device)
        self.iteration = -1
        self._reads: set[str] = set()

    @property
    def lr(self) -> float:
        """Maximum LR of the policy."""
        return self._read("lr")

    @property
    def momentum(self) -> float:
        """Maximum momentum, or beta1, of the policy."""
        return self._read("momentum")

    @property
    def weight_decay(self) -> float:
        """Weight decay."""
        return self._read("weight_decay")

    @property
    def batch_size(self) -> int:
        """Total batch size."""
        return int(self._read("batch_size"))

    @property
    def seed(self) -> int:
        """Seed of the run; the generators of torch, NumPy and Python have it already."""
        return self._trial.seed

    @property
    def epochs(self) -> float:
        """Length of the run in epochs."""
        return self.iterations / self.iterations_per_epoch

    @property
    def epoch(self) -> int:
        """The epoch of the iteration in progress, from 0."""
        return max(self.iteration, 0) // self.iterations_per_epoch

    def _read(self, name: str) -> float:
        self._reads.add(name)
        value: float = getattr(self._trial, name)
        return value
