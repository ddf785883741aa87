"""From what is kept with weights back to a task, without its data."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

from hptune.config.build import build_loss
from hptune.config.metrics import find_metrics
from hptune.config.model import build_model, given_model
from hptune.config.schema import Experiment, Model
from hptune.data.sources.memory import TensorSource
from hptune.errors import InputError
from hptune.results.signature import Signature
from hptune.step import LossOf, LossOfModel, PassesOver, Step
from hptune.task import Task
from hptune.user_code import also_look_in, find

_NO_DATA = TensorSource(torch.empty(0), torch.empty(0))


def rebuilt(signature: Signature, make_model: Callable[..., nn.Module] | None = None) -> Task:
    """Return the task that weights were trained on, with everything but its data.

    Args:
        signature: What was kept with the weights.
        make_model: Returns the model; None takes the one that the signature names.

    Raises:
        InputError: The model or the loss cannot be found.
    """
    if signature.code_folder is not None:
        also_look_in(Path(signature.code_folder))
    make = _factory(signature, make_model)
    return Task(
        make_model=make,
        step=_step(signature),
        train=_NO_DATA,
        validation=_NO_DATA,
        metrics=find_metrics(
            signature.metrics,
            kind=str(signature.kind),
            outputs=signature.outputs,
            logits=signature.logits,
            ignored=signature.ignored,
        ),
        ignored=signature.ignored,
        channels_last=signature.channels_last,
        signature=signature.model_dump(),
    )


def _factory(
    signature: Signature, make_model: Callable[..., nn.Module] | None
) -> Callable[[], nn.Module]:
    name, made = signature.model.name, signature.model
    wanted = Model(name=name or Model().name, args=made.args, dropout=made.dropout)
    if make_model is not None:
        return partial(given_model, make_model, wanted)
    if name is None:
        raise InputError(
            "the model was made by a function that no other process can import (of a script, a "
            "notebook, a lambda); give --model package.module:callable, or make_model= in Python"
        )
    if signature.python:
        return partial(given_model, find(name, "--model"), wanted)
    return partial(build_model, Experiment(model=wanted), signature)


def _step(signature: Signature) -> Step:
    """Return what computes the loss; the model's own where nothing else is known."""
    if signature.loss in (None, "model"):
        return LossOfModel()
    training = {"label_smoothing": signature.label_smoothing}
    experiment = Experiment.model_validate({"loss": signature.loss, "training": training})
    step: Step = LossOf(build_loss(experiment, signature))
    return step if signature.ignored is None else PassesOver(step, signature.ignored)
