"""The batches of a trial, in their order, and the gradients on one of them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hptune.errors import InputError
from hptune.results.records import Trial
from hptune.task import Batch, Source, Task
from hptune.training.capture import Pass
from hptune.training.device import Device
from hptune.training.lengths import iterations_per_epoch


def batches_from(source: Source, trial: Trial, first: int) -> Iterator[Batch]:
    """Yield the batches of a trial from an iteration on, without end; micro-batches where it accumulates.

    Args:
        source: The training split.
        trial: Its batch size, seed and accumulation.
        first: The iteration to begin with.

    Raises:
        InputError: The batch cannot be cut into so many parts.
    """
    accumulate = trial.settings.accumulate
    size, rest = divmod(trial.batch_size, accumulate)
    if rest:
        raise InputError(
            f"training.accumulate: {accumulate}; must divide the batch size {trial.batch_size}; "
            "choose a divisor"
        )
    per_epoch = iterations_per_epoch(len(source), trial.batch_size)
    epoch, skip = divmod(first, per_epoch)
    while True:
        wanted = (per_epoch - skip) * accumulate
        passing = source.batches(size, seed=trial.seed, epoch=epoch, skip=skip * accumulate)
        for _, batch in zip(range(wanted), passing, strict=False):
            yield batch
        epoch, skip = epoch + 1, 0


def gradients_of(
    task: Task, model: nn.Module, device: Device, scaler: torch.amp.GradScaler, accumulate: int
) -> Pass:
    """Return the pass that adds the gradients on a batch, and returns its share of the loss."""

    def gradients(batch: Batch) -> Tensor:
        with device.autocast():
            loss = task.step(model, batch)[0]
        if accumulate > 1:
            loss = loss / accumulate
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    return gradients
