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

from hptune import data, models
from hptune.config.schema import Experiment
from hptune.data import DataSpec, Splits
from hptune.data.user import find
from hptune.errors import InputError
from hptune.task import Accuracy, Metric, MetricSpec, Task

LossFunction = Callable[[Tensor, Tensor], Tensor]
LOSSES = ("auto", "cross-entropy", "mse")
# torchmetrics whose smaller value is the better one.
_LOWER_IS_BETTER = ("error", "loss", "perplexity", "distance", "divergence")


def build_task(experiment: Experiment) -> Task:
    """Load the data and put model, loss and metrics together.

    Raises:
        InputError: Something is not there or does not fit.
    """
    splits = data.load(DataSpec(**experiment.data.model_dump()))
    make_model = partial(_make_model, experiment, splits)
    with torch.random.fork_rng(devices=[]):
        make_model()  # a wrong name or argument is told here, not in the first trial
    return Task(
        make_model=make_model,
        train=splits.train,
        validation=splits.validation,
        test=splits.test,
        loss=_loss(experiment, splits),
        metrics=_metrics(experiment, splits),
        classes=splits.outputs if splits.kind == "classification" else None,
        data=experiment.data.name,
        model=experiment.model.name,
        fingerprint=_fingerprint(experiment, splits),
    )


def _make_model(experiment: Experiment, splits: Splits) -> nn.Module:
    args, rate = dict(experiment.model.args), experiment.model.dropout
    name = experiment.model.name
    if rate is not None and "dropout" not in args and name == "mlp":
        args["dropout"] = rate
    model = models.build(name, args, input_shape=splits.input_shape, outputs=splits.outputs)
    if rate is not None:
        layers = [m for m in model.modules() if isinstance(m, nn.modules.dropout._DropoutNd)]
        if not layers:
            raise InputError(
                f"model.dropout: {rate:g}; model {name} has no dropout layer; leave model.dropout out "
                "or choose a model that has one"
            )
        for layer in layers:
            layer.p = rate
    return model


def _loss(experiment: Experiment, splits: Splits) -> LossFunction:
    name, smoothing = experiment.loss, experiment.training.label_smoothing
    classifies = splits.kind == "classification"
    if name == "auto":
        name = "cross-entropy" if classifies else "mse"
    if smoothing and name != "cross-entropy":
        raise InputError(
            f"training.label_smoothing: {smoothing:g} with loss {name}; goes with cross-entropy "
            "alone; set it to 0"
        )
    if name == "cross-entropy":
        if not classifies:
            raise InputError(
                "loss: 'cross-entropy' on a regression; needs classes; use mse or set data.kind to "
                "classification"
            )
        return partial(nn.functional.cross_entropy, label_smoothing=smoothing)
    if name == "mse":
        if classifies:
            raise InputError("loss: 'mse' on classes; needs numbers; use cross-entropy")
        return nn.functional.mse_loss
    if ":" in name:
        loss: Any = find(name, "loss")
        return cast("LossFunction", loss() if inspect.isclass(loss) else loss)
    raise InputError(
        f"loss: {name!r}; must be one of {', '.join(LOSSES)} or package.module:callable; choose one"
    )


def _metrics(experiment: Experiment, splits: Splits) -> dict[str, MetricSpec]:
    classifies = splits.kind == "classification"
    names = experiment.metrics
    if names == "auto":
        names = ("accuracy",) if classifies else ("r2_score",)
    return {name: _metric(name, splits) for name in names}


def _metric(name: str, splits: Splits) -> MetricSpec:
    if name == "accuracy":
        if splits.kind != "classification":
            raise InputError(
                "metrics: 'accuracy' on a regression; needs classes; use r2_score, say"
            )
        return MetricSpec(Accuracy)
    import torchmetrics

    wanted = name.replace("_", "").replace("-", "").lower()
    classes = {
        key.lower(): value
        for module in (torchmetrics, torchmetrics.classification, torchmetrics.regression)
        for key, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, torchmetrics.Metric)
    }
    if wanted not in classes:
        raise InputError(
            f"metrics: {name!r}; must be accuracy or a class of torchmetrics such as f1_score, "
            "r2_score or mean_absolute_error; correct the name"
        )
    cls = classes[wanted]
    args: dict[str, Any] = {}
    if "task" in inspect.signature(cls.__new__).parameters:
        args = {"task": "multiclass", "num_classes": splits.outputs}
    make: Callable[[], Metric] = partial(cls, **args)
    try:
        metric = make()
    except (TypeError, ValueError) as error:
        raise InputError(f"metrics: {name!r} cannot be made without arguments: {error}") from None
    better = getattr(metric, "higher_is_better", None)
    if better is None:
        better = not any(word in name.lower() for word in _LOWER_IS_BETTER)
    return MetricSpec(make, higher_is_better=bool(better))


def _fingerprint(experiment: Experiment, splits: Splits) -> str:
    """Identify data, model and loss; augmentation and normalisation are part of the data."""
    shown = experiment.model_dump(mode="json", include={"model", "loss", "metrics"})
    shown["data"] = experiment.data.model_dump(
        mode="json", include={"normalize", "scale", "flip", "crop", "cutout", "resize"}
    )
    shown["content"] = splits.record.get("fingerprint", "")
    shown["smoothing"] = experiment.training.label_smoothing
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:12]
