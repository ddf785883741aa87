"""A model's loss through torch.compile: one graph a shape, which all trials of a process share.

Importing the compiler takes a second, and a graph up to minutes, so nothing of it is touched where a
trial is not compiled. Where it is: see `hptune.training.compiling`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor, nn

from hptune.errors import one_line
from hptune.step import Step
from hptune.task import Batch
from hptune.training.capture import as_before

GRAPHS = 64  # of a process at most, which the compiler would limit to 8; others run as they are
_Loss = Callable[[Step, nn.Module, Batch], Tensor]


class CompiledLoss:
    """Computes a model's loss on a batch, compiled; as it is where the first batch shows that it cannot be.

    Args:
        model, step: The step computes the loss of the model.
        device: Of the model.

    Attributes:
        error: Why it could not be compiled.
    """

    def __init__(self, model: nn.Module, step: Step, device: torch.device) -> None:
        self._model, self._step, self._device = model, step, device
        self._compute: Callable[[Batch], Tensor] | None = None
        self.error: str | None = None

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss, ()."""
        if self._compute is None:
            self._compute = self._tried(batch)
        return self._compute(batch)

    def _tried(self, batch: Batch) -> Callable[[Batch], Tensor]:
        """Return the compiled loss, both of whose passes were tried on a batch without a trace."""
        as_it_is = partial(_loss, self._step, self._model)
        parameters = [p for p in self._model.parameters() if p.requires_grad]
        try:
            with as_before(list(self._model.buffers()), parameters, self._device):
                with torch.no_grad():
                    as_it_is(batch)  # what a step finds out once is not to be compiled
                compiled = partial(_compiled(), self._step, self._model)
                with torch._dynamo.config.patch(recompile_limit=GRAPHS):
                    compiled(batch).backward()  # type: ignore[no-untyped-call]
        except (
            Exception
        ) as error:  # of the compiler, or of the model: that is told by the pass itself
            self.error = f"{type(error).__name__}: {one_line(error)}"
            return as_it_is
        return compiled


def _loss(step: Step, model: nn.Module, batch: Batch) -> Tensor:
    # The model is an argument: what is compiled for one holds for others of the kind.
    return step(model, batch)[0]


@cache
def _compiled() -> _Loss:
    import torch._dynamo  # the compiler

    # What is drawn is what a model draws as it is, so compiled trials stay paired with others.
    options: dict[str, str | int | bool | Callable[..., object]] = {"fallback_random": True}
    return torch.compile(_loss, dynamic=False, options=options)
