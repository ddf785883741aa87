"""What a trial amounts to once it has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from hptune.errors import one_line
from hptune.results.records import Curve, Status, Trial, TrialResult
from hptune.task import Task
from hptune.training.device import Device


def summary(task: Task, curve: Curve) -> dict[str, Any]:
    """Return the fields of a `TrialResult` that follow from a trial's curve.

    The training loss is the mean over the last epoch; the last evaluation counts as it is, the best
    ones among those that are finite.
    """
    if not len(curve):
        unread = dict.fromkeys(task.metrics)
        return {"curve": curve, "epochs": 0.0, "val_metrics": unread, "best_val_metrics": unread}
    tail = curve.train_loss[-round(1 / curve.epoch[0]) :].tolist()
    read = np.flatnonzero(np.isfinite(curve.seconds))

    def last_and_best(values: np.ndarray, best: Any) -> tuple[float | None, float | None]:
        own = values[read].tolist()
        finite = [value for value in own if np.isfinite(value)]
        return own[-1] if own else None, best(finite, default=None)

    val_loss, best_val_loss = last_and_best(curve.val_loss, min)
    metrics = {
        name: last_and_best(curve.metrics[name], max if spec.higher_is_better else min)
        for name, spec in task.metrics.items()
    }
    return {
        "curve": curve,
        "epochs": float(curve.epoch[-1]),
        "train_loss": sum(tail) / len(tail),
        "val_loss": val_loss,
        "best_val_loss": best_val_loss,
        "val_metrics": {name: last for name, (last, _) in metrics.items()},
        "best_val_metrics": {name: best for name, (_, best) in metrics.items()},
    }


def result_of(
    task: Task, trial: Trial, device: Device, curve: Curve, *, status: Status, **known: Any
) -> TrialResult:
    """Return a trial's result from its curve and what else is known: other fields of the result."""
    return TrialResult(
        trial=trial,
        status=status,
        data=task.data,
        model=task.model,
        device=device.name,
        test_metrics=dict.fromkeys(task.metrics),
        **summary(task, curve),
        **known,
    )


def read_at(result: TrialResult, iteration: int) -> TrialResult:
    """Return a result by the weights after an iteration at which the validation set was read."""
    curve = result.curve
    metrics = {name: float(curve.metrics[name][iteration]) for name in result.val_metrics}
    return replace(
        result,
        val_loss=float(curve.val_loss[iteration]),
        val_metrics=metrics,
        message=f"weights after iteration {iteration}, of the lowest validation loss",
    )


def with_test(result: TrialResult, tests: Mapping[str, float]) -> TrialResult:
    """Return a result with the values that a loop of the user's own read from its test set, if any."""
    metrics = {name: tests.get(f"test_{name}") for name in result.val_metrics}
    return replace(result, test_loss=tests.get("test_loss"), test_metrics=metrics)


def failed(task: Task, trial: Trial, device: Device, error: Exception | str) -> TrialResult:
    """Return the result of a trial that failed, with an empty curve."""
    if isinstance(error, Exception):
        error = f"{type(error).__name__}: {one_line(error, 300)}"
    nothing: dict[str, Any] = {item.name: np.empty(0) for item in fields(Curve)}
    nothing["iteration"] = np.empty(0, dtype=np.int64)
    nothing["metrics"] = dict.fromkeys(task.metrics, np.empty(0))
    curve = Curve(**nothing)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return result_of(
        task,
        trial,
        device,
        curve,
        status=Status.FAILED,
        started=started,
        seconds=0.0,
        message=error,
    )
