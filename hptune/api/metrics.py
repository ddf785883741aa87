"""Metrics of any task by their names, or as they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hptune.config.metrics import find_metrics
from hptune.errors import InputError
from hptune.explain import short
from hptune.task import MetricSpec

AUTO = {"classification": ("accuracy",), "regression": ("r2_score",), "multilabel": ("accuracy",)}
KINDS = tuple(AUTO)
Metrics = str | Sequence[str] | Mapping[str, MetricSpec] | None


def metrics_for(
    metrics: Metrics,
    kind: str | None,
    outputs: int,
    *,
    logits: bool = True,
    ignored: int | None = None,
) -> dict[str, MetricSpec]:
    """Return metrics by name.

    Args:
        metrics: Names as in the YAML, or specifications; None takes the usual one of the kind.
        kind: None where outputs or targets are not known, so that only a loss is.
        outputs: Classes, labels, or numbers.
        logits: Whether outputs of several classes at once are still to go through a sigmoid.
        ignored: The target of places that do not count, where there may be one.

    Raises:
        InputError: No such metric, or nothing to compute it from.
    """
    if isinstance(metrics, Mapping):
        for name, spec in metrics.items():
            if not isinstance(name, str) or not isinstance(spec, MetricSpec):
                raise InputError(
                    f"metrics: {short(name)}: {short(spec)}; must be an hptune.task.MetricSpec by its name; "
                    "make it from a class that has update(outputs, targets) and compute()"
                )
        return dict(metrics)
    names = [metrics] if isinstance(metrics, str) else metrics
    if names is not None and not (
        isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    ):
        raise InputError(
            f"metrics: {short(metrics)}; must be names, or specifications by name; write "
            '["accuracy", "f1_score"], say'
        )
    if kind is None:
        if names:
            raise InputError(
                f"metrics: {', '.join(names)}; outputs and targets are not known; let step return "
                "(loss, outputs, targets), or say kind='classification', 'regression' or 'multilabel'"
            )
        return {}
    wanted = AUTO[kind] if names is None else names
    return find_metrics(wanted, kind=kind, outputs=outputs, logits=logits, ignored=ignored)
