"""How long the stages of a plan will take: what an iteration and an evaluation take, times their number."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from hptune.procedure import batch_size, lr_range
from hptune.procedure.plan import PlannedStage
from hptune.procedure.session.context import Context
from hptune.results.records import Trial
from hptune.results.settings import TrainingSettings
from hptune.stages import BATCH_SIZE, FINAL, LR_RANGE, TRAIN
from hptune.training.device import seeded
from hptune.training.evaluation import evaluate
from hptune.training.speed import SECONDS, measure_iteration
from hptune.training.trial_run import Job, TrialRun

TRIAL_SECONDS = 0.02  # to make a model, and to write the trial down
EVALUATED = 2048  # validation examples that are timed at most
PARALLEL = 0.8  # of what as many cores would gain if they did not share memory and caches
TINY = 1e-6  # an LR at which no net diverges


def estimated(context: Context, stages: Sequence[str]) -> list[PlannedStage]:
    """Return the plan of some stages with the seconds that each will take, by one timed trial."""
    device = context.runner.device  # in the mode that is chosen for it
    size = context.batch_size(quiet=True)
    plan, task = context.plan(size), context.task
    base = context.base(TRAIN, 1, batch_size=size, quiet=True, lr=TINY)
    iteration = measure_iteration(task, base, device)
    example = seconds_of_an_evaluated_example(context, base)
    short = context.shortened(base).settings
    execution = context.problem.execution
    at_once = execution.at_once if execution else 1

    def evaluations(settings: TrainingSettings) -> float:
        examples = min(settings.evaluate_limit or 10**9, len(task.validation))
        return settings.evaluations * examples * example

    def seconds(planned: PlannedStage) -> float:
        tests = planned.trials - planned.short_runs if planned.stage == LR_RANGE else 0
        side_by_side = planned.trials - tests
        settings = base.settings if planned.stage == FINAL else short
        taken = planned.epochs * plan.per_epoch * iteration
        taken += side_by_side * (TRIAL_SECONDS + evaluations(settings))
        taken /= max(1.0, PARALLEL * min(at_once, max(side_by_side, 1)))
        taken += tests * evaluations(lr_range.reading_settings(base, plan.range_test))
        if planned.stage == BATCH_SIZE:
            values = context.options(BATCH_SIZE).values
            taken += SECONDS * len(
                {size, *(values or batch_size.default_values(size, len(task.train)))}
            )
        if planned.stage == FINAL and task.test is not None:
            taken += plan.final_seeds * len(task.test) * example
        return taken

    return [replace(planned, seconds=seconds(planned)) for planned in plan.stages(stages)]


def seconds_of_an_evaluated_example(context: Context, trial: Trial) -> float:
    """Return what reading one validation example takes, seconds."""
    task, device = context.task, context.problem.device
    with seeded(trial.seed, device.torch_device):
        run = TrialRun(task, Job(trial), device)
        times = []
        for _ in range(2):  # the first one may have to start something
            began = time.perf_counter()
            evaluate(task, run.model, run.validation_data, device, limit=EVALUATED)
            times.append(time.perf_counter() - began)
    return min(times) / min(EVALUATED, len(task.validation))
