"""One batch through model, loss and optimizer before any trial, so that wrong input is told at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hptune.errors import InputError, one_line
from hptune.results.settings import OptimizerSpec
from hptune.step import call, inputs_of, outputs_in, target_of
from hptune.task import Task
from hptune.training.device import Device, seeded
from hptune.training.lengths import iterations_per_epoch
from hptune.training.model import make_model
from hptune.training.optimizer import ScheduledOptimizer


@dataclass(frozen=True)
class BatchCheck:
    """What one batch showed.

    Attributes:
        parameters: Number of trainable parameters.
        weight_layers: Layers with a weight matrix or kernel, the depth as papers count it.
        input_shape, output_shape: Of the batch, the batch dimension first; empty where unknown.
        loss: Of the untrained model.
    """

    parameters: int
    weight_layers: int
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    loss: float


def check_batch(
    task: Task, device: Device, *, batch_size: int, optimizer: OptimizerSpec, seed: int
) -> BatchCheck:
    """Run one batch forward and backward, and build the optimizer.

    Raises:
        InputError: Model, data, loss and optimizer do not fit each other.
    """
    iterations_per_epoch(len(task.train), batch_size)
    with seeded(seed, device.torch_device):
        model = make_model(task, device)
        ScheduledOptimizer(model, optimizer, lr=1e-3, momentum=0.9, weight_decay=0.0)
        trainable = [p for p in model.parameters() if p.requires_grad]
        input_shape: tuple[int, ...] = ()
        output_shape: tuple[int, ...] = ()
        try:
            batch = next(iter(task.train.to(device.torch_device).batches(batch_size, seed=seed)))
            input_shape = _shape(inputs_of(batch))
            try:
                with device.autocast():
                    loss, outputs, targets = task.step(model, batch)
            except (IndexError, RuntimeError, ValueError):
                _check_outputs(task, model, batch, device)
                raise
            output_shape = _shape(outputs)
            _check_classes(task, output_shape, targets)
            _check_loss(loss)
            loss.backward()  # type: ignore[no-untyped-call]
        except InputError:
            raise
        except torch.OutOfMemoryError:
            raise InputError(
                f"batch_size: {batch_size}; a batch must fit into the memory of {device.name}; "
                "choose a smaller batch size or set training.accumulate"
            ) from None
        except Exception as error:
            shape = f" on a batch of shape {input_shape}" if input_shape else ""
            raise InputError(
                f"model {task.model}: fails{shape}: {type(error).__name__}: {one_line(error, 300)}; "
                "model, data and loss must fit each other; check model.args and the data's shape"
            ) from error
        return BatchCheck(
            parameters=sum(p.numel() for p in trainable),
            weight_layers=sum(p.ndim > 1 for p in trainable),
            input_shape=input_shape,
            output_shape=output_shape,
            loss=float(loss.detach()),
        )


def _check_loss(loss: Any) -> None:
    if not isinstance(loss, Tensor) or loss.ndim:
        found = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise InputError(
            f"loss: gives {found}; must be one number, the mean over the batch; take its mean()"
        )
    if not loss.requires_grad:
        raise InputError(
            "loss: does not depend on the model's parameters; must be computed from them with "
            "gradients; check detach(), no_grad() and requires_grad"
        )


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def _check_outputs(task: Task, model: nn.Module, batch: Any, device: Device) -> None:
    """Say where a step that failed did so because the model's outputs do not fit the classes.

    What torch says of a loss, "Target 7 is out of bounds", does not name the cause.
    """
    if not task.step.stackable:  # the user's own step may call the model in any way
        return
    try:
        with torch.no_grad(), device.autocast():
            outputs = outputs_in(call(model, inputs_of(batch)))
    except Exception:  # the model itself fails, which its own error tells
        return
    _check_classes(task, _shape(outputs), target_of(batch))


def _check_classes(task: Task, output_shape: tuple[int, ...], targets: Any) -> None:
    if task.classes is None or not isinstance(targets, Tensor) or targets.ndim != 1:
        return
    batch_size = len(targets)
    # Fewer logits than classes would index out of range; more would train a class that is never seen.
    if len(output_shape) < 2 or output_shape[0] != batch_size or output_shape[1] != task.classes:
        raise InputError(
            f"model {task.model}: its output has shape {output_shape}; must be "
            f"({batch_size}, {task.classes}) for {task.classes} classes; give the model "
            f"{task.classes} outputs"
        )
