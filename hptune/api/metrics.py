"""Metrics of any task by their names, fed with what models return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from hptune.config.metrics import find_metrics
from hptune.errors import InputError
from hptune.step import fitted
from hptune.task import Metric, MetricSpec

AUTO = {"classification": ("accuracy",), "regression": ("r2_score",), "multilabel": ("accuracy",)}
KINDS = tuple(AUTO)
Metrics = str | Sequence[str] | Mapping[str, MetricSpec] | None


@dataclass(frozen=True)
class MetricInputs:
    """How a model's outputs and the targets are brought into the form that metrics take.

    Attributes:
        kind: "classification", "regression" or "multilabel".
        logits: Whether outputs of several classes at once are still to go through a sigmoid.
    """

    kind: str
    logits: bool = True

    def __call__(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return classes as (N, C) and (N,), numbers in one shape, labels as 0 and 1."""
        if self.kind == "multilabel":
            outputs = outputs.sigmoid() if self.logits else outputs
            if outputs.ndim < 2 or outputs.shape[1] == 1:
                return outputs.flatten(), targets.flatten().long()
            return outputs, targets.long()
        if self.kind == "regression":
            targets = targets.to(outputs.dtype)
        many = self.kind == "classification" and targets.ndim > 1
        outputs, targets = fitted(outputs, targets)
        if many:  # places without a target, as torch's cross-entropy has them
            outputs, targets = outputs[targets >= 0], targets[targets >= 0]
        return outputs, targets


class AdaptedMetric:
    """A metric behind a `MetricInputs`."""

    def __init__(self, metric: Metric, metric_inputs: MetricInputs) -> None:
        self._metric, self._metric_inputs = metric, metric_inputs

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take a batch in."""
        self._metric.update(*self._metric_inputs(outputs, targets))

    def compute(self) -> Tensor:
        """Return the value over all batches."""
        return self._metric.compute()


def metrics_for(
    metrics: Metrics, metric_inputs: MetricInputs | None, outputs: int
) -> dict[str, MetricSpec]:
    """Return metrics by name.

    Args:
        metrics: Names as in the YAML, or specifications; None takes the usual one of the kind.
        metric_inputs: None where outputs or targets are not known, so that only a loss is.
        outputs: Classes, labels, or numbers.

    Raises:
        InputError: No such metric, or nothing to compute it from.
    """
    if isinstance(metrics, Mapping):
        return dict(metrics)
    names = [metrics] if isinstance(metrics, str) else metrics
    if metric_inputs is None:
        if names:
            raise InputError(
                f"metrics: {', '.join(names)}; outputs and targets are not known; let step return "
                "(loss, outputs, targets), or say kind='classification', 'regression' or 'multilabel'"
            )
        return {}
    found = find_metrics(
        AUTO[metric_inputs.kind] if names is None else names,
        kind=metric_inputs.kind,
        outputs=outputs,
    )
    return {
        name: MetricSpec(
            partial(_adapted, spec, metric_inputs), higher_is_better=spec.higher_is_better
        )
        for name, spec in found.items()
    }


def _adapted(spec: MetricSpec, metric_inputs: MetricInputs) -> Any:
    return AdaptedMetric(spec.make(), metric_inputs)
