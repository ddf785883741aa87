"""An optimizer's step that reads LR and momentum from the device, so that it can be recorded.

What is recorded repeats the numbers that it was recorded with. So LR and momentum of all iterations
to come, with what follows from them such as bias corrections, are rows of a table on the device, and a
step reads the next one. The operations are those of torch's own `foreach` steps, on the buffers and
moments that the optimizer owns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hptune.training.nadamw import NAdamW

Group = dict[str, Any]
Values = NDArray[np.float64]
Tensors = list[Tensor] | tuple[Tensor, ...]


class DeviceStep:
    """Steps of an optimizer that has taken one, the quickest way that can be recorded.

    Args:
        optimizer: Of a class that is known here.
        rates: LR and momentum of the iterations to come (N, 2).
        scales: By group, what its LR is multiplied with.

    Raises:
        ValueError: Its steps cannot be recorded; the message says why.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        rates: Sequence[tuple[float, float]],
        scales: Sequence[float],
    ) -> None:
        if (make := _UPDATES.get(type(optimizer))) is None:
            raise ValueError(f"steps of {type(optimizer).__name__} are not recorded")
        lr, momentum = np.asarray(rates, dtype=np.float64).T
        self._updates = [
            make(optimizer, group, scale * lr, momentum)
            for group, scale in zip(optimizer.param_groups, scales, strict=True)
            if any(p.requires_grad for p in group["params"])  # else it is frozen
        ]
        table = np.stack([update.table for update in self._updates], axis=1)
        # Whoever times steps may take more of them than the trial has: with the last numbers.
        table = np.concatenate([table, table[-1:]])
        self._parameters = [p for update in self._updates for p in update.parameters]
        device = self._parameters[0].device
        self._table_NGC = torch.from_numpy(table.astype(np.float32)).to(device)
        self._taken = torch.zeros(1, dtype=torch.int64, device=device)
        self._most = len(table) - 1

    def __call__(self) -> None:
        """Update the parameters from their gradients.

        Raises:
            ValueError: A parameter has no gradient.
        """
        with torch.no_grad():
            row_GC = self._table_NGC.index_select(0, self._taken)[0]
            for update, values_C in zip(self._updates, row_GC, strict=True):
                gradients = [p.grad for p in update.parameters if p.grad is not None]
                if len(gradients) < len(update.parameters):
                    raise ValueError("a parameter without a gradient")
                update(gradients, values_C)
            self._taken.add_(1).clamp_(max=self._most)

    @property
    def changed(self) -> list[Tensor]:
        """What a step changes."""
        states = [value for update in self._updates for value in update.changed]
        return [*self._parameters, *states, self._taken]

    def settle(self) -> None:
        """Bring what the optimizer counts up to the steps that were taken; waits for the device."""
        taken = int(self._taken)
        for update in self._updates:
            update.settle(taken)


class _Update:
    """Of a group: what its steps read from the table, and how they update.

    Attributes:
        parameters: Of the group.
        table: (N, C) values by iteration.
    """

    states: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, optimizer: torch.optim.Optimizer, group: Group, lr: Values, momentum: Values
    ) -> None:
        unusual = ("maximize", "amsgrad", "differentiable")
        parameters = [p for p in group["params"] if p.requires_grad]
        if len({(p.device, p.dtype) for p in parameters}) > 1 or any(map(group.get, unusual)):
            raise ValueError("the optimizer's options are unusual")
        self.parameters: list[Tensor] = parameters
        self._group = group
        try:
            self._state = [optimizer.state[p] for p in parameters]
            self._lists = [[own[name] for own in self._state] for name in self.states]
        except KeyError as error:
            raise ValueError(f"the optimizer keeps no {error.args[0]}") from None
        self.table = self._values(lr, momentum)

    @property
    def changed(self) -> list[Tensor]:
        """Buffers or moments."""
        return [tensor for tensors in self._lists for tensor in tensors]

    def settle(self, taken: int) -> None:
        """Set what the optimizer counts."""

    def _values(self, lr: Values, momentum: Values) -> Values:
        raise NotImplementedError

    def __call__(self, gradients: Tensors, values: Tensor) -> None:
        """Update from gradients and a row of the table."""
        raise NotImplementedError

    def _with_decay(self, gradients: Tensors) -> Tensors:
        if self._group["weight_decay"] == 0:
            return gradients
        decay: float = self._group["weight_decay"]
        return torch._foreach_add(gradients, self.parameters, alpha=decay)


