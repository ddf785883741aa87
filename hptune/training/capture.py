"""Forward and backward pass as a CUDA graph: recorded once, replayed with one launch.

A small net leaves a GPU idle while the host launches its kernels one by one. What is recorded
is what the passes do on the device, so what a model decides on the host, step by step, is frozen:
whether a model trains the same is for `hptune.training.execution_mode` to find out.

Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from hptune.errors import one_line
from hptune.task import Batch
from hptune.training.device import random_state, restore_random_state

WARM_UP = 3  # passes before one is recorded: libraries choose their kernels in the first ones

Pass = Callable[[Batch], Tensor]
"""Leaves the gradients on a batch at the parameters; returns the loss or losses, detached."""
Replay = Callable[[], None]


# Of recordings in this process: one that fails leaves CUDA in a state that another cannot begin in.
_failed: list[str] = []


class Captured:
    """A pass that is recorded with its first batch and replayed with those like it.

    Where it cannot be recorded it is computed as it is, every time.

    Args:
        compute: The pass, over `models` on `device`.
        changed: What it changes beside buffers and gradients.

    Attributes:
        error: Why it could not be recorded.
    """

    def __init__(
        self,
        compute: Pass,
        models: Sequence[nn.Module],
        device: torch.device,
        changed: Sequence[Tensor] = (),
    ) -> None:
        self._compute, self._device = compute, device
        self._parameters = [p for model in models for p in model.parameters() if p.requires_grad]
        self._changed = [*changed, *(buffer for model in models for buffer in model.buffers())]
        self._replay: Replay | None = None
        self.error: str | None = None

    def __call__(self, batch: Batch) -> Tensor:
        """Leave the gradients on a batch at the parameters, and return its loss or losses."""
        self.record(batch)
        if self._replay is None or not self._is_alike(batch):
            return self._compute(batch)
        for own, new in zip(self._batch, batch, strict=True):
            own.copy_(new, non_blocking=True)
        self._replay()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        return self._losses.clone()

    def record(self, batch: Batch) -> None:
        """Record the pass with a batch, unless that was tried before; `error` says whether it failed."""
        if self._replay is None and self.error is None:
            try:
                self._capture(batch)
            except Exception as error:  # whatever the user's model does
                self.error = f"{type(error).__name__}: {one_line(error)}"

    def _capture(self, batch: Batch) -> None:
        if not isinstance(batch, list | tuple) or not all(isinstance(t, Tensor) for t in batch):
            raise TypeError("the batch is not a sequence of tensors")
        if _failed:
            raise RuntimeError(f"a recording failed before in this process ({_failed[0]})")
        self._batch: tuple[Tensor, ...] = tuple(part.clone() for part in batch)
        # Neither the passes before the recorded one nor a recording that fails must show: in running
        # means, in weights, in gradients, or in what is drawn afterwards.
        with as_before(self._changed, self._parameters, self._device):
            for n in range(WARM_UP):
                _drop_gradients(self._parameters)
                # A recording that fails leaves CUDA's random generators and memory pools unusable:
                # what waits for the device, the usual cause, has to be found before.
                with refusing_to_wait(self._device) if n == WARM_UP - 1 else nullcontext():
                    self._aside(lambda: self._compute(self._batch))
            _drop_gradients(self._parameters)
            try:
                self._losses, replay = cuda_graph(lambda: self._compute(self._batch), self._device)
            except Exception as error:
                _failed.append(one_line(error))
                raise
            self._gradients = [parameter.grad for parameter in self._parameters]
        self._replay = replay

    def _aside(self, do: Callable[[], Any]) -> None:
        """Do something on a stream of its own, as what is to be recorded has to run first."""
        if self._device.type != "cuda":
            do()
            return
        here, aside = torch.cuda.current_stream(self._device), new_stream(self._device)
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            do()
        here.wait_stream(aside)

    def _is_alike(self, batch: Batch) -> bool:
        """Say whether a batch is laid out as the recorded one; the last of a pass may be shorter."""
        return len(batch) == len(self._batch) and all(
            isinstance(new, Tensor) and new.shape == own.shape and new.dtype == own.dtype
            for own, new in zip(self._batch, batch, strict=True)
        )


@contextmanager
def refusing_to_wait(device: torch.device) -> Iterator[None]:
    """Let whatever waits for a GPU raise an error in the block."""
    if device.type != "cuda":
        yield
        return
    usual = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(usual)


def cuda_graph(compute: Callable[[], Tensor], device: torch.device) -> tuple[Tensor, Replay]:
    """Record a function as a CUDA graph; return where its losses stand, and what repeats it."""
    graph, stream = torch.cuda.CUDAGraph(), new_stream(device)
    # Another thread may pin memory meanwhile, for batches to come.
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        losses = compute()
    return losses, graph.replay


def new_stream(device: torch.device) -> torch.cuda.Stream:
    """Return one more stream of a GPU."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@contextmanager
def as_before(
    changed: Sequence[Tensor], parameters: Sequence[Tensor], device: torch.device
) -> Iterator[None]:
    """Put tensors and random states back as they were before the block, and drop gradients."""
    kept = [tensor.detach().clone() for tensor in changed]
    drawn = random_state(device)
    try:
        yield
    finally:
        restore_random_state(drawn, device)
        _drop_gradients(parameters)
        with torch.no_grad():
            for tensor, before in zip(changed, kept, strict=True):
                tensor.copy_(before)


def _drop_gradients(parameters: Sequence[Tensor]) -> None:
    for parameter in parameters:
        parameter.grad = None
