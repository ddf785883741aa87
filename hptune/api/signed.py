"""From a task that was put together in Python to a signature: what is kept with its weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Subset

from hptune.api.probe import probe
from hptune.config.signed import folder_of
from hptune.data.given import GivenSplit
from hptune.results.signature import Input, Made, Signature
from hptune.step import LossOf, LossOfModel, Step, call, inputs_of, outputs_in, target_of
from hptune.user_code import importable_name


def signature_of(factory: Any, model: nn.Module, batch: Any, step: Step, **known: Any) -> Signature:
    """Return what a model takes, and by which names another process finds its class and its loss.

    Args:
        factory: Makes the model.
        model: A fresh one, in evaluation mode.
        batch: Of the training data.
        step: Computes the loss.
        known: Other fields of the signature.
    """
    given = batch if target_of(batch) is None else inputs_of(batch)
    named = given.items() if isinstance(given, Mapping) else None
    plain = given if isinstance(given, tuple | list) else [given]
    pairs = named or [(None, value) for value in plain]
    if known["kind"] is None:
        known |= _guess(model, given, target_of(batch))
    return Signature(
        python=True,
        code_folder=folder_of(importable_name(factory) or ""),
        inputs=tuple(_input(name, value) for name, value in pairs),
        model=Made(name=importable_name(factory)),
        loss="model" if isinstance(step, LossOfModel) else _loss_of(step),
        **known,
    )


def _guess(model: nn.Module, inputs: Any, targets: Any) -> dict[str, Any]:
    """Return what outputs for inputs alone are taken for, where a step does not tell: classes or nothing."""
    try:
        with torch.no_grad():
            found = probe(outputs_in(call(model, inputs)), targets)
    except Exception:  # told when there are data to predict
        return {}
    if found.kind != "classification" or found.outputs < 2:
        return {}
    return {"kind": found.kind, "outputs": found.outputs, "guessed": True}


def class_names(given: GivenSplit, count: int | None) -> tuple[str, ...]:
    """Return the names of the classes that a data set has, as those of torchvision do."""
    data = given.data
    while isinstance(data, Subset):
        data = data.dataset
    names = getattr(data, "classes", None)
    fits = isinstance(names, list | tuple) and len(names) == count
    return tuple(map(str, names)) if names and fits else ()


def _loss_of(step: Step) -> str | None:
    loss = step.loss if isinstance(step, LossOf) else None
    return None if isinstance(loss, partial) else importable_name(loss)


def _input(name: str | None, value: Any) -> Input:
    if not isinstance(value, Tensor):  # a type of the user's own
        return Input(name=name, dtype=type(value).__name__)
    dtype = str(value.dtype).removeprefix("torch.")
    return Input(name=name, shape=tuple(value.shape[1:]), dtype=dtype)
