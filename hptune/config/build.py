"""From an experiment to a task."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from hptune import data, models
from hptune.config.ignored import leave_out
from hptune.config.loop import build_loop
from hptune.config.metrics import find_metrics
from hptune.config.schema import Experiment
from hptune.config.signed import signature_of
from hptune.config.whole_numbers import as_taken
from hptune.data import Splits
from hptune.data.spec import WHERE_AND_HOW
from hptune.errors import InputError, one_line
from hptune.fingerprint import Fingerprint, fingerprint
from hptune.losses import ignored_target
from hptune.models.weights import Tell
from hptune.step import LossOf, PassesOver
from hptune.task import Freeze, Task
from hptune.training.device import seeded
from hptune.training.freezing import parts
from hptune.user_code import find

LossFunction = Callable[[Tensor, Tensor], Tensor]
LOSSES = ("auto", "cross-entropy", "mse")
_DROPOUTS = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)


class Shaped(Protocol):
    """What models and losses are built by; `hptune.data.Splits` for one."""

    @property
    def input_shape(self) -> tuple[int, ...]: ...
    @property
    def outputs(self) -> int: ...
    @property
    def kind(self) -> str | None: ...


def build_task(experiment: Experiment, given: Task | None = None) -> Task:
    """Load the data and put model, loss and metrics together.

    Args:
        experiment: What to put together.
        given: The task where it was put together in Python; the experiment then changes its
            model's arguments and dropout, and what of it is frozen, at most.

    Raises:
        InputError: Something is not there or does not fit.
    """
    named = experiment.function is not None or experiment.command is not None
    if named or (given is not None and given.loop is not None):
        return build_loop(experiment, given)
    if given is not None:
        return _changed(given, experiment)
    splits = data.load(experiment.data)
    loss = build_loss(experiment, splits)
    splits, ignored = leave_out(splits, ignored_target(loss), raw=is_own(experiment.data.name))
    make_model, step = partial(build_model, experiment, splits), LossOf(loss)
    freeze, notes = _freeze(experiment), list[str]()
    with seeded(0, torch.device("cpu")):  # so that its weights can identify it
        if splits.whole:
            splits = as_taken(splits, experiment.data, make_model().eval())
        # A wrong name or argument is told here, not in the first trial.
        model = make_model(tell=notes.append)
        identity = _identify(experiment, splits, step, model)
        if freeze is not None:
            parts(model, freeze)
    metrics = experiment.metrics
    if metrics == "auto":
        metrics = ("accuracy",) if splits.kind == "classification" else ("r2_score",)
    return Task(
        make_model=make_model,
        train=splits.train,
        validation=splits.validation,
        test=splits.test,
        step=step if ignored is None else PassesOver(step, ignored),
        metrics=find_metrics(metrics, kind=splits.kind, outputs=splits.outputs, ignored=ignored),
        classes=splits.outputs if splits.kind == "classification" else None,
        ignored=ignored,
        freeze=freeze,
        data=experiment.data.name,
        model=experiment.model.name,
        fingerprint=str(identity),
        code=identity.code,
        notes=(*splits.notes, *notes),
        signature=signature_of(experiment, splits, ignored, metrics, identity.code).model_dump(),
    )


def _changed(task: Task, experiment: Experiment) -> Task:
    """Return a given task with the experiment's model arguments and dropout."""
    model, own_optimizer = experiment.model, _own(experiment, "optimizer")
    if experiment.training.label_smoothing:
        raise InputError(
            "training.label_smoothing: the loss was given in Python; smooth it there; leave it out"
        )
    if own_optimizer:
        code = fingerprint(nn.Module(), own_optimizer, None)
        task = task.change(
            fingerprint=_joined(task.fingerprint, str(code)), code={**task.code, **code.code}
        )
    freeze = _freeze(experiment)
    if model.dropout is not None or model.args:
        make_model = partial(given_model, task.make_model, model.args, model.dropout)
        made = {**task.signature.get("model", {}), "args": model.args, "dropout": model.dropout}
        task = task.change(
            make_model=make_model,
            fingerprint=_joined(task.fingerprint, model.args, model.dropout),
            signature={**task.signature, "model": made} if task.signature else {},
        )
        with torch.random.fork_rng(devices=[]):
            make_model()
    if freeze is None:
        return task
    with torch.random.fork_rng(devices=[]):
        parts(task.make_model(), freeze)
    return task.change(
        freeze=freeze, fingerprint=_joined(task.fingerprint, freeze.what, freeze.release)
    )


def _freeze(experiment: Experiment) -> Freeze | None:
    model = experiment.model
    return None if model.freeze is None else Freeze(model.freeze, model.unfreeze)


