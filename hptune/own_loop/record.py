"""What a loop of the user's own tells, as the curve and the result of a trial."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hptune.own_loop.assignment import Assignment
from hptune.results.records import Status, TrialResult
from hptune.task import Task
from hptune.training.device import Device
from hptune.training.evaluation import Evaluation
from hptune.training.planned import planned
from hptune.training.recorder import CurveRecorder
from hptune.training.result import result_of
from hptune.training.snapshot import load_state, save_state
from hptune.training.trial_run import PROGRESS_SECONDS, Job, OnProgress


class Record:
    """Takes in what the loop tells of one job, in this process or from another.

    Args:
        task, job, device: What is trained, and where.
        assignment: What the loop was given.
        on_progress: Hears the progress, a few times a second at most.
        since: When the trial began, by `time.perf_counter`; by default now.

    Attributes:
        status: How it ended, None while it goes on.
    """

    def __init__(
        self,
        task: Task,
        job: Job,
        device: Device,
        assignment: Assignment,
        on_progress: OnProgress | None = None,
        since: float | None = None,
    ) -> None:
        self._task, self._job, self._device = task, job, device
        self._on_progress = on_progress
        course, per_epoch = planned(job.trial, assignment.per_epoch), assignment.per_epoch
        weight_decays = [(0, job.trial.weight_decay)]
        self._recorder = CurveRecorder(course, per_epoch, list(task.metrics), weight_decays)
        self._tests: dict[str, float] = {}
        self._training_seconds, self._first = 0.0, 0
        self._began = self._last_heard = since or time.perf_counter()
        self._seconds_before = 0.0
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self.seen: Mapping[str, Any] | None = None
        self.status: Status | None = None
        self._message = ""

    # What the loop tells

    def began(self, history: Mapping[str, Any] | None) -> None:
        """Take in that it begins, where it goes on with what it had told before."""
        if history is None:
            return
        self._recorder.losses = []
        for at, values in sorted((int(at), values) for at, values in history["readings"].items()):
            self.reading(at, values)
        self._recorder.losses = list(history["losses"])
        self._training_seconds = self._seconds_before = history["seconds"]
        self._first = len(self._recorder.losses)

    def losses(self, values: list[float], seconds: float) -> None:
        """Take in the next training losses."""
        self._recorder.losses += values
        self._training_seconds = seconds
        now = time.perf_counter()
        if self._on_progress and values and now - self._last_heard > PROGRESS_SECONDS:
            self._last_heard = now
            at = len(self._recorder.losses) - 1
            self._on_progress(self._job, self._recorder.progress(at, self._first, values))

    def trained(self, iteration: int, loss: float) -> None:
        """Take in the training loss of an iteration, which those before it without one have too."""
        losses = self._recorder.losses
        losses += [loss] * (iteration + 1 - len(losses))

    def reading(self, iteration: int, values: Mapping[str, float]) -> None:
        """Take in validation or test values after an iteration."""
        self._tests |= {n: v for n, v in values.items() if n.startswith("test_")}
        own = {n.removeprefix("val_"): v for n, v in values.items() if n.startswith("val_")}
        if not own:
            return
        known = self._recorder.evaluations.get(iteration)
        before = {} if known is None else {"loss": known.loss, **known.metrics}
        merged = {**dict.fromkeys(self._task.metrics, math.nan), **before, **own}
        metrics = {name: merged[name] for name in self._task.metrics}
        self._recorder.evaluations[iteration] = Evaluation(merged.get("loss", math.nan), metrics)
        self._recorder.seconds[iteration] = self._seconds()

    def ended(self, status: Status, message: str) -> None:
        """Take in how it ended."""
        self.status, self._message = status, message

    def rehearsed(self, seen: Mapping[str, Any]) -> None:
        """Take in what a rehearsal has shown."""
        self.seen = seen

    # What becomes of it

    def result(self) -> TrialResult:
        """Return the result of a trial that has ended, and keep what its checkpoint is to have."""
        assert self.status is not None, "it has not ended"
        self._fill(max(self._recorder.evaluations, default=-1))
        if self._job.checkpoint is not None and self.status is Status.COMPLETE:
            self._keep()
        speed = None
        if self._training_seconds and "batch_size" not in self._job.trial.fixed:
            examples = len(self._recorder.losses) * self._job.trial.batch_size
            speed = examples / self._training_seconds
        return result_of(
            self._task,
            self._job.trial,
            self._device,
            self._recorder.curve(),
            status=self.status,
            message=self._message,
            started=self._started,
            seconds=self._seconds(),
            examples_per_second=speed,
            peak_memory_mb=self._device.peak_memory_mb(),
        )

    def _keep(self) -> None:
        """Write what the loop saved last, and its test values, which nobody sees unless they count."""
        assert self._job.checkpoint is not None
        state = {"trial": self._job.trial.id, "tests": self._tests}
        saved = load_state(self._job.snapshot)
        if saved is not None and saved.get("trial") == self._job.trial.digest:
            state["parts"] = saved["parts"]
        save_state(self._job.checkpoint, state)

    def _fill(self, at: int) -> None:
        """Let every iteration have a loss: a loop need not tell one for each."""
        losses = self._recorder.losses
        last = losses[-1] if losses else math.nan
        losses += [last] * (at + 1 - len(losses))

    def _seconds(self) -> float:
        return self._seconds_before + time.perf_counter() - self._began
