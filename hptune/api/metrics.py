"""Metrics of any task by their names, fed with what models return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor

from hptune.config.metrics import find_metrics
from hptune.errors import InputError
from hptune.step import fitted
from hptune.task import MetricSpec

AUTO = {"classification": ("accuracy",), "regression": ("r2_score",), "multilabel": ("accuracy",)}
KINDS = tuple(AUTO)
Metrics = str | Sequence[str] | Mapping[str, MetricSpec] | None


class AdaptedMetric:
    """A metric that is fed with a model's outputs and the targets as they are.

    Args:
        spec: Of the metric.
        kind: "classification", "regression" or "multilabel".
        logits: Whether outputs of several classes at once are still to go through a sigmoid.
    """

    def __init__(self, spec: MetricSpec, kind: str, logits: bool) -> None:
        self._metric, self._kind, self._logits = spec.make(), kind, logits

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take a batch in: classes as (N, C) and (N,), numbers in one shape, labels as 0 and 1."""
        if self._kind == "multilabel":
            outputs = outputs.sigmoid() if self._logits else outputs
            if outputs.ndim < 2 or outputs.shape[1] == 1:
                outputs, targets = outputs.flatten(), targets.flatten()
            return self._metric.update(outputs, targets.long())
        if self._kind == "regression":
            targets = targets.to(outputs.dtype)
        many = self._kind == "classification" and targets.ndim > 1
        outputs, targets = fitted(outputs, targets)
        if many:  # places without a target, as torch's cross-entropy has them
            outputs, targets = outputs[targets >= 0], targets[targets >= 0]
        return self._metric.update(outputs, targets)

    def compute(self) -> Tensor:
        """Return the value over all batches."""
        return self._metric.compute()


def metrics_for(
    metrics: Metrics, kind: str | None, outputs: int, *, logits: bool = True
) -> dict[str, MetricSpec]:
    """Return metrics by name.

    Args:
        metrics: Names as in the YAML, or specifications; None takes the usual one of the kind.
        kind: None where outputs or targets are not known, so that only a loss is.
        outputs: Classes, labels, or numbers.
        logits: As for `AdaptedMetric`.

    Raises:
        InputError: No such metric, or nothing to compute it from.
    """
    if isinstance(metrics, Mapping):
        return dict(metrics)
    names = [metrics] if isinstance(metrics, str) else metrics
    if kind is None:
        if names:
            raise InputError(
                f"metrics: {', '.join(names)}; outputs and targets are not known; let step return "
                "(loss, outputs, targets), or say kind='classification', 'regression' or 'multilabel'"
            )
        return {}
    found = find_metrics(AUTO[kind] if names is None else names, kind=kind, outputs=outputs)
    return {
        name: replace(spec, make=partial(AdaptedMetric, spec, kind, logits))
        for name, spec in found.items()
    }
