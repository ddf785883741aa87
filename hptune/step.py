"""One batch through any model: which arguments it gets, and where loss, outputs and targets are."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MethodType
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from hptune.errors import InputError
from hptune.losses import compares_numbers, fitted, is_torchs

Read = tuple[Tensor, Any, Any]  # loss, outputs, targets
LossFunction = Callable[[Any, Any], Any]
TARGET_NAMES = ("labels", "label", "targets", "target", "y")
NOTHING = -torch.inf  # stands for the loss of a batch in which no target counts
_LOSS_RULE = "must be one number, the mean over the batch"


class Step(Protocol):
    """How a batch becomes a loss; every task carries one, and all that trains or reads calls it."""

    @property
    def stackable(self) -> bool:
        """Whether it computes from model and batch alone, so that `torch.func.vmap` can stack it."""
        ...

    def __call__(self, model: nn.Module, batch: Any) -> Read:
        """Return the mean loss of a batch, (), and outputs and targets for the metrics.

        Outputs and targets are None where they are not known.
        """
        ...


@dataclass(frozen=True)
class LossOf:
    """A step by a loss of (outputs, targets): everything in a batch but its targets is input.

    A loss of torch gets both in shapes that it takes, the user's own what the model returns.
    """

    loss: LossFunction
    stackable: ClassVar[bool] = True

    def __call__(self, model: nn.Module, batch: Any) -> Read:
        targets = target_of(batch)
        returned = call(model, inputs_of(batch))
        outputs = outputs_in(returned)
        if self._fits:
            ready = fitted(outputs, targets, numbers=self._numbers)
            return number(self.loss(*ready)), outputs, targets
        return number(self.loss(returned, targets)), outputs, targets

    @cached_property  # as the next, asked for at every batch
    def _fits(self) -> bool:
        return is_torchs(self.loss)

    @cached_property
    def _numbers(self) -> bool | None:
        return compares_numbers(self.loss) or None


@dataclass(frozen=True)
class LossOfModel:
    """A step by the model's own loss: it gets the whole batch and returns the loss, also among others."""

    stackable: ClassVar[bool] = True

    def __call__(self, model: nn.Module, batch: Any) -> Read:
        returned = call(model, batch)
        return loss_in(returned), outputs_in(returned, but_loss=True), target_of(batch)


@dataclass(frozen=True)
class OwnStep:
    """The user's own step: (model, batch) to a loss, or to (loss, outputs, targets) for metrics."""

    step: Callable[[Any, Any], Any]
    stackable: ClassVar[bool] = False  # it may do anything on the way

    def __call__(self, model: nn.Module, batch: Any) -> Read:
        returned = self.step(model, batch)
        if isinstance(returned, tuple) and len(returned) == 3:
            loss, outputs, targets = returned
            return number(loss), outputs, targets
        return loss_in(returned), None, None


@dataclass(frozen=True)
class PassesOver:
    """A step of targets of which a loss ignores some: a batch of nothing else teaches nothing.

    Its loss would be 0 / 0. It is `NOTHING` instead, which is told from a loss that diverged,
    and all of its gradients are 0.
    """

    step: Step
    ignored: int

    @property
    def stackable(self) -> bool:
        """As of the step itself."""
        return self.step.stackable

    def __call__(self, model: nn.Module, batch: Any) -> Read:
        targets = target_of(batch)
        counts = (targets != self.ignored).any()
        any_class = 1 if self.ignored == 0 else 0
        safe = torch.where(counts, targets, any_class)
        loss, outputs, _ = self.step(model, with_targets(batch, safe))
        return torch.where(counts, loss, NOTHING), outputs, targets


def takes_targets(model: nn.Module) -> bool:
    """Say whether a model's forward has an argument for the targets, so that it has its own loss."""
    return any(name in TARGET_NAMES for name in _signature(_innermost(model)).parameters)


def target_of(batch: Any) -> Any:
    """Return the targets of a batch or of columns, None where it has none."""
    if isinstance(batch, Mapping):
        return next((batch[name] for name in TARGET_NAMES if name in batch), None)
    if isinstance(batch, tuple | list) and len(batch) > 1:
        return batch[-1]
    return None


def with_targets(batch: Any, targets: Tensor) -> Any:
    """Return a batch with other targets."""
    if isinstance(batch, Mapping):
        name = next(name for name in TARGET_NAMES if name in batch)
        return {**batch, name: targets}
    return (*batch[:-1], targets)


def with_inputs(batch: Any, inputs: Any) -> Any:
    """Return a batch with other inputs, in the form that `inputs_of` gives them."""
    if isinstance(batch, Mapping):
        return {**batch, **inputs}
    return (inputs, batch[-1]) if len(batch) == 2 else (*inputs, batch[-1])


