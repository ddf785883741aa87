"""Runs trials: reuses what the run directory holds, records what ends, survives what fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from hptune.errors import HptuneError
from hptune.results.records import Curve, Stage, Status, Trial, TrialResult
from hptune.results.run_dir import RunDir
from hptune.sweep.budget import Budget
from hptune.sweep.progress import Progress
from hptune.task import Task
from hptune.training.device import Device
from hptune.training.loop import iterations_per_epoch, run_trial
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
    budget: Budget = field(default_factory=Budget)

    def run(self, trials: Sequence[Trial], until: Sequence[int] = ()) -> list[TrialResult]:
        """Run trials one after another and return their results in the order given.

        A trial that the run directory holds is not run again. A trial that fails is a row
        with status failed; the others go on.

        Args:
            trials: What to run.
            until: Iterations after which each trial pauses; by default none does. What has
                paused is no row yet, and goes on when it is run again.

        Raises:
            InputError: A trial cannot run at all.
        """
        of = len(trials)
        pauses: Sequence[int | None] = until or [None] * of
        results = []
        for n, (trial, pause) in enumerate(zip(trials, pauses, strict=True), 1):
            result = self._run(trial, n, of, pause)
            if result.trial.stage is trial.stage:
                self.budget.add(result, shared=self._shared(trial))
            results.append(result)
        return results

    def affords(self, trials: Sequence[Trial]) -> bool:
        """Say whether the budget allows these; what another stage has run costs nothing.

        What a run before this one has left of the same stage counts in full, so that both
        decide alike.
        """
        return self.budget.affords(sum(self._epochs(t) for t in trials if not self._free(t)))

    def _free(self, trial: Trial) -> bool:
        known = self.run_dir.result(trial)
        return known is not None and (
            known.trial.stage is not trial.stage or self.budget.has(known.trial)
        )

    def _epochs(self, trial: Trial) -> float:
        per_epoch = iterations_per_epoch(len(self.task.train), trial.batch_size)
        return trial.iterations / per_epoch - self._shared(trial)

    def _shared(self, trial: Trial) -> float:
        """Return the epochs that a branch has from its trunk."""
        if trial.snapshot is None:
            return 0.0
        done = int(trial.snapshot.split("@")[1])
        return done / iterations_per_epoch(len(self.task.train), trial.batch_size)

    def trunk(self, trial: Trial, until: int) -> TrialResult:
        """Run the part of a trial that branches share, up to an iteration, and keep its state.

        Runs on from where an earlier call with a smaller `until` stopped.
        """
        path = self.run_dir.snapshot(trial.digest)
        return run_trial(self.task, trial, self.device, snapshot=path, until=until)

    def drop(self, result: TrialResult) -> None:
        """Record a paused trial that will not go on."""
        self.run_dir.add(result)
        self.run_dir.snapshot(result.trial.id).unlink(missing_ok=True)
        self.progress.trial_finished(result, reused=False)

    def examples_per_second(self, trial: Trial) -> float:
        """Return the training speed at a trial's batch size, measured once a run directory."""
        key = f"examples_per_second/{self.task.fingerprint}/{self.device.torch_device}/{trial.batch_size}"
        known = self.run_dir.timing(key)
        if isinstance(known, int | float):
            return float(known)
        speed = measure_speed(self.task, trial, self.device)
        self.run_dir.set_timing(key, speed)
        return speed

    def _run(self, trial: Trial, number: int, of: int, until: int | None) -> TrialResult:
        known = self.run_dir.result(trial)
        if known is not None:
            if until is None:
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
                trunk=self.run_dir.snapshot(trial.snapshot) if trial.snapshot else None,
                checkpoint=self.run_dir.checkpoint(trial.id) if keep else None,
                advance=advance,
                until=until,
            )
        except (HptuneError, OSError):
            raise  # wrong for every trial; a full disk, for one
        except Exception as error:
            result = self._failure(trial, error)
        if result.status is Status.PRUNED:  # paused
            return result
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