class _SGD(_Update):
    """SGD, with Nesterov's momentum or without."""

    states = ("momentum_buffer",)

    def _values(self, lr: Values, momentum: Values) -> Values:
        if not momentum.all() or any(buffer is None for buffer in self._lists[0]):
            raise ValueError(
                "the momentum is 0 in some iterations"
            )  # which leave the buffers alone
        return np.stack([momentum, -lr], axis=1)

    def __call__(self, gradients: Tensors, values: Tensor) -> None:
        (buffers,), (momentum, minus_lr) = self._lists, values
        gradients = self._with_decay(gradients)
        torch._foreach_mul_(buffers, momentum)
        torch._foreach_add_(buffers, gradients, alpha=1 - self._group["dampening"])
        steps: Tensors = buffers
        if self._group["nesterov"]:
            steps = torch._foreach_mul(buffers, momentum)
            torch._foreach_add_(steps, gradients)
        torch._foreach_add_(self.parameters, torch._foreach_mul(steps, minus_lr))


class _Adam(_Update):
    """Adam and AdamW."""

    states = ("exp_avg", "exp_avg_sq")

    def _values(self, lr: Values, momentum: Values) -> Values:
        counts = {float(own["step"]) for own in self._state}
        if len(counts) > 1:
            raise ValueError("the optimizer has taken more steps for some parameters")
        self._first = counts.pop()
        self._at = self._first + 1 + np.arange(len(lr), dtype=np.float64)
        self._decoupled = bool(self._group.get("decoupled_weight_decay"))
        corrected = 1 / np.sqrt(1 - self._group["betas"][1] ** self._at)
        shrunk = 1 - lr * self._group["weight_decay"]
        of_gradient, of_average = self._steps(lr, momentum)
        shared = [momentum, 1 - momentum, shrunk, corrected]
        return np.stack([*shared, of_gradient, of_average], axis=1)

    def _steps(self, lr: Values, beta1: Values) -> tuple[Values, Values]:
        """Return what gradient and average of gradients are multiplied with."""
        return np.zeros_like(lr), -lr / (1 - beta1**self._at)

    def settle(self, taken: int) -> None:
        for own in self._state:
            own["step"].fill_(self._first + taken)

    def __call__(self, gradients: Tensors, values: Tensor) -> None:
        beta1, rest, shrunk, corrected, of_gradient, of_average = values
        (averages, squares), beta2 = self._lists, self._group["betas"][1]
        if not self._decoupled:
            gradients = self._with_decay(gradients)
        elif self._group["weight_decay"]:
            torch._foreach_mul_(self.parameters, shrunk)
        torch._foreach_mul_(averages, beta1)
        torch._foreach_add_(averages, torch._foreach_mul(gradients, rest))
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_mul_(roots, corrected)
        torch._foreach_add_(roots, self._group["eps"])
        steps = torch._foreach_mul(averages, of_average)
        if self._looks_ahead:
            torch._foreach_add_(steps, torch._foreach_mul(gradients, of_gradient))
        torch._foreach_addcdiv_(self.parameters, steps, roots)

    _looks_ahead = False


class _NAdam(_Adam):
    """NAdam, with weight decay of either kind."""

    _looks_ahead = True

    def _steps(self, lr: Values, beta1: Values) -> tuple[Values, Values]:
        decay = self._group["momentum_decay"]
        now, then = (1 - 0.5 * 0.96 ** ((self._at + ahead) * decay) for ahead in (0, 1))
        products = {float(own["mu_product"]) for own in self._state}
        if len(products) > 1:
            raise ValueError("the optimizer has taken other steps for some parameters")
        self._products = np.cumprod([products.pop(), *(beta1 * now)])
        product = self._products[1:]
        following = beta1 * then
        return -lr * (1 - beta1 * now) / (1 - product), -lr * following / (1 - product * following)

    def settle(self, taken: int) -> None:
        super().settle(taken)
        for own in self._state:
            own["mu_product"].fill_(self._products[taken])


_UPDATES: dict[type, type[_Update]] = {
    torch.optim.SGD: _SGD,
    torch.optim.Adam: _Adam,
    torch.optim.AdamW: _Adam,
    torch.optim.NAdam: _NAdam,
    NAdamW: _NAdam,
}
