"""How long the stages of a plan will take: what an iteration and an evaluation take, times their number."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hptune.procedure import range_test, refine
from hptune.procedure.defaults import batch_sizes
from hptune.procedure.plan import Plan, PlannedStage
from hptune.procedure.session.context import Context
from hptune.results.records import Trial
from hptune.results.settings import TrainingSettings
from hptune.stages import BATCH_SIZE, FINAL, REFINE, TRAIN
from hptune.training.device import cpu_threads, seeded
from hptune.training.evaluation import evaluate
from hptune.training.speed import SECONDS, measure_iteration
from hptune.training.trial_run import Job, TrialRun

TRIAL_SECONDS = 0.05  # to make a model, and to write the trial down
PROPOSAL_SECONDS = 0.5  # to fit the model of all trials, and to propose the next
EVALUATED = 2048  # validation examples that are timed at most
MEASURED_SECONDS = 1.0  # of iterations
TINY = 1e-6  # an LR at which no net diverges


class Estimate:
    """What stages take on this machine: timed once, by one trial, for plans of any length.

    Args:
        context: With the device in the mode that is chosen for it.
    """

    def __init__(self, context: Context) -> None:
        device, task = context.runner.device, context.task
        size = context.batch_size(quiet=True)
        self._context, self._size = context, size
        self._base = context.base(TRAIN, 1000, batch_size=size, quiet=True, lr=TINY)
        self._execution = context.problem.execution
        threads = None
        if self._execution:  # as one trial alone is trained
            threads = self._execution.choose(task, [self._base]).threads
        how: dict[str, Any] = {"seconds": MEASURED_SECONDS, "undisturbed": False}
        with cpu_threads(threads):
            if self._execution:
                self._iteration = self._execution.seconds_of_iteration(task, [self._base], **how)
            else:
                self._iteration = measure_iteration(task, self._base, device, **how)
            example = seconds_of_an_evaluated_example(context, self._base)
        self._example = example / device.ranks.size

    def stages(self, plan: Plan, names: Sequence[str]) -> list[PlannedStage]:
        """Return the plan of some stages with the seconds that each will take."""
        planned = plan.stages(names)
        return [replace(stage, seconds=self._seconds(plan, stage)) for stage in planned]

    def total(self, plan: Plan, names: Sequence[str]) -> float:
        """Return the seconds that some stages will take together."""
        return sum(stage.seconds or 0.0 for stage in self.stages(plan, names))

    def final(self, plan: Plan, seeds: int) -> float:
        """Return the seconds of so many final runs, with their test set."""
        test = self._context.task.test
        taken = self._trials(seeds, plan.final, self._base.settings)
        return taken + (0 if test is None else seeds * len(test) * self._example)

    def _seconds(self, plan: Plan, planned: PlannedStage) -> float:
        if planned.stage == FINAL:
            iterations = planned.epochs * plan.per_epoch
            beside = max(iterations / plan.final - plan.final_seeds, 0.0)
            return self.final(plan, plan.final_seeds) * (1 + beside / plan.final_seeds)
        taken = 0.0
        trials = planned.trials
        if tests := trials - planned.short_runs:
            trials = planned.short_runs
            settings = range_test.reading_settings(self._base, plan.range_test)
            taken += self._trials(tests, plan.range_test, settings)
        if trials:
            short = self._context.shortened(self._base, plan)
            together = trials
            if planned.stage == REFINE:
                room = self._execution.side_by_side if self._execution else 1
                together = min(room, max(trials // refine.ROUNDS, 1))
            rounds = trials / together
            larger = plan.batch_cost if planned.stage == BATCH_SIZE else 1.0
            iterations = round(short.iterations * larger)
            taken += rounds * self._trials(together, iterations, short.settings)
        if planned.stage == REFINE:
            taken += trials * PROPOSAL_SECONDS
        options = self._context.options(BATCH_SIZE)
        if planned.stage == BATCH_SIZE and trials and not options.train_longer:
            examples = len(self._context.task.train)
            values = options.values or batch_sizes(self._size, examples)
            taken += SECONDS * len({self._size, *values})
        return taken

    def _trials(self, count: int, iterations: int, settings: TrainingSettings) -> float:
        """Return the seconds of some trials of one kind."""
        if not count:
            return 0.0
        examples = min(settings.evaluate_limit or 10**9, len(self._context.task.validation))
        readings = settings.evaluations * examples * self._example
        alone = iterations * self._iteration + readings + TRIAL_SECONDS
        gain = 1.0
        if count > 1 and self._execution:
            trial = self._base.change(iterations=iterations, settings=settings)
            gain = self._execution.gain(self._context.task, [trial] * count)
        return count * alone / gain


def seconds_of_an_evaluated_example(context: Context, trial: Trial) -> float:
    """Return what reading one validation example takes, seconds."""
    task, device = context.task, context.problem.device
    if task.loop is not None:
        return float(task.seen["evaluation_seconds"]) / len(task.validation)
    with seeded(trial.seed, device.torch_device):
        run = TrialRun(task, Job(trial), device)
        times = []
        for _ in range(3):  # the first one may have to start something
            began = time.perf_counter()
            evaluate(task, run.model, run.validation_data, device, limit=EVALUATED)
            times.append(time.perf_counter() - began)
    return min(times) / min(EVALUATED, len(task.validation))
