"""The processes that train one trial together: each has a device, and a part of every batch.

Each runs the whole training loop. `torch.nn.parallel.DistributedDataParallel` gives all of them the
mean gradient of the batch, so that weights and decisions stay the same in all. The first one writes
the files and is listened to.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")
PATIENCE = 600.0  # seconds: how long a process waits for the others before it gives up
_LOOPBACK = {"linux": "lo", "darwin": "lo0"}


@dataclass(frozen=True)
class Ranks:
    """A process among those that train a trial together.

    Attributes:
        size: Devices of a trial.
        rank: Which of them is this process's, from 0.
        joined: Whether the others are there. If not, this one computes its part of a batch alone,
            as a measurement of time or memory does, and everything else whole.
        sync_batch_norm: Whether batch norms normalise over the whole batch, not over a device's part.
    """

    size: int = 1
    rank: int = 0
    joined: bool = False
    sync_batch_norm: bool = False

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and is listened to."""
        return self.rank == 0

    @property
    def part(self) -> tuple[int, int]:
        """Which part of what all read together is this process's, and of how many."""
        return (self.rank, self.size) if self.joined else (0, 1)

    def seed(self, seed: int) -> int:
        """Return the seed of what is drawn while training: the first process's is that of one alone."""
        if self.rank == 0:
            return seed
        return int(np.random.SeedSequence([seed, self.rank]).generate_state(1)[0])

    def total(self, values: Tensor) -> Tensor:
        """Return the sum over the processes."""
        if self.joined:
            dist.all_reduce(values := values.clone())
        return values

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the processes."""
        return self.total(values) / self.size if self.joined else values

    def shared(self, value: T) -> T:
        """Return the first process's value."""
        if self.joined:
            dist.broadcast_object_list(values := [value], src=0)
            (value,) = values
        return value

    def at_first(self, value: T) -> Sequence[T]:
        """Return the values of all processes in the first one; nothing in the others."""
        if not self.joined:
            return [value]
        values: list[Any] | None = [None] * self.size if self.leads else None
        dist.gather_object(value, values, dst=0)
        return values or []

    def share_buffers(self, model: nn.Module) -> None:
        """Give all processes the buffers of the first one, as each training pass begins with."""
        if self.joined:
            with torch.no_grad():
                for buffer in model.buffers():
                    dist.broadcast(values := buffer.contiguous(), 0)
                    buffer.copy_(values)

    def converted(self, model: nn.Module) -> nn.Module:
        """Return a model with batch norms that normalise over all devices, where that is asked for."""
        if self.joined and self.sync_batch_norm:
            return nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call, no-any-return]
        return model


ALONE = Ranks()


def join(ranks: Ranks, place: torch.device, meeting: Path) -> Ranks:
    """Connect this process with the others of a trial; returns once all are there.

    Args:
        ranks: Which one it is, of how many.
        place: Its device.
        meeting: A file that is not there yet, the same for all.

    Raises:
        RuntimeError: The others do not come, or cannot be reached.
    """
    if loopback := _LOOPBACK.get(sys.platform):
        # All are on this machine, whose name need not lead to it.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo",
        store=dist.FileStore(  # type: ignore[attr-defined]
            str(meeting), ranks.size
        ),
        rank=ranks.rank,
        world_size=ranks.size,
        timeout=timedelta(seconds=PATIENCE),
    )
    joined = replace(ranks, joined=True)
    joined.total(torch.ones((), device=place))
    joined.shared(None)
    return joined
