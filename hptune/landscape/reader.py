"""Loss and metrics of a model on fixed data at any weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hptune.errors import InputError
from hptune.landscape.batches import BATCH_SIZE, EXAMPLES, Batches, fixed_batches, step_of
from hptune.landscape.objective import OnBatch
from hptune.task import MetricSpec, Task
from hptune.training.device import Device
from hptune.training.evaluation import evaluate
from hptune.training.statistics import fresh_statistics, running_modules

Weights = Mapping[str, Tensor]
Row = dict[str, float]


class Reader:
    """Reads loss and metrics on fixed data at any weights. Use as a context manager.

    Args:
        model: On its device.
        loss: See `hptune.landscape`.
        data: By name; averages are gathered from the first.
        metrics: By name.
        examples: Of each at most, None for all.
        batch_size: Examples a batch.
        ignored: Target that does not count.
        on_batch: Is told how many batches have been read.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Any,
        data: Mapping[str, Any],
        *,
        metrics: Mapping[str, MetricSpec] | None = None,
        examples: int | None = EXAMPLES,
        batch_size: int = BATCH_SIZE,
        ignored: int | None = None,
        on_batch: OnBatch | None = None,
    ) -> None:
        self.model, self._on_batch, self.done = model, on_batch, 0
        self.parameters = dict(model.named_parameters())
        self._device = Device(next(iter(self.parameters.values())).device)
        self._data: dict[str, Batches] = {
            name: fixed_batches(
                own, self._device.torch_device, examples=examples, batch_size=batch_size
            )
            for name, own in data.items()
        }
        first = next(iter(self._data.values()))
        self._gathered = list(first.batches()) if running_modules(model) else []
        self._task = Task(
            make_model=lambda: model, step=step_of(loss), train=first, validation=first,
            metrics=metrics or {}, ignored=ignored,
        )  # fmt: skip
        # What a point costs.
        counts = [len(list(own.batches())) for own in self._data.values()]
        self.batches = sum(counts) + len(self._gathered)

    def __enter__(self) -> Reader:
        self._before = {name: own.clone() for name, own in self.model.state_dict().items()}
        self._modes = {module: module.training for module in self.model.modules()}
        return self

    def __exit__(self, *error: object) -> None:
        self.model.load_state_dict(self._before)
        for module, training in self._modes.items():
            module.training = training

    def flat(self, weights: Weights) -> Tensor:
        """Return a state dict's parameters as one vector (N,).

        Raises:
            InputError: It is of another model.
        """
        parts = []
        for name, own in self.parameters.items():
            if name not in weights or weights[name].shape != own.shape:
                raise InputError(
                    f"solutions: {name} is not in all of them in the same shape; must be of one "
                    "architecture; give runs of the same model"
                )
            parts.append(weights[name].detach().reshape(-1).to(own.device, own.dtype))
        return torch.cat(parts)

    def at(self, weights: Tensor) -> Row:
        """Return loss and metrics on all data at weights (N,)."""
        with torch.no_grad():
            at = 0
            for own in self.parameters.values():
                own.copy_(weights[at : at + own.numel()].view(own.shape))
                at += own.numel()
        if not self._gathered:
            return self._read()
        with fresh_statistics(self._task, self.model, self._gathered, self._device):
            return self._read()

    def _read(self) -> Row:
        row: Row = {}
        for name, own in self._data.items():
            read = evaluate(self._task, self.model, own, self._device)
            row[f"{name}_loss"] = read.loss
            row |= {f"{name}_{metric}": value for metric, value in read.metrics.items()}
        self.done += self.batches
        if self._on_batch is not None:
            self._on_batch(self.done)
        return row
