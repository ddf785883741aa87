"""From an experiment to a task."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from hptune import data
from hptune.config.ignored import leave_out
from hptune.config.loop import build_loop
from hptune.config.metrics import find_metrics
from hptune.config.model import Shaped, build_model, given_model, is_own
from hptune.config.schema import Experiment
from hptune.config.signed import signature_of
from hptune.config.training_data import changed
from hptune.config.whole_numbers import as_taken
from hptune.data import Splits
from hptune.errors import InputError, one_line
from hptune.fingerprint import Fingerprint, fingerprint
from hptune.losses import ignored_target
from hptune.step import LossOf, PassesOver
from hptune.task import Freeze, Task
from hptune.training.device import seeded
from hptune.training.freezing import parts
from hptune.user_code import find

LossFunction = Callable[[Tensor, Tensor], Tensor]
LOSSES = ("auto", "cross-entropy", "mse")


def build_task(experiment: Experiment, given: Task | None = None) -> Task:
    """Load the data and put model, loss and metrics together.

    Args:
        experiment: What to put together.
        given: The task where it was put together in Python; the experiment then changes its
            model and of its training examples what its keys of them say.

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
    classes, seed = (
        splits.outputs if splits.kind == "classification" else None,
        experiment.data.split_seed,
    )
    train, told = changed(experiment.data, splits.train, step, classes, seed=seed, ignored=ignored)
    metrics = experiment.metrics
    if metrics == "auto":
        metrics = ("accuracy",) if splits.kind == "classification" else ("r2_score",)
    return Task(
        make_model=make_model,
        train=train,
        validation=splits.validation,
        test=splits.test,
        step=step if ignored is None else PassesOver(step, ignored),
        metrics=find_metrics(metrics, kind=splits.kind, outputs=splits.outputs, ignored=ignored),
        classes=classes,
        ignored=ignored,
        freeze=freeze,
        data=experiment.data.name,
        model=experiment.model.name,
        fingerprint=str(identity),
        code=identity.code,
        notes=(*splits.notes, *notes, *told),
        signature=signature_of(experiment, splits, ignored, metrics, identity.code).model_dump(),
    )


def _changed(task: Task, experiment: Experiment) -> Task:
    """Return a given task with what the experiment changes of its model and training examples."""
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
    if methods := experiment.data.methods:
        seed = experiment.data.args.get("split_seed", 0)  # the task's own
        train, told = changed(
            experiment.data, task.train, task.step, task.classes, seed=seed, ignored=task.ignored
        )
        identity = _joined(task.fingerprint, methods)
        task = task.change(train=train, fingerprint=identity, notes=(*task.notes, *told))
    freeze = _freeze(experiment)
    if model.dropout is not None or model.args or model.methods:
        make_model, notes = partial(given_model, task.make_model, model), list[str]()
        made = {**task.signature.get("model", {}), "args": model.args, "dropout": model.dropout}
        with torch.random.fork_rng(devices=[]):
            make_model(tell=notes.append)
        on = [model.methods] if model.methods else []
        task = task.change(
            make_model=make_model,
            fingerprint=_joined(task.fingerprint, model.args, model.dropout, *on),
            signature={**task.signature, "model": made} if task.signature else {},
            notes=(*task.notes, *notes),
        )
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
    settings = experiment.model_dump(mode="json", include={"loss", "metrics"})
    settings["model"] = experiment.model.identity()
    settings["data"] = experiment.data.identity()
    settings["content"] = splits.record.get("fingerprint", "")
    return fingerprint(model, [*own, step], settings)


def _own(experiment: Experiment, *sections: str) -> list[Any]:
    """Return what these sections name of the user's code."""
    named = {f"{section}.name": getattr(experiment, section).name for section in sections}
    return [find(name, key) for key, name in named.items() if is_own(name)]
