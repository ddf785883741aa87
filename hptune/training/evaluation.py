"""Loss and metrics of a model over a split."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

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


def reading(device: Device, training_batch: int) -> dict[str, Any]:
    """Return in plain values how the test set is read, so that predictions come out the same."""
    size = min(PER_TRAINING_BATCH * training_batch, EVALUATION_BATCH)
    kind = device.torch_device.type
    return {"device": kind, "precision": device.precision, "batch_size": size}


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

    Processes that train together read every so many batches each. The first one takes their outputs
    into the metrics, in order, and all get its result.

    Args:
        task: Loss and metrics.
        model: On the device already.
        source: The split, on the device already.
        device: Gives the precision.
        limit: Examples to read at most, rounded up to whole batches; None reads all.
        batch_size: Examples a batch, up to `EVALUATION_BATCH`; the result does not depend on it.
            Divided among processes that read together.
    """
    ranks = device.ranks
    part, parts = ranks.part
    model.eval()
    metrics = {name: spec.make() for name, spec in task.metrics.items()}
    for metric in metrics.values():
        for module in metric.modules() if hasattr(metric, "modules") else ():
            # Those of torchmetrics would ask the other processes, of which none has anything.
            module.distributed_available_fn = lambda: False
    total = torch.zeros((), device=device.torch_device, dtype=torch.float32)
    read, counted = 0, torch.zeros_like(total)
    batch_size = min(batch_size, EVALUATION_BATCH, limit or batch_size)
    batches = math.ceil(min(len(source), limit or len(source)) / batch_size)
    examples = min(len(source), batches * batch_size)
    batch_size = math.ceil(batch_size / parts)
    own = source.batches(batch_size, skip=part, every=parts)
    # Not inference_mode: what a model caches on the way could not be trained with afterwards.
    with torch.no_grad(), device.autocast():
        # Processes take turns as often as each other; one alone reads whatever batches there are.
        turns = range(math.ceil(examples / (parts * batch_size))) if parts > 1 else count()
        for _ in turns:
            if parts == 1 and limit is not None and read >= limit:
                break
            outputs = targets = None
            if (batch := next(own, None)) is None and parts == 1:
                break
            if batch is not None:
                size = batch_size_of(batch)
                loss, outputs, targets = task.step(model, batch)
                if task.ignored is None:
                    total += loss.float() * size
                else:  # the loss is the mean over the targets that count
                    counts = (targets != task.ignored).sum()
                    total += torch.where(counts > 0, loss.float() * counts, 0.0)
                    counted += counts
                read += size
            for read_outputs, read_targets in _all(outputs, targets, device) if metrics else ():
                if read_outputs is not None:
                    for metric in metrics.values():
                        metric.update(read_outputs, read_targets)
    train_mode(model)
    if parts > 1:
        sums = ranks.total(torch.stack([total, counted, total.new_tensor(read)]))
        total, counted, read = sums[0], sums[1], int(sums[2])
    weight = max(read, 1) if task.ignored is None else float(counted)
    values = {name: float(m.compute()) for name, m in metrics.items()} if ranks.leads else {}
    loss_of_all = float(total) / weight if weight else math.nan
    return ranks.shared(Evaluation(loss=loss_of_all, metrics=values))


def _all(outputs: Any, targets: Any, device: Device) -> Iterator[tuple[Any, Any]]:
    """Yield outputs and targets of all processes that read together, in the first of them."""
    if not device.ranks.joined:
        yield outputs, targets
        return
    sent = (_moved(outputs, torch.device("cpu")), _moved(targets, torch.device("cpu")))
    for received in device.ranks.at_first(sent):
        yield _moved(received[0], device.torch_device), _moved(received[1], device.torch_device)


def _moved(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value
