"""What a trial amounts to once it has ended."""

from __future__ import annotations

from typing import Any

from hptune.results.records import Status, Trial, TrialResult
from hptune.task import Task
from hptune.training.device import Device
from hptune.training.lengths import iterations_per_epoch
from hptune.training.recorder import CurveRecorder


def sum_up(
    task: Task,
    trial: Trial,
    device: Device,
    recorder: CurveRecorder,
    *,
    status: Status,
    message: str,
    started: str,
    seconds: float,
    training_seconds: float,
) -> TrialResult:
    """Return a trial's result.

    Args:
        task: What was trained.
        trial: With which hyper-parameters.
        device: Where.
        recorder: The losses and evaluations up to the end.
        status: How it ended.
        message: Why it ended so.
        started: When it was started, ISO 8601.
        seconds: Wall time.
        training_seconds: The part of it that was spent training.
    """
    last = recorder.evaluations[max(recorder.evaluations)] if recorder.evaluations else None
    done, per_epoch = len(recorder.losses), iterations_per_epoch(len(task.train), trial.batch_size)
    best: dict[str, Any] = {
        name: recorder.best_metric(name, higher_is_better=spec.higher_is_better)
        for name, spec in task.metrics.items()
    }
    tail = recorder.losses[-min(done, per_epoch) :]
    return TrialResult(
        trial=trial,
        status=status,
        data=task.data,
        model=task.model,
        device=device.name,
        started=started,
        epochs=done / per_epoch,
        seconds=seconds,
        curve=recorder.curve(),
        train_loss=sum(tail) / len(tail) if tail else None,
        val_loss=last.loss if last else None,
        best_val_loss=recorder.best_loss(),
        val_metrics=dict(last.metrics) if last else dict.fromkeys(task.metrics),
        best_val_metrics=best,
        test_metrics=dict.fromkeys(task.metrics),
        examples_per_second=done * trial.batch_size / max(training_seconds, 1e-9),
        peak_memory_mb=device.peak_memory_mb(),
        message=message,
    )
