"""Readings of the validation set along a trial: of which weights, with which running averages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from hptune.results.records import Trial
from hptune.task import Source, Task
from hptune.training.averaging import Average
from hptune.training.device import Device
from hptune.training.evaluation import PER_TRAINING_BATCH, Evaluation, evaluate
from hptune.training.optimizer import ScheduledOptimizer
from hptune.training.statistics import fresh_statistics, running_modules, statistics_batches


class Validation:
    """Reads a trial's validation set.

    Args:
        task, trial, device: Of the trial.
        model: In training.
        optimizer: Of its weights.
        train: What running averages are gathered from anew, on the device already.
        validation: What is read, on the device already.

    Attributes:
        average: Of the weights, where the trial averages them.

    Raises:
        InputError: The optimizer averages the weights itself.
    """

    def __init__(
        self,
        task: Task,
        trial: Trial,
        device: Device,
        *,
        model: nn.Module,
        optimizer: ScheduledOptimizer,
        train: Source,
        validation: Source,
    ) -> None:
        self._task, self._trial, self._device = task, trial, device
        self._model, self._optimizer, self._source = model, optimizer, validation
        settings = trial.settings
        self.average = Average(model, optimizer, trial) if settings.average else None
        gathers = (self.average or settings.fresh_statistics) and running_modules(model)
        self._batches = statistics_batches(train, trial.batch_size, trial.seed) if gathers else []

    @contextmanager
    def weights(self) -> Iterator[None]:
        """Let weights and running averages be those to read, to keep and to test in the block."""
        with self._optimizer.evaluating():
            if (average := self._begun) is None:
                yield
                return
            # Running averages are of the weights that train, not of their average.
            gathered = fresh_statistics(self._task, self._model, self._batches, self._device)
            with average.in_place(), gathered:
                yield

    def read(self) -> tuple[Evaluation, float | None]:
        """Read the validation set within `weights`.

        Returns:
            Loss and metrics; and the loss with the running averages as they are, where those of the
            reading were gathered anew for it alone.
        """
        evaluation = self._evaluate()
        if not self._batches or self._begun or not self._trial.settings.fresh_statistics:
            return evaluation, None
        with fresh_statistics(self._task, self._model, self._batches, self._device):
            return self._evaluate(), evaluation.loss

    @property
    def _begun(self) -> Average | None:
        """The average of the weights, once there is one."""
        return self.average if self.average and self.average.has_begun else None

    def _evaluate(self) -> Evaluation:
        return evaluate(
            self._task,
            self._model,
            self._source,
            self._device,
            limit=self._trial.settings.evaluate_limit,
            batch_size=PER_TRAINING_BATCH * self._trial.batch_size,
        )
