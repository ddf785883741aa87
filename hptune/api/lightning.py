"""A task from a Lightning module and its data module, as they are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from hptune.api.optimizer import optimizer_name
from hptune.api.start import CopyOf
from hptune.api.task import Task
from hptune.api.words import public
from hptune.data.given import given_split
from hptune.data.sources.columns import leaves
from hptune.errors import InputError, one_line
from hptune.explain import short
from hptune.step import Read, loss_in, number
from hptune.task import MetricSpec
from hptune.training.device import seeded
from hptune.training.evaluation import batch_size_of

_CPU = torch.device("cpu")
_LIGHTNING = ("lightning.", "pytorch_lightning.")
_LOSSES = ("val_loss", "valid_loss", "validation_loss", "val/loss", "loss")
_VALUES = ("lr", "momentum", "weight_decay")  # hyper-parameters of the run, not of its optimizer
# What configure_optimizers may ask of a Trainer, for a scheduler that is not taken over.
_TRAINER = SimpleNamespace(
    estimated_stepping_batches=1000,
    max_steps=1000,
    max_epochs=10,
    num_training_batches=100,
    world_size=1,
    accumulate_grad_batches=1,
)


@public
def from_lightning(module: Any, datamodule: Any) -> Task:
    """Return the task of a LightningModule and a LightningDataModule; both stay as they are.

    training_step gives the training loss; validation_step the validation loss and, by what it
    logs, the metrics, or training_step where there is none; configure_optimizers the optimizer
    and its parameter groups, but neither LR nor schedule: these are what is tuned.

    Args:
        module: The module, of which every trial trains a copy that starts from its weights; or a
            function that makes one, for fresh weights with each seed.
        datamodule: Has train_dataloader and, where there are such data, those for validation
            and test.

    Raises:
        InputError: Manual optimization, several optimizers or loaders, or what does not fit.
    """
    if not callable(module):
        raise InputError(
            f"module: {short(module)}; must be a LightningModule, or a function that makes one; give "
            "that, and the data module after it"
        )
    if isinstance(datamodule, type):
        raise InputError(
            f"datamodule: the class {datamodule.__name__}; must be an object of it; make one: "
            f"{datamodule.__name__}(...)"
        )
    make_model = CopyOf(module) if isinstance(module, nn.Module) else module
    with seeded(0, _CPU):
        model = make_model()
        _check(model)
        loaders = _loaders(datamodule)
        optimizer, left_out = _optimizer(make_model())
        batch = next(iter(given_split(loaders["train"], "train").source().batches(2)))
        metrics = _metrics(model, batch)
    task = Task(
        make_model,
        train=loaders["train"],
        validation=loaders.get("validation"),
        test=loaders.get("test"),
        step=LightningStep(),
        metrics=metrics,
        data=type(datamodule).__name__,
        model=type(model).__name__,
        notes=[f"configure_optimizers: {left_out} left out, for hptune sets these"]
        * bool(left_out),
    )
    task.optimizer = optimizer
    return task


@dataclass(frozen=True)
class LightningStep:
    """A module's own training step while it trains, else its validation step."""

    stackable: ClassVar[bool] = False  # a module logs on the way

    def __call__(self, model: Any, batch: Any) -> Read:
        """Return the loss; for validation also what was logged, and the number of examples."""
        if model.training or _is_lightnings(model.validation_step):
            with _logged(model):
                return loss_in(_step(model.training_step, batch)), None, None
        with _logged(model) as values:
            returned = _step(model.validation_step, batch)
        loss = _validation_loss(returned, values)
        if loss is None:
            with _logged(model):
                loss = loss_in(_step(model.training_step, batch))
        return loss, values, batch_size_of(batch)


@dataclass
class LoggedMean:
    """The mean over the examples of what is logged batch by batch."""

    name: str
    total: Tensor | float = 0.0
    count: int = 0

    def update(self, outputs: Any, targets: Any) -> None:
        """Take in what was logged on a batch, and its number of examples."""
        self.total = self.total + outputs[self.name] * targets
        self.count += targets

    def compute(self) -> Tensor:
        """Return the mean."""
        return torch.as_tensor(self.total) / max(self.count, 1)


def _check(model: Any) -> None:
    for name in ("training_step", "configure_optimizers"):
        if not hasattr(model, name) or _is_lightnings(getattr(model, name)):
            raise InputError(
                f"module: {type(model).__name__} has no {name}; must be a LightningModule that has; "
                "use hptune.Task for other models"
            )
    if not getattr(model, "automatic_optimization", True):
        raise InputError(
            f"module: {type(model).__name__} optimizes by itself (automatic_optimization is False); "
            "hptune steps the optimizer; use hptune.Task with step="
        )


