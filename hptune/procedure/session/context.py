"""What a stage works with: an experiment, the values that hold now, and trials made from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hptune.analysis.criterion import LOSS, Criterion
from hptune.config.load import with_value
from hptune.config.loop import usual_batch_size
from hptune.config.schema import Experiment
from hptune.errors import InputError
from hptune.procedure import defaults
from hptune.procedure.compare import PairedRuns
from hptune.procedure.plan import BESIDE_REFINEMENT, SHORTEST, Plan, batch_cost
from hptune.procedure.session.inputs import Inputs
from hptune.procedure.session.problem import Problem
from hptune.results.records import Decision, Scalar, Trial, TrialResult
from hptune.results.settings import AUTO, PolicySpec
from hptune.stages import LR_RANGE, OPTIMIZER, SEARCH, SWEEP, TRAIN
from hptune.task import Task
from hptune.training.check_batch import BatchCheck
from hptune.training.lengths import iterations_per_epoch
from hptune.trials.budget import Budget
from hptune.trials.progress import Progress
from hptune.trials.run import Runner

FEWEST_EVALUATIONS = 8  # of the validation set in a short run
HYPER_PARAMETERS = ("lr", "lr_min", "momentum", "momentum_min", "weight_decay", "batch_size")


class Context:
    """An experiment at a point of the procedure: its task, the values that hold now, what is left.

    Args:
        progress: Is told where each value comes from.
        flags: Values given on the command line.

    Attributes:
        budget: What the search may cost.
        searched: What the search stages before have run.
        asked: Whether the user asked for this one stage, whatever it costs.
        refines: Whether refinement is one of the stages that run.
        is_timed: Whether the run is held to a time.
        inputs: The values that hold now.
        seeds_in_time: Says how many final runs to make, from those wanted and those made already.
    """

    def __init__(self, problem: Problem, progress: Progress, flags: Mapping[str, Scalar]) -> None:
        self.problem, self.progress, self._flags = problem, progress, flags
        self.budget = Budget()
        self.searched: list[TrialResult] = []
        self.asked = self.refines = self.is_timed = False
        self.inputs = self._inputs_from(())
        self.seeds_in_time: Callable[[int, int], int] = lambda seeds, done: seeds

    def variant(self, path: str, value: Any, *, same_task: bool = False) -> Context:
        """Return the same with another value of a key of the experiment, within one budget."""
        _ = self.runner  # so that the device's mode is chosen once, for all variants
        experiment = with_value(self.experiment, path, value)
        problem = self.problem.changed(experiment, same_task=same_task)
        other = Context(problem, self.progress, self._flags)
        other.inputs, other.budget, other.asked = self.inputs, self.budget, self.asked
        return other

    def change(self, experiment: Experiment, *, same_task: bool = False) -> None:
        """Go on with another experiment; its task is built anew unless it is the same."""
        self.problem = self.problem.changed(experiment, same_task=same_task)

    def use(self, decisions: Iterable[Decision]) -> None:
        """Go by these decisions, those on keys of the experiment too, and by no others."""
        decisions, was_open = list(decisions), self.is_open
        self.inputs = self._inputs_from(decisions)
        for decision in decisions:
            of_sweep = decision.stage == SWEEP and "." in decision.parameter
            if of_sweep or (decision.stage == OPTIMIZER and was_open):
                told = f"{decision.parameter} {decision.value} (decided by {decision.stage})"
                self.progress.message(f"  {told}")
                self.take_key(decision)

    def take_key(self, decision: Decision) -> None:
        """Go on with what was decided on a key of the experiment."""
        experiment = with_value(self.experiment, decision.parameter, decision.value)
        self.change(experiment, same_task=decision.stage == OPTIMIZER)

    @property
    def is_open(self) -> bool:
        """Whether the optimizer is still to be decided on; that of a loop of the user's own never is."""
        return self.experiment.optimizer.name == AUTO and self.task.loop is None

    @property
    def experiment(self) -> Experiment:
        """As written, with the keys that sweeps have decided."""
        return self.problem.experiment

    @property
    def task(self) -> Task:
        """What is trained."""
        return self.problem.task

    @property
    def runner(self) -> Runner:
        """What runs this task's trials within the budget; the first batch is checked before."""
        problem = self.problem
        self.check()
        if problem.device.needs_probe and self.task.loop is None:
            # Making a trial tells wrong input, before anything is timed.
            size = self.batch_size(quiet=True)
            problem.choose_mode(self.base(LR_RANGE, 1000, batch_size=size, lr=1e-4, quiet=True))
        device, execution = problem.device, problem.execution
        return Runner(self.task, problem.run_dir, device, self.progress, self.budget, execution)

    def paired(self, seeds: int) -> PairedRuns:
        """Return what runs candidates of this problem side by side."""
        return PairedRuns(self.runner, seeds, self.criterion, asked=self.asked, share=self.share)

    @property
    def share(self) -> float:
        """Of what is left of the budget, what a comparison may take."""
        return BESIDE_REFINEMENT if self.refines else 1.0

    def check(self) -> BatchCheck:
        """Run the first batch, so that what does not fit is told before any trial."""
        return self.problem.checked(self.batch_size(quiet=True))

    @property
    def optimizer(self) -> str:
        """Name of the optimizer."""
        return self.problem.optimizer.name

    @property
    def is_adaptive(self) -> bool:
        """Whether the optimizer scales each step by the gradients it has seen, as Adam does."""
        name = self.optimizer.rpartition(":")[2].lower()
        return self.check().has_betas or name in defaults.ADAPTIVE

    @property
    def criterion(self) -> Criterion:
        """By what candidates are judged."""
        return self.criterion_of(self.experiment.procedure.rank_by)

    def criterion_of(self, name: str) -> Criterion:
        """Return what judges by the loss or by a metric of the task.

        Raises:
            InputError: The task has no such metric.
        """
        examples = self.validation_examples
        if name == LOSS.name:
            return Criterion(examples=examples)
        if name not in self.task.metrics:
            raise InputError(
                f"procedure.rank_by: {name!r}; must be loss or a metric of the task "
                f"({', '.join(self.task.metrics) or 'it has none'}); choose one of these"
            )
        higher = self.task.metrics[name].higher_is_better
        return Criterion(name, higher_is_better=higher, examples=examples)

    @property
    def validation_examples(self) -> int | None:
        """Examples of the validation set; None where only a loop of the user's own knows."""
        task = self.task
        known = len(task.validation) if task.loop is None else task.seen.get("validation_examples")
        return known if known is None else int(known)

    @property
    def has_one_length(self) -> bool:
        """Whether every trial is as long as a script makes it, whatever is asked of it."""
        takes = set(self.task.seen.get("placeholders", ()))
        return bool(takes) and not {"epochs", "iterations"} & takes

    @property
    def counts_epochs(self) -> bool:
        """Whether an epoch is a single iteration, for nobody knows how many it has."""
        return len(self.task.train) == self.batch_size(quiet=True) and self.task.loop is not None

    def options(self, stage: str) -> Any:
        """Return the stage's section of the config; None where it has none."""
        if stage == SEARCH:
            return self.experiment.search
        return getattr(self.experiment.procedure, stage.replace("-", "_"), None)

    @property
    def epochs(self) -> float:
        """Length of the final run."""
        return self.inputs.number("epochs", self.experiment.training.epochs, quiet=True)

    @property
    def planned_epochs(self) -> float:
        """Length of the final run as the experiment has it."""
        return self.experiment.training.epochs

    def batch_size(self, *, quiet: bool = False) -> int:
        """Return the batch size that holds now."""
        default, task = self.problem.usual_batch_size, self.task
        fixed = task.loop is not None and "batch_size" not in task.seen["reads"]
        return round(self.inputs.number("batch_size", default, quiet=quiet or fixed))

    def plan(self, batch_size: int) -> Plan:
        """Return the lengths of the procedure's runs at a batch size, and the budget of its stages."""
        procedure = self.experiment.procedure
        final, sizes = procedure.final, procedure.batch_size
        examples = len(self.task.train)
        compared = sizes.values or defaults.batch_sizes(batch_size, examples)
        return Plan(
            epochs=self.epochs,
            per_epoch=iterations_per_epoch(examples, batch_size),
            budget=procedure.budget,
            search_seeds=procedure.seeds,
            test_seeds=max(procedure.lr_range.seeds, procedure.seeds),
            tests=not defaults.has_usual_lr(self.optimizer) and self.check().has_schedule,
            final_seeds=final.seeds,
            trial_epochs=self.epochs if self.has_one_length else procedure.trial_epochs,
            shortest=1 if self.counts_epochs else SHORTEST,
            range_test_epochs=procedure.lr_range.epochs,
            baseline_length=None if final.baseline is None else final.baseline_length,
            batch_cost=batch_cost(compared, batch_size) if sizes.train_longer else 1.0,
        )

    def short(self, stage: str) -> Trial:
        """Return a short run of a stage with the values that hold now."""
        return self.shortened(self.base(stage, 1, batch_size=self.batch_size()))

    def whole(self, stage: str, *, lr: float | None = None, quiet: bool = False) -> Trial:
        """Return a run of the final length with the values that hold now."""
        size = self.batch_size(quiet=quiet)
        return self.base(stage, self.plan(size).final, batch_size=size, lr=lr, quiet=quiet)

    def shortened(self, trial: Trial, plan: Plan | None = None) -> Trial:
        """Return a trial as a short run, read no more often than its own length pays for."""
        iterations = (plan or self.plan(trial.batch_size)).short
        affordable = iterations * trial.batch_size // max(len(self.task.validation), 1)
        evaluations = min(trial.settings.evaluations, max(affordable, FEWEST_EVALUATIONS))
        settings = trial.settings.change(evaluations=evaluations)
        return trial.change(iterations=iterations, settings=settings)

    def base(
        self,
        stage: str,
        iterations: int,
        *,
        batch_size: int,
        lr: float | None = None,
        quiet: bool = False,
    ) -> Trial:
        """Return a trial with the values that hold now."""
        experiment, inputs, shown = self.experiment, self.inputs, self.check()
        policy = experiment.policy
        if lr is None:
            lr = inputs.number("lr", 0.1, quiet=quiet)
        own = quiet or "momentum" in shown.fixed
        momentum = inputs.number("momentum", defaults.MOMENTUM, quiet=own)
        lowest = defaults.MOMENTUM_MIN if momentum > defaults.MOMENTUM_MIN else momentum
        minimum = inputs.number("momentum_min", lowest, quiet=own or not shown.has_schedule)
        if not shown.has_schedule:  # nothing cycles that the loop does not cycle itself
            policy, minimum = PolicySpec(name=defaults.OWN), momentum
        usual = defaults.weight_decay(shown.weight_layers, self.optimizer)
        decay = inputs.number("weight_decay", usual, quiet=quiet or not shown.has_weight_decay)
        return Trial(
            stage=stage,
            task=self.task.fingerprint,
            seed=experiment.seed,
            iterations=iterations,
            batch_size=batch_size,
            lr=lr,
            lr_min=self._lr_min(lr, policy),
            momentum=momentum,
            momentum_min=None if minimum == momentum else minimum,
            weight_decay=decay if shown.has_weight_decay else 0.0,
            policy=policy,
            optimizer=self.problem.optimizer,
            settings=experiment.training.settings(),
            fixed=shown.fixed,
            devices=self.problem.devices_that_matter(shown),
        )

    def decided(self, decisions: Iterable[Decision]) -> Experiment:
        """Return the experiment with every decided value, and what holds now where it has none."""
        experiment = tuned(self.experiment, decisions)
        if not self.inputs.known("lr"):
            return experiment
        now = self.whole(TRAIN, quiet=True)
        for name in HYPER_PARAMETERS:
            if getattr(experiment.hyper_parameters, name) is None:
                experiment = with_value(experiment, f"hyper_parameters.{name}", getattr(now, name))
        return experiment

    def _lr_min(self, lr: float, policy: PolicySpec) -> float | None:
        """Return the minimum LR; None leaves it to a policy that does not cycle as the report's."""
        # The minimum that was decided belongs to the LR that was decided, not to another one.
        if self.inputs.known("lr_min") and lr == self.inputs.number("lr", lr, quiet=True):
            return self.inputs.number("lr_min", lr, quiet=True)
        return defaults.lr_min(lr) if policy.name in defaults.CYCLES else None

    def _inputs_from(self, decisions: Iterable[Decision]) -> Inputs:
        given = self.experiment.hyper_parameters
        written = {name: getattr(given, name) for name in HYPER_PARAMETERS}
        return Inputs(self._flags, written, decisions, self.progress.message)


def tuned(experiment: Experiment, decisions: Iterable[Decision]) -> Experiment:
    """Return an experiment with every decided value written in."""
    # Iterations of an epoch hold at a batch size, whatever is decided.
    if experiment.loop.iterations_per_epoch is not None:
        experiment = with_value(experiment, "loop.batch_size", usual_batch_size(experiment))
    for decision in decisions:
        name = decision.parameter
        if name in HYPER_PARAMETERS:
            experiment = with_value(experiment, f"hyper_parameters.{name}", decision.value)
        elif name == "epochs":
            experiment = with_value(experiment, "training.epochs", decision.value)
        elif "." in name:
            experiment = with_value(experiment, name, decision.value)
    return experiment
