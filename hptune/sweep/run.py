"""Runs trials: reuses what the run directory holds, records what ends, survives what fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from hptune.errors import HptuneError
from hptune.results.records import Curve, Stage, Status, Trial, TrialResult
from hptune.results.run_dir import RunDir
from hptune.sweep.progress import Progress
from hptune.task import Task
from hptune.training.device import Device
from hptune.training.loop import run_trial
from hptune.training.speed import measure_speed

# Whose weights a user wants to keep; the search's trials leave curves only.
_KEEPS_WEIGHTS = (Stage.FINAL, Stage.TRAIN)


@dataclass(frozen=True)
class Runner:
    """Runs trials of one task into one run directory."""

    task: Task
    run_dir: RunDir
    device: Device
    progress: Progress

    def run(self, trials: Sequence[Trial]) -> list[TrialResult]:
        """Run trials one after another and return their results in the order given.

        A trial that the run directory holds is not run again. A trial that fails is a row
        with status failed; the others go on.

        Raises:
            InputError: A trial cannot run at all.
        """
        return [self._run(trial, n, len(trials)) for n, trial in enumerate(trials, 1)]

    def examples_per_second(self, trial: Trial) -> float:
        """Return the training speed at a trial's batch size, measured once a run directory."""
        key = f"examples_per_second/{self.task.fingerprint}/{self.device.torch_device}/{trial.batch_size}"
        known = self.run_dir.timing(key)
        if isinstance(known, int | float):
            return float(known)
        speed = measure_speed(self.task, trial, self.device)
        self.run_dir.set_timing(key, speed)
        return speed

    def _run(self, trial: Trial, number: int, of: int) -> TrialResult:
        known = self.run_dir.result(trial)
        if known is not None:
            self.progress.trial_finished(known, reused=True)
            return known
        self.progress.trial_started(trial, number, of)

        def advance(iteration: int, lr: float, train_loss: float, val_loss: float | None) -> None:
            self.progress.trial_advanced(
                trial, iteration, lr=lr, train_loss=train_loss, val_loss=val_loss
            )

        snapshot = self.run_dir.snapshot(trial.id)
        keep = trial.stage in _KEEPS_WEIGHTS
        try:
            result = run_trial(
                self.task,
                trial,
                self.device,
                snapshot=snapshot,
                checkpoint=self.run_dir.checkpoint(trial.id) if keep else None,
                advance=advance,
            )
        except (HptuneError, OSError):
            raise  # wrong for every trial; a full disk, for one
        except Exception as error:
            result = self._failure(trial, error)
        self.run_dir.add(result)
        snapshot.unlink(missing_ok=True)
        self.progress.trial_finished(result, reused=False)
        return result

    def _failure(self, trial: Trial, error: Exception) -> TrialResult:
        nothing = np.empty(0)
        return TrialResult(
            trial=trial,
            status=Status.FAILED,
            data=self.task.data,
            model=self.task.model,
            device=self.device.name,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            epochs=0.0,
            seconds=0.0,
            curve=Curve(
                iteration=np.empty(0, dtype=np.int64),
                epoch=nothing,
                lr=nothing,
                momentum=nothing,
                weight_decay=nothing,
                train_loss=nothing,
                val_loss=nothing,
                metrics=dict.fromkeys(self.task.metrics, nothing),
                seconds=nothing,
            ),
            val_metrics=dict.fromkeys(self.task.metrics),
            best_val_metrics=dict.fromkeys(self.task.metrics),
            test_metrics=dict.fromkeys(self.task.metrics),
            message=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
        )