def inputs_of(batch: Any) -> Any:
    """Return a batch without its targets."""
    if isinstance(batch, Mapping):
        target = next((name for name in TARGET_NAMES if name in batch), None)
        return {key: value for key, value in batch.items() if key != target}
    if len(batch) == 2:
        return batch[0]
    return tuple(batch[:-1])


def call(model: nn.Module, inputs: Any) -> Any:
    """Call a model: a dict as keywords, a tuple as several arguments, where its forward takes them so."""
    if isinstance(inputs, Tensor):
        return model(inputs)
    if isinstance(inputs, Mapping):
        # Columns that the model, or the one that it wraps, does not ask for are left out.
        known = _asked_for(_signature(_innermost(model)), inputs)
        known = known or _asked_for(_signature(model), inputs)
        return model(**known) if known else model(inputs)  # which takes the batch as one argument
    if isinstance(inputs, tuple | list) and _binds(model, *inputs):
        return model(*inputs)
    return model(inputs)


def _asked_for(signature: inspect.Signature, inputs: Mapping[str, Any]) -> dict[str, Any]:
    parameters = signature.parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return {key: value for key, value in inputs.items() if takes_all or key in parameters}


def _binds(model: nn.Module, *args: Any) -> bool:
    try:
        _signature(model).bind(*args)
    except TypeError:
        return False
    return True


def _signature(model: nn.Module) -> inspect.Signature:
    """Return what a model's forward takes, read once a class."""
    function = getattr(model.forward, "__func__", None)
    return inspect.signature(model.forward) if function is None else _bound_signature(function)


@lru_cache(maxsize=64)
def _bound_signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(MethodType(function, object()))


def _innermost(model: nn.Module) -> nn.Module:
    """Return the model that gets what wrappers pass on, as those of torch.compile, DataParallel, peft."""
    parts = dict(model.named_children())
    inner = parts.get("_orig_mod")  # torch.compile's
    if inner is None and _passes_on(getattr(model.forward, "__func__", None)):
        inner = next(iter(parts.values())) if len(parts) == 1 else None
        for name in ("module", "model", "base_model"):  # beside parts of the wrapper's own
            inner = parts.get(name) if inner is None else inner
    return model if inner is None else _innermost(inner)


@lru_cache(maxsize=64)
def _passes_on(forward: Callable[..., Any] | None) -> bool:
    """Say whether a function takes anything, and hands it on as `inner(*args, **kwargs)` does."""
    if forward is None:
        return False
    kinds = {p.kind for p in _bound_signature(forward).parameters.values()}
    if not kinds <= {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        return False
    return any(step.opname == "CALL_FUNCTION_EX" for step in dis.get_instructions(forward))


def loss_in(returned: Any) -> Tensor:
    """Return the loss among what a model returns: a number, `.loss`, ["loss"], or the number in a tuple.

    Raises:
        InputError: There is none.
    """
    if isinstance(returned, Tensor):
        return number(returned)
    found = _entry(returned, "loss")
    if found is None and isinstance(returned, tuple | list):
        numbers = [v for v in returned if isinstance(v, Tensor) and v.numel() == 1]
        found = numbers[0] if len(numbers) == 1 else None
    if found is None:
        about = f"a {type(returned).__name__}"
        if isinstance(returned, Mapping):
            about += f" with {', '.join(map(str, returned))}"
        raise InputError(
            f"loss: the model returns {about} without a loss; it must return a number, "
            "an object with .loss or a dict with 'loss'; give loss= or step="
        )
    return number(found)


def number(loss: Any) -> Tensor:
    """Return a loss as a tensor of no dimensions.

    Raises:
        InputError: It is no single number.
    """
    if not isinstance(loss, Tensor):
        raise InputError(f"loss: gives a {type(loss).__name__}; {_LOSS_RULE}, as a tensor")
    if loss.numel() != 1:
        raise InputError(
            f"loss: gives a tensor of shape {tuple(loss.shape)}; {_LOSS_RULE}; take its mean()"
        )
    return loss.reshape(()) if loss.ndim else loss  # a view of it would cost a pass backward


def outputs_in(returned: Any, *, but_loss: bool = False) -> Any:
    """Return the outputs among what a model returns, None where they cannot be told."""
    if isinstance(returned, Tensor):
        return None if but_loss and returned.ndim == 0 else returned
    for name in ("logits", "outputs", "output", "predictions"):
        if isinstance(found := _entry(returned, name), Tensor):
            return found
    if isinstance(returned, tuple | list):
        return next((v for v in returned if isinstance(v, Tensor) and v.ndim > 0), None)
    return None


def _entry(returned: Any, name: str) -> Any:
    """Return what a dict or an object has under a name, None where it has nothing."""
    return returned.get(name) if isinstance(returned, Mapping) else getattr(returned, name, None)
