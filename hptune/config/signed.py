"""From an experiment on its data to a signature: what is kept with the weights that it trains."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from hptune.config.model import BEGINNINGS, is_own
from hptune.config.schema import Experiment, Model
from hptune.data import Splits
from hptune.data.sources.memory import TensorSource
from hptune.results.signature import Input, Made, Signature


def signature_of(
    experiment: Experiment,
    splits: Splits,
    ignored: int | None,
    metrics: Sequence[str],
    code: Mapping[str, str],
) -> Signature:
    """Return what the models of an experiment take and give.

    Args:
        experiment: Names model, loss and data.
        splits: The data as they are trained on.
        ignored: The target that loss and metrics leave out.
        metrics: Their names.
        code: The user's source files, with digests.
    """
    record, spec, model = splits.record, experiment.data, experiment.model
    held = splits.train.inputs if isinstance(splits.train, TensorSource) else None
    stored = held.dtype if isinstance(held, torch.Tensor) else torch.float32
    # Bytes are scaled batch by batch; whole numbers that are left stay what they are.
    dtype = "int64" if stored is torch.int64 else "float32"
    return Signature(
        reads="table" if "preprocessing" in record
        else "images" if "images" in record
        else "arrays" if "normalize" in record
        else "ready",
        inputs=(Input(shape=splits.input_shape, dtype=dtype),),
        kind=splits.kind,
        outputs=splits.outputs,
        classes=splits.classes,
        ignored=ignored,
        columns=record.get("preprocessing", ()),
        target=record.get("column"),
        ids=record.get("ids", ()),
        left_out=record.get("left_out", ()),
        missing=spec.missing,
        decoding=record.get("images"),
        layout=spec.layout,
        stored=str(stored).removeprefix("torch."),
        scale=record.get("normalize") if dtype == "float32" else None,
        target_scale=record.get("target"),
        model=_made(model),
        code_folder=folder_of(model.name),
        loss=experiment.loss,
        label_smoothing=experiment.training.label_smoothing,
        metrics=metrics,
        code=code,
    )  # fmt: skip


def _made(model: Model) -> Made:
    """Return how a model is made anew; what its weights began with is no part of that."""
    left_out = () if is_own(model.name) else BEGINNINGS
    args = {name: value for name, value in model.args.items() if name not in left_out}
    return Made(name=model.name, args=args, dropout=model.dropout)


def folder_of(name: str) -> str | None:
    """Return the folder that the module of "package.module:name" was imported from."""
    top = name.partition(":")[0].partition(".")[0] if ":" in name else ""
    file = getattr(sys.modules.get(top), "__file__", None)
    if file is None:
        return None
    path = Path(file).resolve()
    return str(path.parent.parent if path.name == "__init__.py" else path.parent)
