"""What the stages' trials are made from: the experiment, the values that hold now, the budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from hptune.analysis.criterion import LOSS, Criterion
from hptune.config.build import build_task
from hptune.config.load import with_value
from hptune.config.schema import Experiment
from hptune.errors import InputError
from hptune.procedure import defaults
from hptune.procedure.inputs import Inputs
from hptune.procedure.plan import Lengths, lengths
from hptune.procedure.weight_decay import usual_weight_decay
from hptune.results.evidence import Evidence
from hptune.results.records import (
    Decision,
    PolicySpec,
    Scalar,
    TrainingSettings,
    Trial,
    TrialResult,
)
from hptune.results.run_dir import VALIDATION_EXAMPLES, RunDir
from hptune.stages import LR_RANGE, SWEEP
from hptune.task import Task
from hptune.training.check_batch import BatchCheck, check_batch
from hptune.training.device import Device
from hptune.training.execution_mode import choose_mode, measure_modes
from hptune.training.lengths import iterations_per_epoch
from hptune.trials.budget import Budget
from hptune.trials.executors import Execution
from hptune.trials.progress import Progress
from hptune.trials.run import Runner

FEWEST_READINGS = 8  # of the validation set in a short run
HYPER_PARAMETERS = ("lr", "lr_min", "momentum", "momentum_min", "weight_decay", "batch_size")


@dataclass
class Outcome:
    """What a command did: its decisions, the trials it looked at, and what the decisions rest on."""

    decisions: list[Decision] = field(default_factory=list)
    results: list[TrialResult] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.decisions + other.decisions,
            self.results + other.results,
            self.evidence + other.evidence,
        )


class Setup:
    """An experiment at a point of the procedure: its task, and the values that hold now.

    Attributes:
        experiment: As written, with the keys that sweeps have decided.
        inputs: Flags, decisions, written values and defaults, in this order.
        budget: What the search may cost and has cost.
    """

    def __init__(
        self,
        experiment: Experiment,
        run_dir: RunDir,
        device: Device,
        progress: Progress,
        flags: Mapping[str, Scalar],
        execution: Execution | None = None,
        given: Task | None = None,
    ) -> None:
        self.experiment, self.run_dir = experiment, run_dir
        self._device, self.progress, self.execution = device, progress, execution
        self.budget = Budget()
        self._flags, self._written = flags, experiment
        self._given = given
        self._task: Task | None = None
        self._checked: BatchCheck | None = None
        self.inputs = self._inputs_from(())

    def variant(self, path: str, value: Scalar) -> Setup:
        """Return a setup in which a key of the experiment has another value."""
        experiment = with_value(self.experiment, path, value)
        other = Setup(
            experiment,
            self.run_dir,
            self.device,
            self.progress,
            self._flags,
            self.execution,
            self._given,
        )
        other.inputs, other.budget = self.inputs, self.budget
        return other

    def change(self, experiment: Experiment) -> None:
        """Go on with another experiment; its task is built anew."""
        self.experiment, self._task, self._checked = experiment, None, None

    def use(self, decisions: Iterable[Decision]) -> None:
        """Go by these decisions, those on keys of the experiment too, and by no others."""
        decisions = list(decisions)
        self.inputs = self._inputs_from(decisions)
        for decision in decisions:
            if decision.stage == SWEEP and "." in decision.parameter:
                self.progress.message(f"  {decision.parameter} {decision.value} (decided by sweep)")
                self.change(with_value(self.experiment, decision.parameter, decision.value))

    @property
    def task(self) -> Task:
        """The task, built when it is first needed."""
        if self._task is None:
            self._task = build_task(self.experiment, self._given)
            self.run_dir.add_fact(VALIDATION_EXAMPLES, len(self._task.validation))
        return self._task

    @property
    def device(self) -> Device:
        """Where to train, and in which mode, measured when it is first needed."""
        if self._device.needs_probe:
            on_cpu = self._device.torch_device.type == "cpu"
            what = "precision" if on_cpu else "capture"
            key = f"{what}/{self.task.fingerprint}/{self._device.torch_device}"
            seconds = self.run_dir.timing(key)
            if not isinstance(seconds, dict):
                size = self.batch_size(quiet=True)
                # Making a trial tells wrong input, before anything is timed.
                probe = self.base(LR_RANGE, 1000, batch_size=size, lr=1e-4, quiet=True)
                seconds, why = measure_modes(self.task, probe, self._device)
                self.run_dir.set_timing(key, seconds)
                if why and not on_cpu:
                    self.run_dir.add_fact("not_captured", why)
            self._device = choose_mode(self._device, seconds)
            self.run_dir.add_fact("precision", self._device.precision)
            if not on_cpu:
                self.run_dir.add_fact("cuda_graph", self._device.graph_from_iteration is not None)
            if self.execution is not None:
                self.execution.device = self._device
        return self._device

    @property
    def is_given(self) -> bool:
        """Whether the task was put together in Python, so that no other process can build it."""
        return self._given is not None

    @property
    def checked(self) -> BatchCheck:
        """What the first batch showed, run when it is first needed."""
        if self._checked is None:
            self._checked = check_batch(
                self.task,
                self._device,
                batch_size=self.batch_size(quiet=True),
                optimizer=self.experiment.optimizer,
                seed=self.experiment.seed,
            )
        return self._checked

    @property
    def runner(self) -> Runner:
        """What runs this task's trials within the budget."""
        _ = self.checked
        return Runner(
            self.task, self.run_dir, self.device, self.progress, self.budget, self.execution
        )

    @property
    def criterion(self) -> Criterion:
        """By what candidates are judged."""
        return self.criterion_of(self.experiment.procedure.rank_by)

    def criterion_of(self, name: str) -> Criterion:
        """Return what judges by the loss or by a metric of the task.

        Raises:
            InputError: The task has no such metric.
        """
        examples = len(self.task.validation)
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
    def epochs(self) -> float:
        """Length of the final run."""
        return self.inputs.number("epochs", self.experiment.training.epochs, quiet=True)

    def batch_size(self, *, quiet: bool = False) -> int:
        """Return the batch size that holds now."""
        default = defaults.batch_size(len(self.task.train))
        return round(self.inputs.number("batch_size", default, quiet=quiet))

    def per_epoch(self, batch_size: int) -> int:
        """Return the iterations an epoch."""
        return iterations_per_epoch(len(self.task.train), batch_size)

    def lengths(self, batch_size: int) -> Lengths:
        """Return the lengths of the procedure's runs at a batch size."""
        procedure, per_epoch = self.experiment.procedure, self.per_epoch(batch_size)
        runs = lengths(
            epochs=self.epochs,
            per_epoch=per_epoch,
            budget=procedure.budget,
            search_seeds=procedure.seeds,
            trial_epochs=procedure.trial_epochs,
        )
        if procedure.lr_range.epochs is None:
            return runs
        return replace(runs, range_test=max(1, round(procedure.lr_range.epochs * per_epoch)))

    def short(self, stage: str) -> Trial:
        """Return a short run of a stage with the values that hold now."""
        batch_size = self.batch_size()
        base = self.base(stage, self.lengths(batch_size).short, batch_size=batch_size)
        return base.change(settings=self.short_settings(base))

    def short_settings(self, trial: Trial) -> TrainingSettings:
        """Return how a short run is read: no more often than its own length pays for."""
        affordable = trial.iterations * trial.batch_size // max(len(self.task.validation), 1)
        readings = min(trial.settings.evaluations, max(affordable, FEWEST_READINGS))
        return trial.settings.change(evaluations=readings)

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
        experiment, inputs = self.experiment, self.inputs
        optimizer, policy = experiment.optimizer, experiment.policy
        if lr is None:
            lr = inputs.number("lr", 0.1, quiet=quiet)
        momentum = inputs.number("momentum", defaults.MOMENTUM, quiet=quiet)
        lowest = defaults.MOMENTUM_MIN if momentum > defaults.MOMENTUM_MIN else momentum
        minimum = inputs.number("momentum_min", lowest, quiet=quiet)
        weight_decay = inputs.number(
            "weight_decay",
            usual_weight_decay(self.checked.weight_layers, optimizer.name),
            quiet=quiet,
        )
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
            weight_decay=weight_decay,
            policy=policy,
            optimizer=optimizer,
            settings=experiment.training.settings(),
        )

    def tuned(self, decisions: Iterable[Decision]) -> Experiment:
        """Return the experiment with every decided value written in."""
        tuned = self.experiment
        for decision in decisions:
            name = decision.parameter
            if name in HYPER_PARAMETERS:
                tuned = with_value(tuned, f"hyper_parameters.{name}", decision.value)
            elif name == "epochs":
                tuned = with_value(tuned, "training.epochs", decision.value)
            elif "." in name:
                tuned = with_value(tuned, name, decision.value)
        return tuned

    def _lr_min(self, lr: float, policy: PolicySpec) -> float | None:
        """Return the minimum LR; None leaves it to a policy that does not cycle as the report's."""
        # The minimum that was decided belongs to the LR that was decided, not to another one.
        if self.inputs.known("lr_min") and lr == self.inputs.number("lr", lr, quiet=True):
            return self.inputs.number("lr_min", lr, quiet=True)
        return defaults.lr_min(lr) if policy.name in defaults.CYCLES else None

    def _inputs_from(self, decisions: Iterable[Decision]) -> Inputs:
        written: dict[str, Scalar] = {
            name: getattr(self._written.hyper_parameters, name) for name in HYPER_PARAMETERS
        }
        return Inputs(self._flags, written, decisions, self.progress.message)
