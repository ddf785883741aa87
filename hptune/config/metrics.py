"""Metrics by name: accuracy is hptune's own, all others are classes of torchmetrics."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hptune.errors import InputError, did_you_mean, one_line
from hptune.losses import fit_as_numbers, fitted
from hptune.task import Accuracy, Metric, MetricSpec

_BINARY = {"task": "binary"}
# Words in the names of metrics of which less is better, where torchmetrics does not say.
_LOWER_IS_BETTER = ("error", "loss", "perplexity", "distance", "divergence")


class OnDevice:
    """A metric of torchmetrics that follows the model's outputs to their device."""

    def __init__(self, cls: Callable[..., Any], args: Mapping[str, Any]) -> None:
        self.metric = cls(**args)

    def modules(self) -> Iterator[nn.Module]:
        """Yield the metric and those in it."""
        yield from self.metric.modules()

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take a batch in; outputs of half precision as float32, which every metric takes."""
        if self.metric.device != outputs.device:
            self.metric = self.metric.to(outputs.device)
        self.metric.update(outputs.float(), targets)

    def compute(self) -> Tensor:
        """Return the value over all batches."""
        value: Tensor = self.metric.compute()
        return value


class Adapted:
    """A metric that is fed with a model's outputs and the targets as they are.

    Args:
        make: Of the metric.
        kind: "classification", "regression" or "multilabel".
        logits: Whether outputs of several classes at once are still to go through a sigmoid.
        ignored: The target of places that do not count.
    """

    def __init__(
        self, make: Callable[[], Metric], kind: str, *, logits: bool, ignored: int | None
    ) -> None:
        self._metric, self._kind, self._logits, self._ignored = make(), kind, logits, ignored

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take a batch in: classes as (N, C) and (N,), numbers in one shape, labels as 0 and 1."""
        if self._kind == "regression" and not fit_as_numbers(outputs, targets):
            raise InputError(
                f"metrics: outputs of shape {tuple(outputs.shape)} and targets of "
                f"{tuple(targets.shape)}; must be of one shape for those of a regression; leave them "
                "out, metrics: []"
            )
        if self._kind == "multilabel":
            outputs = outputs.sigmoid() if self._logits else outputs
            if outputs.ndim < 2 or outputs.shape[1] == 1:
                outputs, targets = outputs.flatten(), targets.flatten()
            targets = targets.long()
        else:
            outputs, targets = fitted(outputs, targets, numbers=self._kind == "regression")
        if self._ignored is not None and not isinstance(self._metric, Accuracy):
            counts = targets != self._ignored  # waits for the device; accuracy knows a way without
            outputs, targets = outputs[counts], targets[counts]
        if len(targets):
            self._metric.update(outputs, targets)

    def compute(self) -> Tensor:
        """Return the value over all batches."""
        return self._metric.compute()

    def modules(self) -> Iterator[nn.Module]:
        """Yield the metrics in it that are modules."""
        if hasattr(self._metric, "modules"):
            yield from self._metric.modules()


def find_metrics(
    names: Sequence[str],
    *,
    kind: str,
    outputs: int,
    logits: bool = True,
    ignored: int | None = None,
) -> dict[str, MetricSpec]:
    """Return metrics by the names their columns will have.

    Args:
        names: "accuracy", or classes of torchmetrics as "f1_score" or "F1Score".
        kind: "classification", "regression", or "multilabel": several classes at once.
        outputs: Classes, or columns of a regression's target.
        logits: As for `Adapted`.
        ignored: The target of places that do not count, where there may be one.

    Raises:
        InputError: No such metric, or one that does not fit.
    """
    found = {name: _find(name, kind, outputs, ignored) for name in names}
    return {
        name: replace(spec, make=partial(Adapted, spec.make, kind, logits=logits, ignored=ignored))
        for name, spec in found.items()
    }


def _find(name: str, kind: str, outputs: int, ignored: int | None) -> MetricSpec:
    if name == "accuracy" and kind != "multilabel":
        if kind != "classification":
            raise InputError(
                "metrics: 'accuracy' on a regression; needs classes; use r2_score, say"
            )
        return MetricSpec(partial(Accuracy, ignored))
    cls = _torchmetrics_class(name)
    args: dict[str, Any] = {}
    taken = inspect.signature(cls.__new__).parameters
    if "task" in taken:
        args = {"task": "multiclass", "num_classes": outputs}
        if kind == "multilabel":
            args = {"task": "multilabel", "num_labels": outputs} if outputs > 1 else _BINARY
    if "average" in taken and taken["average"].default == "micro" and kind == "classification":
        args["average"] = "macro"  # over all examples alike, each of them would be the accuracy
    make = partial(OnDevice, cls, args)
    better = _tried(name, make, kind, outputs).metric.higher_is_better
    if better is None:
        better = not any(word in name.lower() for word in _LOWER_IS_BETTER)
    return MetricSpec(make, higher_is_better=bool(better))


def _torchmetrics_class(name: str) -> Callable[..., Any]:
    import torchmetrics

    classes = {
        key.lower(): value
        for module in (torchmetrics.classification, torchmetrics.regression, torchmetrics)
        for key, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, torchmetrics.Metric)
    }
    wanted = name.replace("_", "").replace("-", "").lower()
    if wanted in classes:
        return classes[wanted]
    raise InputError(
        f"metrics: {name!r}; must be accuracy or a class of torchmetrics such as f1_score, "
        "r2_score or mean_absolute_error; "
        + did_you_mean(wanted, ["accuracy", *classes], "correct the name")
    )


def _tried(name: str, make: Callable[[], OnDevice], kind: str, outputs: int) -> OnDevice:
    """Return a metric that has read a made-up batch: one that does not fit is told at once."""
    size, generator = max(8, outputs), torch.Generator().manual_seed(0)
    predicted, targets = torch.randn(2, size, outputs, generator=generator)
    if kind == "classification":
        targets = torch.arange(size) % outputs
    if kind == "multilabel":
        predicted, targets = predicted.sigmoid(), (targets > 0).long()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            metric = make()
            metric.update(predicted, targets)
            value: object = metric.compute()
        if isinstance(value, Tensor) and value.numel() == 1:
            return metric
        shape = f" of shape {tuple(value.shape)}" if isinstance(value, Tensor) else ""
        problem = f"it gives a {type(value).__name__}{shape}"
    except Exception as error:
        problem = one_line(error, 160) or type(error).__name__
    raise InputError(
        f"metrics: {name!r}; must give one number for a {kind} of {outputs} outputs ({problem}); "
        "choose another metric"
    )
