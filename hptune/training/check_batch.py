"""One batch through model, loss and optimizer before any trial, so that wrong input is told at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hptune.errors import InputError, one_line
from hptune.losses import fit_as_numbers, fitted, is_torchs
from hptune.results.settings import OptimizerSpec
from hptune.step import (
    NOTHING,
    LossFunction,
    LossOf,
    Read,
    Step,
    call,
    inputs_of,
    outputs_in,
    target_of,
)
from hptune.task import Batch, Source, Task
from hptune.training.device import Device, random_state, seeded
from hptune.training.evaluation import batch_size_of, tensors_in
from hptune.training.lengths import iterations_per_epoch, micro_batch
from hptune.training.model import make_model
from hptune.training.optimizer import ScheduledOptimizer
from hptune.training.statistics import batch_norms
from hptune.training.symmetry import symmetric_units

_TAKEN = ("lr", "momentum", "weight_decay", "batch_size")


@dataclass(frozen=True)
class BatchCheck:
    """What one batch showed.

    Attributes:
        parameters: Number of trainable parameters.
        weight_layers: Layers with a weight matrix or kernel, the depth as papers count it.
        input_shape, output_shape: Of the batch, the batch dimension first; empty where unknown.
        loss: Of the untrained model; None where the batch has no target that counts.
        has_momentum, has_betas, has_weight_decay: As of `ScheduledOptimizer`.
        has_schedule: Whether LR can follow a policy.
        fixed: Hyper-parameters that the training loop sets itself.
        batch_norms: Layers that normalise by the examples they get together, or keep averages of them.
        draws: Whether the model draws random numbers while it trains, as dropout does.
        notes: What the user should know of the model before training, a sentence each.
    """

    parameters: int
    weight_layers: int
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    loss: float | None
    has_momentum: bool = True
    has_betas: bool = False
    has_weight_decay: bool = True
    has_schedule: bool = True
    fixed: tuple[str, ...] = ()
    batch_norms: int = 0
    draws: bool = False
    notes: tuple[str, ...] = ()


def check_batch(
    task: Task, device: Device, *, batch_size: int, optimizer: OptimizerSpec, seed: int
) -> BatchCheck:
    """Run one batch forward and backward, build the optimizer, and step one that is not torch's.

    Where several devices train together, the batch is what one of them gets.

    Raises:
        InputError: Model, data, loss and optimizer do not fit each other.
    """
    iterations_per_epoch(len(task.train), batch_size)
    if task.loop is not None:
        if (devices := device.ranks.size) > 1:
            raise InputError(
                f"--devices-per-trial: {devices}; divides hptune's own loop alone; leave it out, and let "
                "yours use several devices itself, as under torchrun"
            )
        return _of_loop(task.seen)
    if (devices := device.ranks.size) > 1 and task.freeze is not None and task.freeze.release:
        raise InputError(
            f"--devices-per-trial: {devices} with model.unfreeze; several devices agree once on what "
            "trains; leave one of the two out"
        )
    batch_size = micro_batch(batch_size, 1, device.ranks.size)
    with seeded(seed, device.torch_device):
        model = make_model(task, device)
        stepper = ScheduledOptimizer(model, optimizer, lr=1e-3, momentum=0.9, weight_decay=0.0)
        trainable = [p for p in model.parameters() if p.requires_grad]
        batch = first_batch(task.train.to(device.torch_device), batch_size, seed)
        before = random_state(device.torch_device)
        with device.autocast():
            loss, outputs, targets = read_batch(
                task.model, model, task.step, batch, classes=task.classes
            )
        draws = not _same(before, random_state(device.torch_device))
        _check_outputs(task.model, outputs, targets, task.classes)
        if not loss.requires_grad:
            raise InputError(
                "loss: does not depend on the model's parameters; must be computed from them with "
                "gradients; check detach(), no_grad() and requires_grad"
            )
        with _explained(task.model, batch):
            loss.backward()  # type: ignore[no-untyped-call]
        symmetric = symmetric_units(model, task.step, batch)
        if ":" in optimizer.name:
            _try_step(stepper, optimizer.name)
    initial = float(loss.detach())
    return BatchCheck(
        parameters=sum(p.numel() for p in trainable),
        weight_layers=sum(p.ndim > 1 for p in trainable),
        input_shape=_shape(inputs_of(batch)),
        output_shape=_shape(outputs),
        loss=None if initial == NOTHING else initial,
        has_momentum=stepper.has_momentum,
        has_betas=stepper.has_betas,
        has_weight_decay=stepper.has_weight_decay,
        batch_norms=len(batch_norms(model)),
        draws=draws,
        notes=(symmetric,) if symmetric else (),
    )


def _of_loop(seen: Mapping[str, Any]) -> BatchCheck:
    """Return what the rehearsal of a loop of the user's own has shown."""
    reads = seen["reads"]
    return BatchCheck(
        parameters=seen["parameters"],
        weight_layers=seen["weight_layers"],
        input_shape=(),
        output_shape=(),
        loss=seen["loss"],
        has_momentum=seen["has_momentum"],
        has_betas=seen["has_betas"],
        has_weight_decay="weight_decay" in reads,
        has_schedule="schedule" in reads,
        fixed=tuple(name for name in _TAKEN if name not in reads),
    )


def _try_step(optimizer: ScheduledOptimizer, name: str) -> None:
    """Refuse an optimizer that fails, such as one whose step asks for a closure in its body."""
    try:
        optimizer.step()
    except Exception as error:
        raise InputError(
            f"optimizer.name: {name!r}; its step fails ({_described(error)}); must step without a "
            "closure from the gradients of every parameter; correct it or choose another"
        ) from error