def _joined(*content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def given_model(
    make_model: Callable[..., nn.Module], args: dict[str, Any], dropout: float | None
) -> nn.Module:
    """Make a model of the user's in Python with other arguments and another dropout."""
    try:
        model = make_model(**args)
    except TypeError as error:
        raise InputError(
            f"model.args: {args}; make_model refuses them ({one_line(error)}); "
            "give it arguments of these names"
        ) from error
    return _with_dropout(model, type(model).__name__, dropout)


def build_model(experiment: Experiment, data: Shaped, tell: Tell = models.say_nothing) -> nn.Module:
    """Build a fresh model for data of such inputs and outputs."""
    name, args = experiment.model.name, dict(experiment.model.args)
    rate = experiment.model.dropout
    if rate is not None and _takes_dropout(name):
        args["dropout"], rate = rate, None
    shape, outputs = data.input_shape, data.outputs
    model = models.build(name, args, input_shape=shape, outputs=outputs, tell=tell)
    return _with_dropout(model, name, rate)


def _takes_dropout(name: str) -> bool:
    """Say whether the user's own factory has an argument of this name, and its own use for it."""
    if not is_own(name):
        return False
    try:
        return "dropout" in inspect.signature(find(name, "model.name")).parameters
    except (TypeError, ValueError):  # a callable without a signature
        return False


def _with_dropout(model: nn.Module, name: str, rate: float | None) -> nn.Module:
    """Set the rate of a model's dropout layers; None leaves them."""
    if rate is None:
        return model
    layers = [module for module in model.modules() if isinstance(module, _DROPOUTS)]
    if not layers:
        raise InputError(
            f"model.dropout: {rate:g}; model {name} has no dropout layer; leave model.dropout out "
            "or choose a model that has one"
        )
    for layer in layers:
        layer.p = rate
    return model


def build_loss(experiment: Experiment, data: Shaped) -> LossFunction:
    """Return the loss that an experiment names, or the usual one of the data's kind."""
    name, smoothing = experiment.loss, experiment.training.label_smoothing
    classifies = data.kind == "classification"
    if name == "auto":
        name = "cross-entropy" if classifies else "mse"
    if smoothing and name != "cross-entropy":
        raise InputError(
            f"training.label_smoothing: {smoothing:g} with loss {name}; goes with cross-entropy "
            "alone; set it to 0"
        )
    if ":" in name:
        return _own_loss(name)
    if name not in LOSSES:
        raise InputError(
            f"loss: {name!r}; must be one of {', '.join(LOSSES)} or package.module:callable; "
            "choose one"
        )
    if classifies and name == "mse":
        raise InputError("loss: 'mse' on classes; needs numbers; use cross-entropy")
    if not classifies and name == "cross-entropy":
        raise InputError(
            "loss: 'cross-entropy' on a regression; needs classes; use mse or set data.kind to "
            "classification"
        )
    if classifies:
        return partial(nn.functional.cross_entropy, label_smoothing=smoothing)
    return nn.functional.mse_loss


def _own_loss(name: str) -> LossFunction:
    """Return a function of (outputs, targets), or an instance of a class such as torch.nn:L1Loss."""
    loss: Any = find(name, "loss")
    if inspect.isclass(loss):
        try:
            loss = loss()
        except Exception as error:
            raise InputError(
                f"loss: {name!r}; must be made without arguments ({type(error).__name__}: "
                f"{one_line(error, 120)}); wrap it in a function"
            ) from error
    if not callable(loss):
        raise InputError(
            f"loss: {name!r}; must be a function of (outputs, targets), it is a "
            f"{type(loss).__name__}; correct the name"
        )
    return cast("LossFunction", loss)


def _identify(
    experiment: Experiment, splits: Splits, step: LossOf, model: nn.Module
) -> Fingerprint:
    """Identify model, data, loss and the user's code.

    Where the data are kept and how they are read is left out: trials keep their ids when a folder
    moves.
    """
    own = _own(experiment, "model", "data", "optimizer")
    settings = experiment.model_dump(mode="json", include={"model", "loss", "metrics"})
    settings["data"] = experiment.data.model_dump(mode="json", exclude=set(WHERE_AND_HOW))
    settings["content"] = splits.record.get("fingerprint", "")
    return fingerprint(model, [*own, step], settings)


def _own(experiment: Experiment, *sections: str) -> list[Any]:
    """Return what these sections name of the user's code."""
    named = {f"{section}.name": getattr(experiment, section).name for section in sections}
    return [find(name, key) for key, name in named.items() if is_own(name)]


def is_own(name: str) -> bool:
    """Return whether a name is of the user's code, not of a library's models."""
    return ":" in name and not name.startswith(("torchvision:", "timm:"))
