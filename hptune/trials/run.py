"""Runs trials: reuses what the run directory holds, records what ends, survives what fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from hptune.errors import TrialError
from hptune.results.records import Status, Trial, TrialProgress, TrialResult
from hptune.results.run_dir import RunDir
from hptune.stages import WHOLE_RUNS
from hptune.task import Task
from hptune.training.device import Device, cpu_threads, seeded
from hptune.training.evaluation import PER_TRAINING_BATCH, evaluate
from hptune.training.lengths import iterations_per_epoch
from hptune.training.model import make_model
from hptune.training.result import read_at, with_test
from hptune.training.snapshot import load_state, save_state
from hptune.training.speed import SECONDS, measure_iteration
from hptune.training.trial_run import Job
from hptune.trials.budget import Budget
from hptune.trials.executors.compiling import compile_where_repaid
from hptune.trials.executors.execution import Execution
from hptune.trials.executors.executor import Executor
from hptune.trials.executors.inline import Inline
from hptune.trials.progress import Progress


@dataclass(frozen=True)
class Runner:
    """Runs trials of one task into one run directory."""

    task: Task
    run_dir: RunDir
    device: Device
    progress: Progress
    budget: Budget = field(default_factory=Budget)
    execution: Execution | None = None  # by default one trial after another

    @property
    def pauses(self) -> bool:
        """Whether a trial can be stopped half-way and go on later."""
        return self.task.loop is None or bool(self.task.seen["saves"])

    @property
    def side_by_side(self) -> int:
        """Candidates that stages try at once where they could follow each other, 1 at least."""
        return 1 if self.execution is None else self.execution.side_by_side

    def run(self, trials: Sequence[Trial], until: Sequence[int | None] = ()) -> list[TrialResult]:
        """Run trials, several at once where that is faster; return their results in the order given.

        A trial that the run directory holds is not run again. A trial that fails is a row
        with status failed; the others go on.

        Args:
            trials: What to run.
            until: Iterations after which each trial pauses, None where it does not; by default none
                does. What has paused is no row yet, and goes on when it is run again.

        Raises:
            InputError: A trial cannot run at all.
        """
        results: dict[str, TrialResult] = {}
        jobs: list[Job] = []
        pauses = until or [None] * len(trials)
        for trial, pause in zip(trials, pauses, strict=True):
            known = self.run_dir.result(trial)
            if known is None:
                if all(job.trial.id != trial.id for job in jobs):
                    jobs.append(self._job(trial, pause))
                continue
            results[trial.id] = known
            if pause is None:
                self.progress.trial_finished(known, reused=True)
        if jobs:
            executor = self._executor(trials)
            if self.execution and compile_where_repaid(self.execution, self.task, trials, executor):
                executor = self._executor(trials)
            told = ProgressAdapter(self.progress, trials)
            with closing(executor.run(self.task, jobs, told)) as done:
                for job, result in done:
                    results[job.trial.id] = result
                    if result.status is Status.PRUNED:
                        self.progress.trial_paused(result)
                    else:
                        self.keep(result)
        # Those that end here in the order given, whichever of those that ran together ended first.
        self.run_dir.arrange(
            [
                results[trial.id].trial.id
                for trial, pause in zip(trials, pauses, strict=True)
                if _ends_by(results[trial.id], pause)
            ]
        )
        for trial in trials:
            result = results[trial.id]
            if result.trial.stage == trial.stage:
                self.budget.count(result.trial, result.epochs - self._shared(trial))
        return [results[trial.id] for trial in trials]

    def read_test(
        self,
        results: Sequence[TrialResult],
        *,
        lowest: Callable[[TrialResult], bool] = lambda result: False,
    ) -> list[TrialResult]:
        """Return results by the weights that count, with what the test set gives by them; record it.

        For the runs that count, once: what has its test values, or is not complete, stays as it is. A
        trial whose weights cannot be read is run again first.

        Args:
            results: Of runs whose weights were kept.
            lowest: Says whether the weights of a run's lowest validation loss count, in the place
                of its last ones.
        """
        return [self._tested(result, lowest) for result in results]

    def _tested(self, result: TrialResult, lowest: Callable[[TrialResult], bool]) -> TrialResult:
        if result.status is not Status.COMPLETE or result.test_loss is not None:
            return result
        concluded = self._concluded(result, lowest)
        if concluded is None and (self.task.test is not None or self.task.loop is not None):
            self.progress.message(f"  {result.trial.id}: its weights cannot be read; run again")
            checkpoint = self.run_dir.checkpoint(result.trial.id)
            result = self._run_one(replace(self._job(result.trial), checkpoint=checkpoint))
            self.keep(result)
            concluded = self._concluded(result, lowest)
        if concluded is None:  # it failed this time, and its result says so
            return result
        if concluded is not result:
            self.run_dir.add(concluded)
        return concluded

    def _concluded(
        self, result: TrialResult, lowest: Callable[[TrialResult], bool]
    ) -> TrialResult | None:
        """Settle which weights count, and evaluate the test split; None where they cannot be read."""
        trial, path = result.trial, self.run_dir.checkpoint(result.trial.id)
        state = load_state(path)
        if state is None or state.get("trial") != trial.id:
            return None
        if self.task.loop is not None:  # it read its test set itself; only now is that looked at
            return with_test(result, state["tests"])
        if "model" not in state:
            return None
        if "lowest" in state:
            at, weights = state.pop("lowest")
            if lowest(result):
                state |= {"model": weights, "iteration": at, "last": state["model"]}
            save_state(path, state)
        if "iteration" in state:
            result = read_at(result, state["iteration"])
        if self.task.test is None:
            return result
        place, size = self.device.torch_device, PER_TRAINING_BATCH * trial.batch_size
        with cpu_threads(self._executor([trial]).threads), seeded(trial.seed, place):
            model = make_model(self.task, self.device)
            try:
                model.load_state_dict(state["model"])
            except (KeyError, RuntimeError, TypeError, AttributeError):  # of another model
                return None
            tested = evaluate(
                self.task, model, self.task.test.to(place), self.device, batch_size=size
            )
        return replace(result, test_loss=tested.loss, test_metrics=dict(tested.metrics))

    def affords(self, trials: Sequence[Trial]) -> bool:
        """Say whether the budget allows these; what another stage has run costs nothing.

        What a run before this one has left of the same stage counts in full, so that both
        decide alike.
        """
        return self.budget.affords(sum(self.epochs(t) for t in trials if not self._free(t)))

    def _free(self, trial: Trial) -> bool:
        known = self.run_dir.result(trial)
        return known is not None and (
            known.trial.stage != trial.stage or self.budget.has(known.trial)
        )

    def epochs(self, trial: Trial) -> float:
        """Return what a trial costs, in epochs; a branch has some from its parent."""
        return trial.iterations / self._per_epoch(trial) - self._shared(trial)

    def _shared(self, trial: Trial) -> float:
        """Return the epochs that a branch has from its parent."""
        done = int(trial.snapshot.split("@")[1]) if trial.snapshot else 0
        return done / self._per_epoch(trial)

    def _per_epoch(self, trial: Trial) -> int:
        return iterations_per_epoch(len(self.task.train), trial.batch_size)

    def parent(self, trial: Trial, until: int) -> TrialResult:
        """Run the part of a trial that branches share, up to an iteration, and keep its state.

        Runs on from where an earlier call with a smaller `until` stopped.
        """
        return self._run_one(Job(trial, self.run_dir.snapshot(trial.digest), until=until))

    def _run_one(self, job: Job) -> TrialResult:
        told = ProgressAdapter(self.progress, [job.trial])
        with closing(self._executor([job.trial]).run(self.task, [job], told)) as done:
            ((_, result),) = done
        return result

    def keep(self, result: TrialResult) -> None:
        """Record a trial that ended, or that has paused and will not go on."""
        self.run_dir.add(result)
        self.run_dir.snapshot(result.trial.id).unlink(missing_ok=True)
        self.progress.trial_finished(result, reused=False)

    def examples_per_second(self, trial: Trial) -> float:
        """Return the training speed at a trial's batch size, measured once a run directory.

        0 where the trial fails.
        """
        which = f"{self.device.key}/{trial.optimizer.name}{trial.optimizer.args or ''}"
        key = f"examples_per_second/{self.task.fingerprint}/{which}/{trial.batch_size}"
        known = self.run_dir.timing(key)
        if isinstance(known, int | float):
            return float(known)
        how: dict[str, Any] = {"seconds": SECONDS, "untimed": 3}
        try:
            if self.execution is None:
                iteration = measure_iteration(self.task, trial, self.device, **how)
            else:
                iteration = self.execution.seconds_of_iteration(self.task, [trial, trial], **how)
        except TrialError:
            return 0.0
        speed = trial.batch_size / iteration
        self.run_dir.set_timing(key, speed)
        return speed

    def _executor(self, trials: Sequence[Trial]) -> Executor:
        if self.execution is None:
            return Inline(self.device)
        return self.execution.choose(self.task, trials)

    def _job(self, trial: Trial, until: int | None = None) -> Job:
        keep = trial.stage in WHOLE_RUNS
        return Job(
            trial=trial,
            snapshot=self.run_dir.snapshot(trial.id),
            parent=self.run_dir.snapshot(trial.snapshot) if trial.snapshot else None,
            checkpoint=self.run_dir.checkpoint(trial.id) if keep else None,
            until=until,
            log=self.run_dir.log(trial.id),
        )


class ProgressAdapter:
    """Passes on to the progress what an executor tells of its jobs."""

    def __init__(self, progress: Progress, trials: Sequence[Trial]) -> None:
        self._progress = progress
        self._told: set[str] = set()
        self._number = {trial.id: n for n, trial in enumerate(trials, 1)}

    def started(self, job: Job) -> None:
        number = self._number[job.trial.id]
        self._progress.trial_started(job.trial, number, len(self._number))

    def progressed(self, job: Job, trial_progress: TrialProgress) -> None:
        self._progress.trial_progressed(job.trial, trial_progress)

    def message(self, text: str) -> None:
        if text not in self._told:  # every group of a sweep says the same
            self._told.add(text)
            self._progress.message(text)


def _ends_by(result: TrialResult, pause: int | None) -> bool:
    """Say whether a trial ends by itself before it would pause; a known one may end later."""
    before = pause is None or len(result.curve) <= pause
    return before and result.status is not Status.PRUNED
