"""Inputs of whole numbers, in the type that a model takes: ids, such as of tokens, or quantities."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from hptune import data
from hptune.data import DataSpec, Splits
from hptune.data.sanity import looked_at
from hptune.data.sources.memory import TensorSource
from hptune.step import call
from hptune.task import Source


def as_taken(splits: Splits, spec: DataSpec, model: nn.Module) -> Splits:
    """Return splits of whole-numbered vectors as a model takes them.

    What is not to be normalised stays whole numbers where the model takes these, else it becomes
    floats. What is to be normalised stays whole numbers where the model takes nothing else.

    Args:
        splits: Normalised as the spec says, or whole numbers where it says not to.
        spec: That they were loaded by.
        model: A fresh one, in evaluation mode.
    """
    if _takes(model, splits):
        return splits
    if spec.normalize == "none":
        floats = looked_at(spec, _as_floats(splits))
        return floats if _takes(model, floats) else splits
    ids = data.load(spec.change(normalize="none"))
    if not _takes(model, ids):
        return splits
    note = "the model takes whole numbers alone: the inputs stay what they are; not normalized"
    return replace(ids, notes=(*ids.notes, note))


def _as_floats(splits: Splits) -> Splits:
    def floats(source: Source) -> Source:
        if isinstance(source, TensorSource):
            return TensorSource(source.inputs.float(), source.targets)
        return source

    return replace(
        splits,
        train=floats(splits.train),
        validation=floats(splits.validation),
        test=None if splits.test is None else floats(splits.test),
    )


def _takes(model: nn.Module, splits: Splits) -> bool:
    example: Tensor = next(iter(splits.train.batches(2)))[0]
    try:
        with torch.no_grad():
            call(model, example)
    except Exception:  # what does not fit besides is explained when a batch is tried
        return False
    return True
