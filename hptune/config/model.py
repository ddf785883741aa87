"""The model of an experiment: made, with what the experiment asks for beside its arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Protocol

from torch import nn

from hptune import models
from hptune.config.schema import Experiment, Model
from hptune.errors import InputError, one_line
from hptune.models.weights import Tell
from hptune.training.ghost_batch import with_ghost_batches
from hptune.training.initial_weights import initialize
from hptune.user_code import find

BEGINNINGS = ("weights", "pretrained")  # arguments of bundled nets and those of libraries
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


def build_model(experiment: Experiment, data: Shaped, tell: Tell = models.say_nothing) -> nn.Module:
    """Build a fresh model for data of such inputs and outputs."""
    wanted = experiment.model
    name, args, rate = wanted.name, dict(wanted.args), wanted.dropout
    if rate is not None and _takes_dropout(name):
        args["dropout"], rate = rate, None
    for key in BEGINNINGS if wanted.init != "default" and not is_own(name) else ():
        if args.get(key):
            raise InputError(
                f"model.init: {wanted.init} with model.args.{key}; would put other weights in the place "
                "of these; leave one of the two out"
            )
    shape, outputs = data.input_shape, data.outputs
    model = models.build(name, args, input_shape=shape, outputs=outputs, tell=tell)
    return _changed(model, wanted.change(dropout=rate), name, tell)


def given_model(
    make_model: Callable[..., nn.Module], wanted: Model, tell: Tell = models.say_nothing
) -> nn.Module:
    """Make a model of the user's in Python with other arguments, and what else is asked for."""
    try:
        model = make_model(**wanted.args)
    except TypeError as error:
        raise InputError(
            f"model.args: {wanted.args}; make_model refuses them ({one_line(error)}); "
            "give it arguments of these names"
        ) from error
    return _changed(model, wanted, type(model).__name__, tell)


def _changed(model: nn.Module, wanted: Model, name: str, tell: Tell) -> nn.Module:
    """Return a fresh model with the dropout, initial weights and batch norms that are wanted."""
    model = _with_dropout(model, name, wanted.dropout)
    if wanted.init != "default" and (note := initialize(model, wanted.init, wanted.init_gain)):
        tell(note)
    if wanted.ghost_batch is not None:
        model = with_ghost_batches(model, wanted.ghost_batch, name)
    return model


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


def is_own(name: str) -> bool:
    """Return whether a name is of the user's code, not of a library's models."""
    return ":" in name and not name.startswith(("torchvision:", "timm:"))