def _loaders(datamodule: Any) -> dict[str, Any]:
    """Return the loaders by split, of those that the data module has."""
    for name, arguments in (("prepare_data", ()), ("setup", ("fit",)), ("setup", ("test",))):
        if hasattr(datamodule, name):
            getattr(datamodule, name)(*arguments)
    found = {}
    for split, name in (("train", "train"), ("validation", "val"), ("test", "test")):
        method = getattr(datamodule, f"{name}_dataloader", None)
        if method is None or _is_lightnings(method):
            continue
        loaders = method()
        if isinstance(loaders, list | tuple) and len(loaders) == 1:
            loaders = loaders[0]
        if isinstance(loaders, list | tuple | Mapping):
            raise InputError(
                f"datamodule: {name}_dataloader gives {len(loaders)} loaders; must give one; choose "
                "one of them, or join their data sets"
            )
        found[split] = loaders
    if "train" not in found:
        raise InputError(
            f"datamodule: {type(datamodule).__name__} has no train_dataloader; must be a "
            "LightningDataModule that has; use hptune.Task for other data"
        )
    return found


def _optimizer(model: Any) -> tuple[dict[str, Any], str]:
    """Return the optimizer section that comes nearest to what a module configures, and the rest in words."""
    model._trainer = _TRAINER
    try:
        configured = model.configure_optimizers()
    except Exception as error:
        raise InputError(
            f"module: configure_optimizers fails without a Trainer ({type(error).__name__}: "
            f"{one_line(error, 160)}); must give an optimizer; let it not ask the Trainer"
        ) from error
    parts = list(leaves(configured))
    optimizers = [found for found in parts if isinstance(found, Optimizer)]
    if len(optimizers) != 1:
        raise InputError(
            f"module: configure_optimizers gives {len(optimizers)} optimizers; must give one; use "
            "hptune.Task with step= for others"
        )
    optimizer = optimizers[0]
    accepted = inspect.signature(type(optimizer)).parameters
    args = {
        name: value
        for name, value in optimizer.defaults.items()
        if name in accepted and name not in _VALUES and value != accepted[name].default
    }
    name = optimizer_name(type(optimizer))
    values = [
        f"{key} {optimizer.defaults[key]:g}" for key in _VALUES if optimizer.defaults.get(key)
    ]
    schedulers = [type(part).__name__ for part in parts if isinstance(part, LRScheduler)]
    section = {"name": name, "args": args, "rules": _rules(model, optimizer)}
    return section, ", ".join([*values, *schedulers])


def _rules(model: nn.Module, optimizer: Optimizer) -> list[dict[str, Any]]:
    """Return the parameter groups as multipliers of the first group's LR and the largest decay."""
    groups = optimizer.param_groups
    lr, decay = groups[0]["lr"], max(group.get("weight_decay", 0.0) for group in groups)
    group_of = {id(parameter): group for group in groups for parameter in group["params"]}
    rules = []
    for name, parameter in model.named_parameters():
        scales = {"lr": 0.0}  # in no group, so frozen
        if group := group_of.get(id(parameter)):
            scales = {
                "lr": float(group["lr"] / lr) if lr else 1.0,
                "weight_decay": group.get("weight_decay", 0.0) / decay if decay else 1.0,
            }
        if set(scales.values()) != {1.0}:
            rules.append({"match": name, **scales})
    return rules


def _metrics(model: Any, batch: Any) -> dict[str, MetricSpec]:
    """Return what the validation step logs besides the loss, as metrics."""
    if _is_lightnings(model.validation_step):
        return {}
    model.eval()
    with torch.no_grad(), _logged(model) as values:
        _step(model.validation_step, batch)
    metrics = {}
    for name in values:
        if name not in _LOSSES and not name.endswith("loss"):
            short = name.removeprefix("val_").removeprefix("val/").replace("/", "_")
            better = not any(word in name.lower() for word in ("err", "mse", "mae", "perplexity"))
            metrics[short] = MetricSpec(partial(LoggedMean, name), higher_is_better=better)
    return metrics


@contextmanager
def _logged(model: Any) -> Iterator[dict[str, Tensor]]:
    """Collect what a module logs in the block, as numbers by name."""
    values: dict[str, Tensor] = {}

    def log(name: str, value: Any, *_: Any, **__: Any) -> None:
        if hasattr(value, "compute"):  # a metric of torchmetrics, which holds what it has seen
            metric = value
            value = metric.compute()
            metric.reset()
        value = torch.as_tensor(value).detach()
        if value.numel() == 1:
            values[name] = value.float().reshape(())

    def log_dict(dictionary: Mapping[str, Any], *_: Any, **__: Any) -> None:
        for name, value in dictionary.items():
            log(name, value)

    model.__dict__.update(log=log, log_dict=log_dict)
    try:
        yield values
    finally:
        del model.__dict__["log"], model.__dict__["log_dict"]


def _step(method: Callable[..., Any], batch: Any) -> Any:
    """Call a step, which need not take the number of the batch."""
    return method(batch, 0) if len(inspect.signature(method).parameters) > 1 else method(batch)


def _validation_loss(returned: Any, values: Mapping[str, Tensor]) -> Tensor | None:
    """Return the loss of a validation step: what it returns, else what it logs under such a name."""
    if isinstance(returned, Tensor) or (isinstance(returned, Mapping) and "loss" in returned):
        return loss_in(returned)
    names = [name for name in _LOSSES if name in values]
    names += [name for name in values if name.endswith("loss")]
    return number(values[names[0]]) if names else None


def _is_lightnings(method: Any) -> bool:
    """Say whether a method is the base class's, which does nothing."""
    return str(getattr(method, "__module__", "")).startswith(_LIGHTNING)
