"""The mean loss over fixed batches as a function of the weights, with gradient and Hessian.

Written by hand, and not curvlinops' own Hessian: that needs a loss of (outputs, targets) and layers
with a forward-mode derivative, this takes every step that training takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from hptune.errors import InputError
from hptune.landscape.batches import BATCH_SIZE, EXAMPLES, fixed_batches, step_of
from hptune.step import target_of
from hptune.training.evaluation import batch_size_of
from hptune.training.statistics import running_modules

BatchNorm = Literal["batch", "running"]
FloatArray = NDArray[Any]  # of float64
OnBatch = Callable[[int], None]
"""Is told how many batches have been gone through, each forth and back."""
DIFFERENCE = (
    1e-5  # step of a difference of gradients, of the norm that the weights have: few kinks of ReLU
)


class Objective:
    """A loss as a function of all weights that are trained. Use as a context manager.

    Dropout is off. A model is left as it was: weights, averages and modes. Computes in the model's
    own precision; vectors are float64 (N,), N weights in the order of `model.parameters()`.

    Args:
        model: On its device.
        loss: Of (outputs, targets), a step of a task, or None for the model's own.
        data: See `hptune.landscape`.
        examples: How many of them at most, None for all.
        batch_size: Where they are in no batches yet; with batch norm "batch" the loss depends on it.
        batch_norm: "batch" normalises by each batch, as training does; "running" by the averages
            that the model carries, as in use.
        ignored: Target that the loss leaves out.
        on_batch: Is told of the cost.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Any,
        data: Any,
        *,
        examples: int | None = EXAMPLES,
        batch_size: int = BATCH_SIZE,
        batch_norm: BatchNorm = "batch",
        ignored: int | None = None,
        on_batch: OnBatch | None = None,
    ) -> None:
        self.model, self._step, self._on_batch = model, step_of(loss), on_batch
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        if not self.parameters:
            raise InputError("model: no weight that is trained; must have some; unfreeze a layer")
        self.device = self.parameters[0].device
        source = fixed_batches(data, self.device, examples=examples, batch_size=batch_size)
        self.batches = list(source.batches())
        self.weights_of_batches = self._shares(ignored)
        self._batch_norm, self.done = batch_norm, 0  # batches gone through

    def __enter__(self) -> Self:
        self._still = still(self.model, self._batch_norm)
        self._still.__enter__()
        self.start = self.weights()
        return self

    def __exit__(self, *error: Any) -> None:
        self._still.__exit__(*error)

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.parameters)

    def weights(self) -> FloatArray:
        """Return the weights as they are."""
        return _flat(self.parameters)

    def move(self, weights: FloatArray) -> None:
        """Set the weights."""
        with torch.no_grad():
            for parameter, value in zip(self.parameters, self._parts(weights), strict=True):
                parameter.copy_(value)

    def loss(self) -> float:
        """Return the loss at the weights."""
        total = 0.0
        with torch.no_grad():
            for batch, share in zip(self.batches, self.weights_of_batches, strict=True):
                total += share * float(self._step(self.model, batch)[0])
                self._count()
        return total

    def gradient(self) -> tuple[float, FloatArray]:
        """Return loss and gradient (N,) at the weights."""
        total, gradient = 0.0, np.zeros(self.size)
        for batch, share in zip(self.batches, self.weights_of_batches, strict=True):
            loss = self._step(self.model, batch)[0]
            parts = torch.autograd.grad(loss, self.parameters, materialize_grads=True)
            total += share * float(loss.detach())
            gradient += share * _flat(parts)
            self._count()
        return total, gradient

    def product(self, vector: FloatArray) -> FloatArray:
        """Return Hessian times vector, (N,), by differentiating twice."""
        along, result = self._parts(vector), np.zeros(self.size)
        for batch, share in zip(self.batches, self.weights_of_batches, strict=True):
            # The other kernels of attention have no second derivative.
            with sdpa_kernel(SDPBackend.MATH):
                loss = self._step(self.model, batch)[0]
                first = torch.autograd.grad(
                    loss, self.parameters, create_graph=True, materialize_grads=True
                )
            curved = [(g, v) for g, v in zip(first, along, strict=True) if g.requires_grad]
            if curved:
                gradients, vectors = zip(*curved, strict=True)
                second = torch.autograd.grad(
                    gradients, self.parameters, vectors, materialize_grads=True
                )
                result += share * _flat(second)
            self._count()
        return result

    def difference(self, vector: FloatArray, gradient: FloatArray) -> FloatArray:
        """Return Hessian times vector, (N,), by the difference of two gradients, to about 1e-3.

        On a CPU several times as fast as the product, and for layers without a second derivative.

        Args:
            vector: (N,).
            gradient: At the weights, (N,).
        """
        here, norm = self.weights(), float(np.linalg.norm(vector))
        if norm == 0:
            return np.zeros(self.size)
        length = DIFFERENCE * max(float(np.linalg.norm(here)), 1.0) / norm
        self.move(here + length * vector)
        there = self.gradient()[1]
        self.move(here)
        return (there - gradient) / length

    def _shares(self, ignored: int | None) -> list[float]:
        """Return each batch's part of the mean, by its examples, or by its targets that count."""
        sizes = [
            batch_size_of(batch) if ignored is None else int((target_of(batch) != ignored).sum())
            for batch in self.batches
        ]
        if not sum(sizes):
            raise InputError("data: no target counts; must have some; look at more examples")
        # A batch in which nothing counts has no loss.
        self.batches = [b for b, size in zip(self.batches, sizes, strict=True) if size]
        return [size / sum(sizes) for size in sizes if size]

    def _count(self) -> None:
        self.done += 1
        if self._on_batch is not None:
            self._on_batch(self.done)

    def _parts(self, vector: FloatArray) -> list[Tensor]:
        parts, at = [], 0
        for p in self.parameters:
            part = torch.from_numpy(vector[at : at + p.numel()])
            parts.append(part.to(p.device, p.dtype).view(p.shape))
            at += p.numel()
        return parts


@contextmanager
def still(model: nn.Module, batch_norm: BatchNorm) -> Iterator[None]:
    """Let a model compute the same at every call; afterwards weights, averages and modes are as before.

    Dropout is off; batch norms go by the batch or by their averages.
    """
    modes = {module: module.training for module in model.modules()}
    state = [*model.parameters(), *model.buffers()]
    before = [tensor.detach().clone() for tensor in state]
    model.eval()
    if batch_norm == "batch":
        for module in running_modules(model):
            module.training = True  # itself, not what is in it
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(state, before, strict=True):
                tensor.copy_(value)
        for module, training in modes.items():
            module.training = training


def _flat(tensors: Any) -> FloatArray:
    flat = [t.detach().reshape(-1).double().cpu().numpy() for t in tensors]
    return np.concatenate(flat)
