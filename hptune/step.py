"""One batch through any model: which arguments it gets, and where loss, outputs and targets are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MethodType
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from hptune.errors import InputError

Read = tuple[Tensor, Any, Any]  # loss, outputs, targets
LossFunction = Callable[[Any, Any], Any]
TARGET_NAMES = ("labels", "label", "targets", "target", "y")
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
    """A step by a loss of (outputs, targets): everything in a batch but its targets is input."""

    loss: LossFunction
    aligned: bool = False  # as losses of torch want it; the user's own gets what the model returns
    stackable: ClassVar[bool] = True

    def __call__(self, model: nn.Module, batch: Any) -> Read:
        targets = target_of(batch)
        returned = call(model, inputs_of(batch))
        outputs = outputs_in(returned)
        if self.aligned:
            return number(self.loss(*fitted(outputs, targets))), outputs, targets
        return number(self.loss(returned, targets)), outputs, targets


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


def takes_targets(model: nn.Module) -> bool:
    """Say whether a model's forward has an argument for the targets, so that it has its own loss."""
    return any(name in TARGET_NAMES for name in _signature(model).parameters)


def target_of(batch: Any) -> Any:
    """Return the targets of a batch or of columns, None where it has none."""
    if isinstance(batch, Mapping):
        return next((batch[name] for name in TARGET_NAMES if name in batch), None)
    if isinstance(batch, tuple | list) and len(batch) > 1:
        return batch[-1]
    return None


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
        parameters = _signature(model).parameters
        takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        # Columns that the model does not ask for are left out.
        known = {key: value for key, value in inputs.items() if takes_all or key in parameters}
        return model(**known) if known else model(inputs)  # which takes the batch as one argument
    if isinstance(inputs, tuple | list) and _binds(model, *inputs):
        return model(*inputs)
    return model(inputs)


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


def fitted(outputs: Any, targets: Any) -> tuple[Any, Any]:
    """Return outputs and targets in shapes that torch's losses take.

    Classes of many places, (N, ..., C) or (N, C, ...) against (N, ...), become rows, (rows, C)
    and (rows,); numbers (N, 1) against (N,) become (N,), which torch would broadcast to (N, N).

    Raises:
        InputError: Either of two dimensions may be the classes.
    """
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        return outputs, targets
    shape, wanted = outputs.shape, targets.shape
    if targets.is_floating_point():
        if shape != wanted and outputs.squeeze().shape == targets.squeeze().shape:
            outputs = outputs.reshape(wanted)
        return outputs, targets
    if len(shape) == 2 and wanted == (len(outputs), 1):
        return outputs, targets[:, 0]
    last, second = shape[:-1] == wanted, shape[:1] + shape[2:] == wanted
    if len(wanted) < 2 or not (last or second):
        return outputs, targets
    if last and second:
        raise InputError(
            f"loss: outputs of shape {tuple(shape)} and targets of {tuple(wanted)}; "
            "either dimension may be the classes; give a function of your own as loss="
        )
    places = outputs if last else outputs.movedim(1, -1)
    return places.reshape(-1, places.shape[-1]), targets.reshape(-1)


def _entry(returned: Any, name: str) -> Any:
    """Return what a dict or an object has under a name, None where it has nothing."""
    return returned.get(name) if isinstance(returned, Mapping) else getattr(returned, name, None)
