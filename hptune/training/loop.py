"""The training loop: one trial from its first iteration, or from a snapshot, to its result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor, nn

from hptune.errors import HptuneError
from hptune.policies import schedule
from hptune.results.divergence import DivergenceMonitor, divergence_message
from hptune.results.records import Status, Trial, TrialProgress, TrialResult
from hptune.task import Batch, Task
from hptune.training.batch import batches_from, gradients_of
from hptune.training.capture import Captured
from hptune.training.device import Device, reseed, seeded
from hptune.training.evaluation import Evaluation, evaluate_trial
from hptune.training.lengths import evaluation_points, iterations_per_epoch
from hptune.training.model import make_model
from hptune.training.optimizer import ScheduledOptimizer
from hptune.training.recorder import CurveRecorder
from hptune.training.result import sum_up
from hptune.training.snapshot import (
    State,
    load_state,
    model_state,
    random_state,
    restore_random_state,
    save_state,
)
from hptune.training.statistics import fresh_statistics, running_modules, statistics_batches

# Losses stay on the device for this many iterations at most: reading one waits for the device.
BLOCK = 64
SNAPSHOT_SECONDS = 5.0  # between two snapshots at least
SNAPSHOT_SHARE = 0.02  # of the time: what writing them may take, however large the model is
PROGRESS_SECONDS = 0.2

OnProgress = Callable[[TrialProgress], None]
"""Is told where a trial is."""


def run_trial(
    task: Task,
    trial: Trial,
    device: Device,
    *,
    snapshot: Path | None = None,
    parent: Path | None = None,
    checkpoint: Path | None = None,
    on_progress: OnProgress | None = None,
    until: int | None = None,
) -> TrialResult:
    """Train one trial. The caller's random states are as before afterwards.

    Args:
        task: Model, data and loss.
        trial: What to run.
        device: Where, and in which precision.
        snapshot: File to resume from where it exists, and to keep up to date meanwhile.
        parent: Snapshot of the trial that `trial.snapshot` names, to branch from.
        checkpoint: File that receives the trained weights.
        on_progress: Hears the progress, a few times a second at most.
        until: Iterations after which to pause, where the validation set is read: the result then has the
            status PRUNED, and the same trial goes on from `snapshot` when it is run again.

    Raises:
        InputError: The trial cannot run at all, for instance because its batch exceeds the data.
    """
    with seeded(trial.seed, device.torch_device) as outside:
        run = TrialRun(task, trial, device)
        run.resume(snapshot)
        if trial.snapshot is not None and not run.first_iteration:
            run.branch(parent)

        def tell(trial_progress: TrialProgress) -> None:
            if on_progress is not None:
                with outside():
                    on_progress(trial_progress)

        status, message = run.train(snapshot, tell, until)
        return run.finish(status, message, checkpoint)


class TrialRun:
    """A trial in progress: the model and all that changes with it."""

    def __init__(self, task: Task, trial: Trial, device: Device) -> None:
        self.task, self.trial, self.device = task, trial, device
        self.train_data = task.train.to(device.torch_device)
        self.validation_data = task.validation.to(device.torch_device)
        self.per_epoch = iterations_per_epoch(len(self.train_data), trial.batch_size)
        self.schedule = schedule(
            trial.policy.name,
            trial.iterations,
            lr=trial.lr,
            lr_min=trial.lr_min,
            momentum=trial.momentum,
            momentum_min=trial.momentum_min,
            momentum_mode=trial.policy.momentum,
            iterations_per_epoch=self.per_epoch,
            args=trial.policy.args,
        )
        self.model = make_model(task, device)
        # Drawn before the random states are set for training, which must not depend on it.
        self.statistics_batches = (
            statistics_batches(self.train_data, trial.batch_size, trial.seed)
            if trial.settings.fresh_statistics and running_modules(self.model)
            else []
        )
        self.optimizer = ScheduledOptimizer(
            self.model,
            trial.optimizer,
            lr=float(self.schedule.lr[0]),
            momentum=float(self.schedule.momentum[0]),
            weight_decay=trial.weight_decay,
        )
        # Dropout draws from here on, so it is paired across trials whose models differ.
        reseed(trial.seed)
        self.scaler = torch.amp.GradScaler(
            device.torch_device.type, enabled=device.dtype is torch.float16
        )
        self.recorder = CurveRecorder(
            self.schedule,
            weight_decay=trial.weight_decay,
            iterations_per_epoch=self.per_epoch,
            metrics=list(task.metrics),
        )
        # Knows nothing of the run: one that refers to itself would keep its memory when it is done.
        self.gradients = gradients_of(
            task, self.model, device, self.scaler, trial.settings.accumulate
        )
        self._pass = self.gradients
        self.monitor = DivergenceMonitor(trial.settings.divergence_factor)
        # Iterations after which the validation set is read.
        self.evaluate_at = {
            done - 1 for done in evaluation_points(trial.iterations, trial.settings.evaluations)
        }
        self.first_iteration = 0
        self.training_seconds = 0.0
        self.seconds_before = 0.0  # spent before a resume
        self.time_share = 1.0  # of the time that passes; less for trials that are trained as one
        self.began = time.perf_counter()
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        device.reset_peak_memory()

    def train(
        self, snapshot: Path | None, on_progress: OnProgress | None, until: int | None = None
    ) -> tuple[Status, str]:
        """Run the iterations; return how they ended and why."""
        lr, momentum = self.schedule.lr.tolist(), self.schedule.momentum.tolist()
        if until is not None and until <= self.first_iteration:
            return Status.PRUNED, f"stopped after iteration {self.first_iteration - 1}"
        batches = self.batches()
        losses: list[Tensor] = []
        self.begin()
        for iteration in range(self.first_iteration, self.trial.iterations):
            self.optimizer.set(lr[iteration], momentum[iteration])
            losses.append(self.step(batches))
            if iteration in self.evaluate_at or len(losses) == BLOCK:
                read = torch.stack(losses).tolist()  # waits for the device, so once a block
                losses.clear()
                if ended := self.end_of_block(iteration, read, snapshot, on_progress, until):
                    return ended
        return Status.COMPLETE, ""

    def begin(self) -> None:
        """Get ready for the first iteration."""
        self.model.train()
        remaining = self.trial.iterations - self.first_iteration
        if self._is_one_pass and self.device.uses_graph(remaining):
            self._pass = Captured(self.gradients, [self.model], self.device.torch_device)
        self.last_heard = self.last_snapshot = self.mark = time.perf_counter()
        self.snapshot_took = 0.0

    def end_of_block(
        self,
        iteration: int,
        losses: list[float],
        snapshot: Path | None,
        on_progress: OnProgress | None,
        until: int | None,
    ) -> tuple[Status, str] | None:
        """Do what is due between two blocks of iterations.

        In this order: a loss that diverged is not read on, a reading comes before what is told of
        it or decided by it, and only a trial that goes on is saved.

        Returns:
            How the trial ended and why; None where it goes on.
        """
        evaluated = iteration in self.evaluate_at
        ended = self._take_in(losses) or (self._read_validation(iteration) if evaluated else None)
        if ended:
            return ended
        if on_progress is not None and time.perf_counter() - self.last_heard > PROGRESS_SECONDS:
            on_progress(self.recorder.progress(iteration, self.first_iteration, losses))
            self.last_heard = time.perf_counter()
        if evaluated and self.recorder.stops_early(self.trial.settings.early_stopping):
            return Status.COMPLETE, f"stopped early after iteration {iteration}"
        if iteration + 1 == until and until < self.trial.iterations:
            assert snapshot is not None, "a trial pauses into its snapshot"
            self._save(snapshot, until)
            return Status.PRUNED, f"stopped after iteration {iteration}"
        if snapshot is not None:
            self._save_if_due(snapshot, iteration + 1)
        self.mark = time.perf_counter()
        return None

    def _take_in(self, losses: list[float]) -> tuple[Status, str] | None:
        """Record the losses of a block and the time that it took; say whether the trial diverged."""
        self.recorder.add_losses(losses)
        self.training_seconds += (time.perf_counter() - self.mark) * self.time_share
        at = self.monitor.update(self.recorder.losses[self.monitor.seen :])
        if at is None:
            return None
        self.recorder.cut(at + 1)
        return Status.DIVERGED, divergence_message(
            self.recorder.losses, self.schedule.lr[at], self.monitor.factor
        )

    def _read_validation(self, iteration: int) -> tuple[Status, str] | None:
        """Record loss and metrics on the validation set; a loss that is not finite ends the trial."""
        evaluation, as_is = self._evaluate(), None
        if self.statistics_batches:
            as_is = evaluation.loss
            with fresh_statistics(self.task, self.model, self.statistics_batches, self.device):
                evaluation = self._evaluate()
        self.recorder.add_evaluation(iteration, evaluation, self._seconds(), as_is)
        if math.isfinite(evaluation.loss):
            return None
        return Status.DIVERGED, f"the validation loss after iteration {iteration} is not finite"

    def _evaluate(self) -> Evaluation:
        return evaluate_trial(
            self.task,
            self.trial,
            self.model,
            self.validation_data,
            self.device,
            limit=self.trial.settings.evaluate_limit,
        )

    def _save_if_due(self, snapshot: Path, next_iteration: int) -> None:
        """Write a snapshot from time to time, the more rarely the longer the last one took."""
        began = time.perf_counter()
        interval = max(SNAPSHOT_SECONDS, self.snapshot_took / SNAPSHOT_SHARE)
        if began - self.last_snapshot > interval:
            self._save(snapshot, next_iteration)
            self.last_snapshot = time.perf_counter()
            self.snapshot_took = self.last_snapshot - began

    def step(self, batches: Iterator[Batch]) -> Tensor:
        """Take one optimizer step; return the mean loss of its batch, still on the device."""
        accumulate = self.trial.settings.accumulate
        total: Tensor | None = None
        for _ in range(accumulate):
            loss = self._pass(next(batches))
            total = loss if total is None else total + loss
        self.clip()
        if self.scaler.is_enabled():
            self.scaler.step(self.optimizer.torch)
            self.scaler.update()
            self.optimizer.drop_gradients()
        else:
            self.optimizer.step()
        assert total is not None
        return total

    @property
    def _is_one_pass(self) -> bool:
        """Whether a step is one forward and backward pass, whose gradients need no scaling."""
        return self.trial.settings.accumulate == 1 and not self.scaler.is_enabled()

    @property
    def not_captured(self) -> str | None:
        """Why the passes could not be recorded, if they were to be."""
        return self._pass.error if isinstance(self._pass, Captured) else None

    def clip(self) -> None:
        """Bound the norm of the gradient where the trial says so."""
        clip_norm = self.trial.settings.clip_norm
        if clip_norm is not None:
            self.scaler.unscale_(self.optimizer.torch)
            nn.utils.clip_grad_norm_(self.model.parameters(), clip_norm)

    def batches(self) -> Iterator[Batch]:
        """Yield the batches of the remaining iterations, pass after pass."""
        return batches_from(self.train_data, self.trial, self.first_iteration)

    def _seconds(self) -> float:
        return self.seconds_before + (time.perf_counter() - self.began) * self.time_share

    def _save(self, path: Path, next_iteration: int) -> None:
        state = {
            "trial": self.trial.digest,
            "iteration": next_iteration,
            "model": model_state(self.model),
            "optimizer": self.optimizer.state(),
            "scaler": self.scaler.state_dict(),
            "random": random_state(self.device.torch_device),
            "recorder": self.recorder.state(),
            "training_seconds": self.training_seconds,
            "seconds": self._seconds(),
            "started": self.started,
        }
        save_state(path, state)

    def resume(self, path: Path | None) -> None:
        """Continue from a snapshot of this very trial where there is one."""
        state = load_state(path) if path is not None else None
        if state is None or state.get("trial") != self.trial.digest:
            return
        self.optimizer.load(state["optimizer"])
        self.recorder.load(state["recorder"])
        self._continue(state)
        self.training_seconds = state["training_seconds"]
        self.seconds_before, self.started = state["seconds"], state["started"]

    def branch(self, path: Path | None) -> None:
        """Continue from another trial's snapshot with this one's hyper-parameters.

        Raises:
            HptuneError: The snapshot is not there, or is not the one that the trial names.
        """
        state = load_state(path) if path is not None else None
        if state is None or f"{state.get('trial')}@{state['iteration']}" != self.trial.snapshot:
            raise HptuneError(f"{path}: is not the snapshot {self.trial.snapshot} to branch from")
        self.optimizer.load_history(state["optimizer"])
        self.recorder.branch(state["recorder"])
        self._continue(state)

    def _continue(self, state: State) -> None:
        self.model.load_state_dict(state["model"])
        self.scaler.load_state_dict(state["scaler"])
        restore_random_state(state["random"], self.device.torch_device)
        self.monitor.update(self.recorder.losses)
        self.first_iteration = state["iteration"]

    def finish(self, status: Status, message: str, checkpoint: Path | None) -> TrialResult:
        """Save the weights of a trial that ran to its end, and sum up."""
        if checkpoint is not None and status is Status.COMPLETE:
            weights = model_state(self.model)
            save_state(checkpoint, {"trial": self.trial.id, "model": weights})
        return sum_up(
            self.task,
            self.trial,
            self.device,
            self.recorder,
            status=status,
            message=message,
            started=self.started,
            seconds=self._seconds(),
            training_seconds=self.training_seconds,
        )
