"""How long the procedure will take: short pieces of its sweeps are run, and the plan is timed by them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from hptune.procedure import batch_size, lr_range
from hptune.procedure.plan import SHORT_SWEEP, PlannedStage
from hptune.procedure.session.setup import Setup
from hptune.results.records import PolicySpec, Trial, TrialProgress
from hptune.stages import BATCH_SIZE, FINAL, LR_RANGE, TRAIN
from hptune.training.speed import measure_iteration
from hptune.trials.executors import Executor, Job
from hptune.trials.executors.choice import FUSABLE, SMALL
from hptune.trials.executors.inline import Inline
from hptune.trials.executors.probe import seconds_inline
from hptune.trials.paired import RUNGS

PIECE = 4  # iterations of a piece that shows what starting and ending costs
PROBE_SECONDS = 0.5  # of the piece that shows what an iteration costs
SLOW = 0.05  # seconds an iteration takes from where on whole sweeps are not tried
SPEED_SECONDS, SPEED_ITERATIONS = 1.0, 8  # that measuring a batch size's speed takes at least
FORWARD = 1 / 3  # of an iteration: what reading as many examples takes
CHOICE_ITERATIONS = 30  # to measure threads and workers, about
FUSED_ITERATIONS = 60  # to measure fused trials, too
RECORDING = 0.01  # seconds to write down a trial
TINY = 1e-6  # an LR that no net diverges at


@dataclass(frozen=True)
class Cost:
    """What each trial of a sweep adds to the sweep's time, seconds.

    Attributes:
        start: To start and end, each time that it goes on after a pause too.
        iteration: Each.
        reading: Of the whole validation set, each.
    """

    start: float
    iteration: float
    reading: float

    def of(self, trial: Trial, *, pieces: int = 1, share: float = 1.0) -> float:
        """Return the seconds of a trial.

        Args:
            trial: Which.
            pieces: In which it is run.
            share: Of the validation set that is read.
        """
        return (
            pieces * self.start
            + trial.iterations * self.iteration
            + min(trial.settings.evaluations, trial.iterations) * share * self.reading
            + RECORDING
        )


class Estimate:
    """Times pieces of sweeps in a setup; what is alike is timed once.

    Args:
        setup: With the values that hold now.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._known: dict[tuple[object, ...], Cost] = {}
        size = setup.batch_size(quiet=True)
        self._base = setup.base(TRAIN, 1, batch_size=size, quiet=True, lr=TINY)
        self._threads, self._iteration = self._fastest()

    def stage(self, planned: PlannedStage) -> PlannedStage:
        """Return a stage with its time."""
        setup = self._setup
        runs = setup.lengths(self._base.batch_size)
        short = self._base.change(iterations=runs.short)
        short = short.change(settings=setup.short_settings(short))
        if planned.stage == FINAL:
            return replace(planned, seconds=self._final(runs.final))
        sweep = [
            short.change(lr=TINY * (1 + k / SHORT_SWEEP), lr_min=None) for k in range(SHORT_SWEEP)
        ]
        each = self._cost(sweep).of(short, pieces=len(RUNGS) + 1)
        seconds = planned.short_runs * each
        if planned.stage == LR_RANGE:
            seconds += (planned.trials - planned.short_runs) * self._range_test(runs.range_test)
            seconds += self._choice()
        if planned.stage == BATCH_SIZE:
            seconds += self._speeds()
        return replace(planned, seconds=seconds)

    def _final(self, iterations: int) -> float:
        setup, options = self._setup, self._setup.experiment.procedure.final
        trial = self._base.change(iterations=iterations)
        trials = [trial.change(seed=trial.seed + k) for k in range(options.seeds)]
        cost = self._cost(trials)
        seconds = options.seeds * cost.of(trial)
        if setup.task.test is not None:
            seconds += options.seeds * len(setup.task.test) / self._read * cost.reading
        if options.baseline is not None:
            longer = round(iterations * options.baseline_length)
            evaluations = round(trial.settings.evaluations * options.baseline_length)
            settings = replace(trial.settings, evaluations=evaluations)
            seconds += options.seeds * cost.of(trial.change(iterations=longer, settings=settings))
        return seconds

    def _range_test(self, iterations: int) -> float:
        settings = lr_range.reading_settings(self._base, iterations)
        share = min(1.0, (settings.evaluate_limit or self._read) / self._read)
        test = self._base.change(iterations=iterations, settings=settings)
        return self._cost([test]).of(test, share=share)

    def _speeds(self) -> float:
        """Return what it takes to measure the speed at each batch size."""
        size, examples = self._base.batch_size, len(self._setup.task.train)
        values = self._setup.experiment.procedure.batch_size.values
        sizes = {size, *(values or batch_size.default_values(size, examples))}
        slow = SPEED_ITERATIONS * self._iteration / size
        return float(sum(max(SPEED_SECONDS, slow * other) for other in sizes))

    def _choice(self) -> float:
        """Return what it takes to measure which executor is fastest, where that is still to come."""
        execution = self._setup.execution
        if execution is None or execution.is_settled(self._setup.task):
            return 0.0
        fusable = self._iteration < FUSABLE
        return (CHOICE_ITERATIONS + fusable * FUSED_ITERATIONS) * self._iteration

    def _fastest(self) -> tuple[int | None, float]:
        """Return the number of CPU threads that is fastest inline, and the seconds of an iteration."""
        task, device = self._setup.task, self._setup.device
        if device.torch_device.type != "cpu":
            return None, measure_iteration(task, self._base, device)
        times = {1: seconds_inline(task, self._base, device, 1)}
        usual = torch.get_num_threads()
        if usual > 1 and times[1] > SMALL:
            times[usual] = seconds_inline(task, self._base, device, usual)
        return min(times.items(), key=lambda item: item[1])

    def _cost(self, trials: Sequence[Trial]) -> Cost:
        setup = self._setup
        if self._iteration > SLOW:
            if () not in self._known:
                self._known[()] = self._slow()
            return self._known[()]
        execution = setup.execution
        executor: Executor = Inline(setup.device)
        if execution is not None:
            executor = execution.choose(setup.task, trials)
        one_by_one = isinstance(executor, Inline) and executor.group.size == 1
        key = (type(executor), executor.threads, 1 if one_by_one else len(trials))
        if key not in self._known:
            self._known[key] = self._timed(executor, trials[:1] if one_by_one else trials)
        return self._known[key]

    def _slow(self) -> Cost:
        """Return what a few iterations of one trial tell alone: reading needs the forward pass only."""
        size = self._base.batch_size
        settings = replace(self._base.settings, evaluate_limit=size)
        trials = [self._base.change(settings=settings)]
        executor = Inline(self._setup.device, self._threads)
        start, end = (self._seconds(executor, trials, n * PIECE, 1) for n in (1, 2))
        each = max(end - start, 0.0) / PIECE or self._iteration
        return Cost(0.0, each, FORWARD * each * self._read / size)

    @property
    def _read(self) -> int:
        """Examples in a reading of the validation set."""
        limit, examples = self._base.settings.evaluate_limit, len(self._setup.task.validation)
        return max(1, examples if limit is None else min(limit, examples))

    def _timed(self, executor: Executor, trials: Sequence[Trial]) -> Cost:
        """Run short pieces of a sweep and return what each trial costs in it."""
        self._seconds(executor, trials, PIECE, 1)  # starts what has to be started
        start = self._seconds(executor, trials, PIECE, 1)
        reading = max(0.0, self._seconds(executor, trials, PIECE, PIECE) - start) / (PIECE - 1)
        count = max(2 * PIECE, round(PROBE_SECONDS / len(trials) / self._iteration))
        iterations = self._seconds(executor, trials, PIECE + count, 1)
        each = max(iterations - start, 0.0) / count
        begin = max(0.0, start - PIECE * each - reading)
        return Cost(*(seconds / len(trials) for seconds in (begin, each, reading)))

    def _seconds(
        self, executor: Executor, trials: Sequence[Trial], iterations: int, readings: int
    ) -> float:
        """Return the wall time of a sweep whose trials are shorter than they are meant to be."""
        settings = replace(trials[0].settings, evaluations=readings, early_stopping=None)
        pieces = [
            trial.change(
                iterations=iterations, settings=settings, policy=PolicySpec(name="constant")
            )
            for trial in trials
        ]
        with tempfile.TemporaryDirectory() as folder:
            jobs = [Job(trial=piece, snapshot=Path(folder) / piece.id) for piece in pieces]
            began = time.perf_counter()
            for _ in executor.run(self._setup.task, jobs, NullListener()):
                pass
            return time.perf_counter() - began


class NullListener:
    """Listens to no job."""

    def started(self, job: Job) -> None: ...

    def progressed(self, job: Job, trial_progress: TrialProgress) -> None: ...

    def message(self, text: str) -> None: ...
