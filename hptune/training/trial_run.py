"""A trial in progress: the model and all that changes with it, and what is due between blocks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor, nn

from hptune.errors import HptuneError, InputError
from hptune.results.divergence import DivergenceMonitor, divergence_message
from hptune.results.records import Status, Trial, TrialProgress, TrialResult
from hptune.task import Batch, Task
from hptune.training.device import Device, random_state, reseed, restore_random_state
from hptune.training.evaluation import reading
from hptune.training.freezing import Releases, train_mode
from hptune.training.lengths import evaluation_points, iterations_per_epoch
from hptune.training.methods import Methods
from hptune.training.model import make_model
from hptune.training.optimizer import ScheduledOptimizer
from hptune.training.planned import planned
from hptune.training.recorder import CurveRecorder, filled
from hptune.training.result import result_of
from hptune.training.shared_gradients import loss_on_batches
from hptune.training.snapshot import State, load_state, model_state, save_state
from hptune.training.validation import Validation

SNAPSHOT_SECONDS = 5.0  # between two snapshots at least
SNAPSHOT_SHARE = 0.02  # of the time: what writing them may take, however large the model is
PROGRESS_SECONDS = 0.2


@dataclass(frozen=True)
class Job:
    """A trial to run with the files it works on.

    Attributes:
        trial: What to run.
        snapshot: File to resume from where it exists, and to keep up to date meanwhile.
        parent: Snapshot of the trial that `trial.snapshot` names, to branch from.
        checkpoint: File that receives the trained weights, and beside them those of the lowest
            validation loss where that was not the last one.
        log: File for what a loop of the user's own prints, or where it failed.
        until: Iterations after which to pause, where the validation set is read: the result then
            has the status PRUNED, and the trial goes on from `snapshot` when it is run again.
    """

    trial: Trial
    snapshot: Path | None = None
    parent: Path | None = None
    checkpoint: Path | None = None
    until: int | None = None
    log: Path | None = None


OnProgress = Callable[[Job, TrialProgress], None]
"""Is told where a job is."""
Weights = tuple[int, dict[str, Tensor]]
"""The iteration after which they were read, and parameters and buffers."""


class TrialRun:
    """A trial in progress, resumed where its job has a snapshot of it.

    Args:
        task: Model, data and loss.
        job: The trial and its files.
        device: Where, and in which precision.
        on_progress: Hears the progress, a few times a second at most.
        time_share: Of the time that passes, the trial's part: less than 1 where others train with it.

    Attributes:
        rates: LR and momentum of every iteration.
        releases: Of frozen blocks.
        evaluate_at: Iterations after which the validation set is read.
        first_iteration: Above 0 after a resume.
        ended: How it ended and why; None while it goes on.
        loss: Computes the loss on a batch.

    Raises:
        InputError: The trial cannot run at all, for instance because its batch exceeds the data.
        HptuneError: The snapshot to branch from is not there, or is another one.
    """

    def __init__(
        self,
        task: Task,
        job: Job,
        device: Device,
        on_progress: OnProgress | None = None,
        time_share: float = 1.0,
    ) -> None:
        trial, settings = job.trial, job.trial.settings
        self.task, self.job, self.trial, self.device = task, job, trial, device
        self._on_progress, self._time_share = on_progress, time_share
        self.train_data, self.validation_data = (
            split.to(device.torch_device) for split in (task.train, task.validation)
        )
        per_epoch = iterations_per_epoch(len(self.train_data), trial.batch_size)
        course = planned(trial, per_epoch)
        self.rates = list(zip(course.lr.tolist(), course.momentum.tolist(), strict=True))
        reseed(trial.seed)
        ranks = device.ranks
        self.model = train_mode(ranks.converted(make_model(task, device)))
        self.releases = Releases(self.model, task.freeze, trial.iterations)
        lr, momentum = self.rates[0]
        values = {"lr": lr, "momentum": momentum, "weight_decay": trial.weight_decay}
        later = self.releases.first
        self.optimizer = ScheduledOptimizer(self.model, trial.optimizer, **values, later=later)
        # Made before the random states are set for training, which must not depend on it.
        self._validation = Validation(
            task,
            trial,
            device,
            model=self.model,
            optimizer=self.optimizer,
            train=self.train_data,
            validation=self.validation_data,
        )
        # Dropout draws from here on, so it is paired across trials whose models differ.
        reseed(ranks.seed(trial.seed))
        is_half = device.dtype is torch.float16
        self.scaler = torch.amp.GradScaler(device.torch_device.type, enabled=is_half)
        weight_decays = [(0, trial.weight_decay)]
        self.recorder = CurveRecorder(course, per_epoch, list(task.metrics), weight_decays)
        self.monitor = DivergenceMonitor(settings.divergence_factor)
        due = evaluation_points(trial.iterations, settings.evaluations)
        self.evaluate_at = {done - 1 for done in due}
        self.ended: tuple[Status, str] | None = None
        self.first_iteration = 0
        self._lowest: Weights | None = None
        self.training_seconds = self._seconds_before = self._snapshot_took = 0.0
        self._began = time.perf_counter()
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self._methods = Methods(self.model, trial, self._validation.average)
        self._resume()
        self._methods.begin(self.first_iteration)
        self.loss = loss_on_batches(self.model, task.step, device, trial)
        device.reset_peak_memory()

    def begin(self) -> None:
        """Start the clocks: the first iteration is next."""
        self._last_heard = self._last_snapshot = self._mark = time.perf_counter()

    def gradients(self, batch: Batch) -> Tensor:
        """Add the gradients on a batch, and return its share of the loss, detached."""
        with self.device.autocast():
            loss = self.loss(batch)
        if self.trial.settings.accumulate > 1:
            loss = loss / self.trial.settings.accumulate
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def step_on(self, batch: Batch) -> Tensor:
        """Update the parameters by the gradients on a batch, and return the loss, detached."""
        loss = self.gradients(batch)
        self.step()
        return loss

    def update(self) -> None:
        """Take a step from the gradients, unless the pass has done that; and what follows a step."""
        if self.optimizer.on_device is None:
            self.step()
        self._methods.after_step()

    def step(self) -> None:
        """Update the parameters from their gradients, clipped and with noise where the trial says so."""
        clip_norm, scaled = self.trial.settings.clip_norm, self.scaler.is_enabled()
        if scaled and (clip_norm is not None or self._methods.has_noise):
            self.scaler.unscale_(self.optimizer.torch)
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), clip_norm)
        self._methods.before_step()
        if scaled:
            self.scaler.step(self.optimizer.torch)
            self.scaler.update()
            self.optimizer.drop_gradients()
        else:
            self.optimizer.step()

    def end_of_block(self, iteration: int, losses: Sequence[float]) -> None:
        """Do what is due between two blocks of iterations; `ended` says whether the trial goes on.

        In this order: a loss that diverged is not read on, a reading comes before what is told of
        it or decided by it, and only a trial that goes on is saved.

        Args:
            iteration: The last one of the block.
            losses: Of the block.
        """
        job, settings = self.job, self.trial.settings
        evaluated = iteration in self.evaluate_at
        self._take_in(losses)
        if evaluated and not self.ended:
            with self._validation.weights():
                self._read_validation(iteration)
        if self.ended:
            return
        if self._on_progress and time.perf_counter() - self._last_heard > PROGRESS_SECONDS:
            self._on_progress(job, self.recorder.progress(iteration, self.first_iteration, losses))
            self._last_heard = time.perf_counter()
        if evaluated and self.recorder.stops_early(settings.early_stopping):
            self.ended = Status.COMPLETE, f"stopped early after iteration {iteration}"
        elif iteration + 1 == job.until and job.until < self.trial.iterations:
            self.save(iteration + 1)
            self._pause(iteration)
        else:
            self._save_if_due(iteration + 1)
            self._mark = time.perf_counter()

    def _pause(self, iteration: int) -> None:
        self.ended = Status.PRUNED, f"stopped after iteration {iteration}"

    def _take_in(self, losses: Sequence[float]) -> None:
        """Record the losses of a block and the time that it took, and see whether they diverge."""
        recorded = self.recorder.losses
        if self.task.ignored is not None:
            losses = filled(losses, recorded)
        recorded.extend(losses)
        self.training_seconds += (time.perf_counter() - self._mark) * self._time_share
        at = self.monitor.update(losses)
        if at is not None:
            del recorded[at + 1 :]
            message = divergence_message(recorded, self.rates[at][0], self.monitor.factor)
            self.ended = Status.DIVERGED, message

    def _read_validation(self, iteration: int) -> None:
        """Record loss and metrics on the validation set; a loss that is not finite ends the trial."""
        self.device.ranks.share_buffers(self.model)
        evaluation, as_is = self._validation.read()
        if as_is is not None:
            self.recorder.as_is[iteration] = as_is
        self.recorder.evaluations[iteration] = evaluation
        self.recorder.seconds[iteration] = self._seconds()
        if not math.isfinite(evaluation.loss):
            message = f"the validation loss after iteration {iteration} is not finite"
            self.ended = Status.DIVERGED, message
        elif self._checkpoint is not None and self.recorder.lowest_at() == iteration:
            state = model_state(self.model)  # which shares the memory that training goes on in
            self._lowest = iteration, {name: value.clone() for name, value in state.items()}

    @property
    def _checkpoint(self) -> Path | None:
        return self.job.checkpoint if self.device.ranks.leads else None

    def _seconds(self) -> float:
        return self._seconds_before + (time.perf_counter() - self._began) * self._time_share

    def _save_if_due(self, next_iteration: int) -> None:
        """Write a snapshot from time to time, the more rarely the longer the last one took."""
        if self.job.snapshot is None:
            return
        began = time.perf_counter()
        interval = max(SNAPSHOT_SECONDS, self._snapshot_took / SNAPSHOT_SHARE)
        if self.device.ranks.shared(began - self._last_snapshot > interval):
            self.save(next_iteration)
            self._last_snapshot = time.perf_counter()
            self._snapshot_took = self._last_snapshot - began

    def save(self, next_iteration: int) -> None:
        """Write the snapshot that the trial goes on from, where its job has a file for it."""
        if self.job.snapshot is None:
            return
        random = self.device.ranks.at_first(random_state(self.device.torch_device))
        if not random:  # another process writes it
            return
        state = {
            "trial": self.trial.digest,
            "iteration": next_iteration,
            "model": model_state(self.model),
            "optimizer": self.optimizer.state(),
            "scaler": self.scaler.state_dict(),
            "methods": self._methods.state(),
            "random": random[0],
            "random_of_others": list(random[1:]),
            "recorder": self.recorder.state(),
            "lowest": self._lowest,
            "training_seconds": self.training_seconds,
            "seconds": self._seconds(),
            "started": self._started,
        }
        save_state(self.job.snapshot, state)

    def _resume(self) -> None:
        """Continue from a snapshot of this very trial where there is one, else from its parent's."""
        state = load_state(self.job.snapshot)
        if state is not None and state.get("trial") == self.trial.digest:
            self.optimizer.load(state["optimizer"])
            self.recorder.load(state["recorder"])
            self._lowest = state["lowest"]
            self.training_seconds = state["training_seconds"]
            self._seconds_before, self._started = state["seconds"], state["started"]
        elif (path := self.job.parent) is not None:
            if not self._methods.branches:
                raise InputError(
                    "training.introspection: with runs that branch from a snapshot, which have not seen "
                    "how its weights moved; must train from the start; leave one of the two out"
                )
            state = load_state(path)
            if state is None or f"{state.get('trial')}@{state['iteration']}" != self.trial.snapshot:
                raise HptuneError(
                    f"{path}: is not the snapshot {self.trial.snapshot} to branch from"
                )
            self.optimizer.load_history(state["optimizer"])
            self.recorder.branch(state["recorder"])
        else:
            return
        self.model.load_state_dict(state["model"])
        self.scaler.load_state_dict(state["scaler"])
        self._methods.load(state.get("methods", {}))
        rank = self.device.ranks.rank
        random = [state["random"], *state.get("random_of_others", ())]
        if rank < len(random):  # else it was trained on fewer devices
            restore_random_state(random[rank], self.device.torch_device)
        self.monitor.update(self.recorder.losses)
        self.first_iteration = state["iteration"]
        if self.job.until is not None and self.job.until <= self.first_iteration:
            self._pause(self.first_iteration - 1)

    def finish(self) -> TrialResult:
        """Save the weights of a trial that ran to its end, and sum up."""
        assert self.ended is not None, "it has not ended"
        status, message = self.ended
        if self._checkpoint is not None and status is Status.COMPLETE:
            with self._validation.weights():
                state: State = {"trial": self.trial.id, "model": model_state(self.model)}
                state["signature"] = dict(self.task.signature)
                state["read"] = reading(self.device, self.trial.batch_size)
                if self._lowest is not None and self._lowest[0] != max(self.recorder.evaluations):
                    state["lowest"] = self._lowest
                save_state(self._checkpoint, state)
        examples = len(self.recorder.losses) * self.trial.batch_size
        return result_of(
            self.task,
            self.trial,
            self.device,
            self.recorder.curve(),
            status=status,
            message=message,
            started=self._started,
            seconds=self._seconds(),
            examples_per_second=examples / max(self.training_seconds, 1e-9),
            peak_memory_mb=self.device.peak_memory_mb(),
        )
