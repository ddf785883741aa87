"""How long the stages of a plan will take: what an iteration and an evaluation take, times their number."""

from __future__ import annotations

import time
from dataclasses import replace

from hptune.procedure import batch_size, lr_range
from hptune.procedure.plan import PlannedStage
from hptune.procedure.session.context import SessionContext
from hptune.results.records import TrainingSettings
from hptune.stages import BATCH_SIZE, FINAL, LR_RANGE, TRAIN
from hptune.training.device import seeded
from hptune.training.evaluation import evaluate
from hptune.training.speed import SECONDS, measure_iteration
from hptune.training.trial_run import Job, TrialRun

TRIAL_SECONDS = 0.02  # to make a model, and to write the trial down
EVALUATED = 2048  # validation examples that are timed at most
PARALLEL = 0.8  # of what as many cores would gain if they did not share memory and caches
TINY = 1e-6  # an LR at which no net diverges


class Estimate:
    """Times one trial in a context, and the stages of a plan by that.

    Args:
        context: With the values that hold now.
    """

    def __init__(self, context: SessionContext) -> None:
        self._context = context
        _ = context.runner  # chooses the device's mode
        size = context.batch_size(quiet=True)
        self._base = context.base(TRAIN, 1, batch_size=size, quiet=True, lr=TINY)
        self._iteration = measure_iteration(context.task, self._base, context.problem.device)
        self._example = self._seconds_of_an_evaluated_example()

    def stage(self, planned: PlannedStage) -> PlannedStage:
        """Return a stage with the seconds that it will take."""
        context, base = self._context, self._base
        runs = context.lengths(base.batch_size)
        short = context.short_settings(base.change(iterations=runs.short))
        settings = base.settings if planned.stage == FINAL else short
        tests = planned.trials - planned.short_runs if planned.stage == LR_RANGE else 0
        seconds = planned.epochs * context.per_epoch(base.batch_size) * self._iteration
        seconds += (planned.trials - tests) * (TRIAL_SECONDS + self._evaluations(settings))
        seconds /= self._gain(planned.trials - tests)
        seconds += tests * self._evaluations(lr_range.reading_settings(base, runs.range_test))
        if planned.stage == BATCH_SIZE:
            seconds += SECONDS * len(self._sizes())
        if planned.stage == FINAL and context.task.test is not None:
            final = context.experiment.procedure.final
            seconds += final.seeds * len(context.task.test) * self._example
        return replace(planned, seconds=seconds)

    def _evaluations(self, settings: TrainingSettings) -> float:
        """Return what all evaluations of a trial take, seconds."""
        examples = min(settings.evaluate_limit or 10**9, len(self._context.task.validation))
        return settings.evaluations * examples * self._example

    def _gain(self, trials: int) -> float:
        """Return how many times as fast trials are that run beside each other."""
        execution = self._context.problem.execution
        beside = min(execution.at_once if execution else 1, max(trials, 1))
        return max(1.0, PARALLEL * beside)

    def _sizes(self) -> set[int]:
        """Return the batch sizes whose speed will be measured."""
        size, examples = self._base.batch_size, len(self._context.task.train)
        values = self._context.experiment.procedure.batch_size.values
        return {size, *(values or batch_size.default_values(size, examples))}

    def _seconds_of_an_evaluated_example(self) -> float:
        task, device = self._context.task, self._context.problem.device
        with seeded(self._base.seed, device.torch_device):
            run = TrialRun(task, Job(self._base), device)
            times = []
            for _ in range(2):  # the first one may have to start something
                began = time.perf_counter()
                evaluate(task, run.model, run.validation_data, device, limit=EVALUATED)
                times.append(time.perf_counter() - began)
        return min(times) / min(EVALUATED, len(task.validation))
