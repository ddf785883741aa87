"""Running averages of normalisation layers, gathered anew before a reading.

In evaluation mode a batch norm uses averages over its past steps. Where the weights move fast these
lag behind, and the validation loss breaks long before training does: it shows the averages, not the
net. Gathered anew from a few training batches with the present weights, they do not.

Source: Wu and Johnson 2021, "Rethinking 'Batch' in BatchNorm", section 3 (precise statistics).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import torch
from torch import Tensor, nn

from hptune.task import Batch, Source, Task
from hptune.training.device import Device
from hptune.training.freezing import is_frozen, train_mode

EXAMPLES = 256  # that the averages are over, at least
BATCHES = (2, 8)  # at least and at most: one batch alone is a sample, many take long


def running_modules(model: nn.Module) -> list[nn.Module]:
    """Return the modules that keep averages of what passes through them, the user's own among them.

    Known by a floating buffer `running_...`, as all of torch's have. Those that are frozen keep theirs.
    """
    return [m for m in model.modules() if _averages(m) and not is_frozen(m)]


def batch_norms(model: nn.Module) -> list[nn.Module]:
    """Return the modules whose outputs or averages depend on which examples come in one batch."""
    known = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
    return [m for m in model.modules() if isinstance(m, known) or _averages(m)]


def statistics_batches(source: Source, batch_size: int, seed: int) -> list[Batch]:
    """Return the training batches that averages are gathered from, the same for every reading."""
    low, high = BATCHES
    wanted = min(max(math.ceil(EXAMPLES / batch_size), low), high)
    return list(islice(source.batches(batch_size, seed=seed), wanted))


@contextmanager
def fresh_statistics(
    task: Task, model: nn.Module, batches: Sequence[Batch], device: Device
) -> Iterator[None]:
    """Let the model's running averages be those over some batches; afterwards they are as before.

    Nothing else changes, nor do the random states: all other modules, such as dropout, stay in
    evaluation mode meanwhile.

    Args:
        task: Says how a batch goes through the model.
        model: On the device already.
        batches: Training batches, on the device already.
        device: Gives the precision.
    """
    modules = running_modules(model)
    buffers = [buffer for module in modules for buffer in module.buffers(recurse=False)]
    before = [buffer.clone() for buffer in buffers]
    momenta = [getattr(module, "momentum", None) for module in modules]
    model.eval()
    try:
        for module in modules:
            module.training = True  # itself, not what is in it
            if hasattr(module, "momentum"):
                for average in _averages(module):
                    average.zero_()  # of what overflowed nothing else would be left
        with torch.no_grad(), device.autocast():
            for count, batch in enumerate(batches, 1):
                for module in modules:
                    if hasattr(module, "momentum"):
                        # The plain average of the first, of the first two, ...: nothing is left
                        # of what was there.
                        module.momentum = 1 / count  # type: ignore[assignment]
                task.step(model, batch)
        yield
    finally:
        for module, momentum in zip(modules, momenta, strict=True):
            if hasattr(module, "momentum"):
                module.momentum = momentum  # type: ignore[assignment]
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)
        train_mode(model)


def _averages(module: nn.Module) -> list[Tensor]:
    return [
        buffer
        for name, buffer in module.named_buffers(recurse=False)
        if name.startswith("running_") and buffer.is_floating_point()
    ]
