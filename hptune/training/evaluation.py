"""Loss and metrics of a model over a split."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hptune.task import Batch, Source, Task
from hptune.training.device import Device
from hptune.training.freezing import train_mode

EVALUATION_BATCH = 1024  # examples at most
PER_TRAINING_BATCH = 4  # as many examples fit where a training batch does: there are no gradients


@dataclass(frozen=True)
class Evaluation:
    """Mean loss over the examples, and the metrics by name."""

    loss: float
    metrics: Mapping[str, float]


def batch_size_of(batch: Batch) -> int:
    """Return the number of examples in a batch: the length of the first tensor found in it."""
    return next((len(tensor) for tensor in tensors_in(batch) if tensor.ndim), 1)


def tensors_in(batch: Batch) -> Iterator[Tensor]:
    """Yield the tensors in a batch of any structure, in order."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping | list | tuple):
        for value in batch.values() if isinstance(batch, Mapping) else batch:
            yield from tensors_in(value)


def evaluate(
    task: Task,
    model: nn.Module,
    source: Source,
    device: Device,
    *,
    limit: int | None = None,
    batch_size: int = EVALUATION_BATCH,
) -> Evaluation:
    """Read a split without training, and leave the model in training mode.

    Args:
        task: Loss and metrics.
        model: On the device already.
        source: The split, on the device already.
        device: Gives the precision.
        limit: Examples to read at most, rounded up to whole batches; None reads all.
        batch_size: Examples a batch, up to `EVALUATION_BATCH`; the result does not depend on it.
    """
    model.eval()
    metrics = {name: spec.make() for name, spec in task.metrics.items()}
    total = torch.zeros((), device=device.torch_device, dtype=torch.float32)
    read, counted = 0, torch.zeros_like(total)
    batch_size = min(batch_size, EVALUATION_BATCH, limit or batch_size)
    # Not inference_mode: what a model caches on the way could not be trained with afterwards.
    with torch.no_grad(), device.autocast():
        for batch in source.batches(batch_size):
            size = batch_size_of(batch)
            loss, outputs, targets = task.step(model, batch)
            if outputs is not None:
                for metric in metrics.values():
                    metric.update(outputs, targets)
            if task.ignored is None:
                total += loss.float() * size
            else:  # the loss is the mean over the targets that count
                counts = (targets != task.ignored).sum()
                total += torch.where(counts > 0, loss.float() * counts, 0.0)
                counted += counts
            read += size
            if limit is not None and read >= limit:
                break
    train_mode(model)
    weight = max(read, 1) if task.ignored is None else float(counted)
    return Evaluation(
        loss=float(total) / weight if weight else math.nan,
        metrics={name: float(metric.compute()) for name, metric in metrics.items()},
    )