def first_batch(source: Source, batch_size: int, seed: int | None = None) -> Batch:
    """Return the first batch of a split.

    Raises:
        InputError: The examples do not make one.
    """
    try:
        return next(iter(source.batches(batch_size, seed=seed)))
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"train: the first examples do not make a batch ({_described(error)}); examples must be "
            "tensors of one shape or numbers, in tuples or dicts; give a DataLoader with a collate_fn"
        ) from error


def read_batch(
    name: str, model: nn.Module, step: Step, batch: Batch, *, classes: int | None = None
) -> Read:
    """Return loss, outputs and targets of a batch.

    Args:
        name: What the model is called.
        model, step, batch: What is tried.
        classes: Their number where it is known.

    Raises:
        InputError: They do not fit each other; the line says what to change.
    """
    with _explained(name, batch):
        try:
            loss, outputs, targets = step(model, batch)
        except (IndexError, RuntimeError, ValueError) as error:
            if step.stackable:  # the user's own step may call the model in any way
                _explain_classes(name, model, batch, classes, error)
            raise
    if isinstance(step, LossOf) and not is_torchs(step.loss):
        _refuse_broadcast(step.loss, outputs, targets)
    return loss, outputs, targets


@contextmanager
def _explained(name: str, batch: Batch) -> Iterator[None]:
    """Say what does not fit where a model, its loss or their gradients fail on a batch."""
    tensors = list(tensors_in(batch))
    try:
        yield
    except InputError:
        raise
    except torch.OutOfMemoryError:
        raise InputError(
            f"batch_size: {batch_size_of(batch)}; a batch must fit into the memory of "
            f"{tensors[0].device}; choose a smaller batch size or set training.accumulate"
        ) from None
    except Exception as error:
        shapes = ", ".join(str(_shape(tensor)) for tensor in tensors)
        raise InputError(
            f"model {name}: fails on a batch of {f'shapes {shapes}' if shapes else 'no tensors'} "
            f"({_described(error)}); model, data and loss must fit each other; check the model's "
            "arguments, the data's shape and the loss"
        ) from error


def _explain_classes(
    name: str, model: nn.Module, batch: Batch, classes: int | None, error: Exception
) -> None:
    """Say where a step that failed did so because the model's outputs do not fit the classes.

    What torch says of a loss, "Target 7 is out of bounds", does not name the cause.
    """
    targets = target_of(batch)
    try:
        with torch.no_grad():
            outputs = outputs_in(call(model, inputs_of(batch)))
    except Exception:  # the model itself fails, which its own error tells
        return
    _check_outputs(name, outputs, targets, classes)
    if "out of bounds" in str(error):
        outputs, targets = fitted(outputs, targets)
        check_labels("train", targets, outputs.shape[1])


def _refuse_broadcast(loss: LossFunction, outputs: Any, targets: Any) -> None:
    """Refuse a loss of the user's own in which outputs (N, 1) and targets (N,) broadcast to (N, N).

    They do where outputs in the targets' shape give another loss.
    """
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        return
    if outputs.shape == targets.shape or not fit_as_numbers(outputs, targets):
        return
    broadcast = False
    with torch.no_grad(), suppress(Exception):  # of a loss that takes the one shape alone
        as_is, alike = loss(outputs, targets), loss(outputs.reshape(targets.shape), targets)
        broadcast = not torch.allclose(as_is, alike, rtol=1e-4, equal_nan=True)
    if broadcast:
        raise InputError(
            f"loss: outputs of shape {tuple(outputs.shape)} and targets of {tuple(targets.shape)} "
            "broadcast in it; must be of one shape to be compared number by number; reshape one of "
            "them in the loss, the model or the data"
        )


def _check_outputs(name: str, outputs: Any, targets: Any, classes: int | None) -> None:
    if classes is None or not isinstance(targets, Tensor) or targets.ndim != 1:
        return
    # Fewer logits than classes would index out of range; more would train a class that is never seen.
    shape = _shape(outputs)
    if shape[:2] != (len(targets), classes):
        raise InputError(
            f"model {name}: its output has shape {shape}; must be ({len(targets)}, {classes}) for "
            f"{classes} classes; give the model {classes} outputs"
        )


def check_labels(split: str, labels: Any, outputs: int, ignored: int | None = None) -> None:
    """Refuse classes, in a tensor, that the model has no output for, and a split without any.

    Args:
        split: For the message.
        labels: Of its examples or places.
        outputs: Of the model.
        ignored: The target that the loss leaves out.
    """
    if ignored is not None:
        labels = labels[labels != ignored]
        if not len(labels):
            raise InputError(
                f"{split}: every target is {ignored}, which the loss ignores; must have some that "
                "count; check the targets and the loss's ignore_index"
            )
    low, high = int(labels.min()), int(labels.max())
    if not 0 <= low <= high < outputs:
        raise InputError(
            f"{split}: classes {low} to {high}; must be from 0 to {outputs - 1}, for the model has "
            f"{outputs} outputs; number them from 0, give it one for each class, or say which the "
            "loss ignores by its ignore_index"
        )


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)}"


def _same(first: Any, second: Any) -> bool:
    """Say whether two random states are the same."""
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return all(_same(value, second[name]) for name, value in first.items())
    if isinstance(first, list | tuple):
        return all(map(_same, first, second))
    return bool(first == second)
