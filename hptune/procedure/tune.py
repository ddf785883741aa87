"""The whole procedure over an experiment and a run directory, stage by stage or in one go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from hptune.config.build import build_task
from hptune.config.load import dump, load_experiment, with_value
from hptune.config.schema import Experiment
from hptune.errors import InputError
from hptune.procedure import defaults
from hptune.procedure.batch_size import decide_batch_size, default_values, run_batch_size
from hptune.procedure.final import decide_final, run_final, run_final_safely
from hptune.procedure.inputs import Inputs
from hptune.procedure.lr_range import decide_lr, run_confirmation, run_lr_range
from hptune.procedure.momentum import decide_momentum, run_momentum
from hptune.procedure.plan import STAGES, Lengths, PlannedStage, lengths, plan
from hptune.procedure.sweep_key import decide_key
from hptune.procedure.weight_decay import (
    decide_weight_decay,
    first_grid,
    run_weight_decay,
    usual_weight_decay,
)
from hptune.results.records import Decision, PolicySpec, Scalar, Stage, Trial, TrialResult
from hptune.results.run_dir import RunDir
from hptune.sweep.paired import Candidates
from hptune.sweep.progress import Progress
from hptune.sweep.run import Runner
from hptune.task import Task
from hptune.training.device import Device, resolve_device
from hptune.training.loop import iterations_per_epoch
from hptune.training.preflight import Preflight, preflight

_STAGE_OF = {
    "momentum": Stage.MOMENTUM,
    "wd": Stage.WEIGHT_DECAY,
    "weight-decay": Stage.WEIGHT_DECAY,
    "weight_decay": Stage.WEIGHT_DECAY,
    "batch-size": Stage.BATCH_SIZE,
    "batch_size": Stage.BATCH_SIZE,
}
_HYPER_PARAMETERS = ("lr", "lr_min", "momentum", "momentum_min", "weight_decay", "batch_size")
_DROPOUT_RATES = (0.0, 0.1, 0.2, 0.3, 0.5)


@dataclass
class Outcome:
    """What a command did: the decisions it made and the trials it looked at."""

    decisions: list[Decision] = field(default_factory=list)
    results: list[TrialResult] = field(default_factory=list)


class Session:
    """An experiment at work in a run directory. Use as a context manager: it holds the directory's lock."""

    def __init__(
        self,
        experiment: Experiment,
        run_dir: RunDir,
        device: Device,
        progress: Progress,
        flags: Mapping[str, Scalar],
        *,
        restart: bool,
    ) -> None:
        self.run_dir, self.device, self.progress = run_dir, device, progress
        self._flags, self._restart = flags, restart
        self._written = experiment
        self.experiment = experiment
        self._task: Task | None = None
        self._preflight: Preflight | None = None
        self._inputs = self._inputs_from(())

    @classmethod
    def open(
        cls,
        experiment: Experiment,
        out: Path,
        *,
        device: str = "auto",
        progress: Progress,
        flags: Mapping[str, Scalar] | None = None,
        restart: bool = False,
    ) -> Self:
        """Open the run directory for writing and find the device.

        Args:
            experiment: What to tune.
            out: The run directory; made where it is not there.
            device: As for `--device`.
            progress: Hears what happens.
            flags: Hyper-parameters and epochs given on the command line.
            restart: Whether trials that are there are run again.

        Raises:
            InputError: The directory is in use, not writable, or of another experiment.
        """
        place = resolve_device(device, experiment.training.precision)
        run_dir = RunDir.open(out)
        try:
            _check_same_experiment(run_dir, experiment, restart=restart)
            run_dir.write_experiment(dump(experiment))
            run_dir.write_manifest({"device": place.name, "seed": experiment.seed})
            return cls(experiment, run_dir, place, progress, flags or {}, restart=restart)
        except BaseException:
            run_dir.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.run_dir.close()

    # What the user asks for

    def lr_find(self, *, seeds: int | None = None) -> Outcome:
        """Run the LR range stage."""
        self._use_decisions()
        return self._stage(Stage.LR_RANGE, seeds=seeds)

    def sweep(
        self, key: str, *, values: Sequence[Scalar] | None = None, seeds: int | None = None
    ) -> Outcome:
        """Run the stage of a named hyper-parameter, or a plain paired sweep of any other key.

        Args:
            key: momentum, wd, batch-size, lr, dropout, or a key path of the experiment.
            values: Candidates; each named key has its own by default.
            seeds: Repeats of each candidate.
        """
        self._use_decisions()
        outcome = self._learning_rate_first()
        if key in _STAGE_OF:
            done = self._stage(_STAGE_OF[key], values=values, seeds=seeds)
        else:
            done = self._sweep_key(key, values, seeds or self.experiment.procedure.seeds)
        return _joined(outcome, done)

    def train(self, *, policy: str | None = None, seeds: int = 1) -> Outcome:
        """Train with the decided values, once a seed, and read the test set."""
        self._use_decisions()
        if policy is not None and policy != self.experiment.policy.name:
            # Another policy's arguments mean nothing to this one.
            self._replace(with_value(self.experiment, "policy", {"name": policy}))
        outcome = self._learning_rate_first()
        return _joined(outcome, self._final(Stage.TRAIN, seeds))

    def run(self, *, stages: Sequence[str] | None = None) -> Outcome:
        """Run the procedure, every stage from the decisions of those before it."""
        wanted = _stages(stages if stages is not None else self.experiment.procedure.stages)
        if stages is not None:
            # Stages that are left out may have decided before.
            skipped = [d for d in self.run_dir.decisions() if d.stage not in wanted]
            self._inputs = self._inputs_from(skipped)
        outcome = Outcome()
        if Stage.LR_RANGE not in wanted:
            outcome = self._learning_rate_first()
        for stage in wanted:
            outcome = _joined(outcome, self._stage(stage))
        return outcome

    def plan(self, stages: Sequence[str] | None = None) -> list[PlannedStage]:
        """List what `run` will do, with a time estimate from a timed probe."""
        procedure = self.experiment.procedure
        batch_size = self._batch_size(quiet=True)
        base = self._base(Stage.TRAIN, 1, batch_size=batch_size, quiet=True)
        speed = self._runner().examples_per_second(base)
        return plan(
            _stages(stages if stages is not None else procedure.stages),
            self._lengths(batch_size),
            per_epoch=self._per_epoch(batch_size),
            search_seeds=procedure.seeds,
            final_seeds=procedure.final.seeds,
            seconds_per_iteration=batch_size / speed,
        )

    def check(self) -> dict[str, Any]:
        """Run one batch and say what was found."""
        shown = self._checked()
        batch_size = self._batch_size(quiet=True)
        return {
            "data": self.task.data,
            "train": len(self.task.train),
            "validation": len(self.task.validation),
            "test": None if self.task.test is None else len(self.task.test),
            "classes": self.task.classes,
            "model": self.task.model,
            "parameters": shown.parameters,
            "weight_layers": shown.weight_layers,
            "batch_size": batch_size,
            "input_shape": list(shown.input_shape),
            "output_shape": list(shown.output_shape),
            "initial_loss": shown.loss,
            "memory_mb": self.device.peak_memory_mb(),
            "device": self.device.name,
            "precision": str(self.device.dtype).removeprefix("torch."),
        }

    # The stages

    def _stage(
        self, stage: Stage, *, values: Sequence[Scalar] | None = None, seeds: int | None = None
    ) -> Outcome:
        if stage is Stage.FINAL:
            return self._final(stage, self.experiment.procedure.final.seeds)
        self._begin(stage)
        seeds = seeds or self.experiment.procedure.seeds
        run = {
            Stage.LR_RANGE: self._lr_range,
            Stage.MOMENTUM: self._momentum,
            Stage.WEIGHT_DECAY: self._weight_decay,
            Stage.BATCH_SIZE: self._batch_size_stage,
        }[stage]
        return self._end(stage, run(values, seeds))

    def _lr_range(self, values: Sequence[Scalar] | None, seeds: int) -> Outcome:
        options = self.experiment.procedure.lr_range
        low, high = defaults.lr_range(self.experiment.optimizer.name)
        batch_size = self._batch_size()
        runs = self._lengths(batch_size)
        length = runs.range_test
        if options.epochs is not None:
            length = max(1, round(options.epochs * self._per_epoch(batch_size)))
        base = self._base(Stage.LR_RANGE, length, batch_size=batch_size, lr=1.0)
        test = run_lr_range(
            self._runner(),
            base,
            low=options.lr_low or low,
            high=options.lr_high or high,
            mode="exponential" if options.mode == "auto" else options.mode,
            seeds=max(options.seeds, seeds),
        )
        short = base.change(iterations=runs.short)
        candidates = run_confirmation(self._runner(), short, test.reading.lr_max, seeds=seeds)
        decisions = decide_lr(test, candidates, test.reading.lr_max)
        return Outcome(decisions, test.results + _results(candidates))

    def _momentum(self, values: Sequence[Scalar] | None, seeds: int) -> Outcome:
        options = self.experiment.procedure.momentum
        base = self._short()
        candidates = run_momentum(
            self._runner(),
            base,
            values=_numbers(values) or list(options.values),
            minimum=options.minimum,
            seeds=seeds,
        )
        decisions = decide_momentum(candidates)
        results = _results(candidates)
        if decisions[0].value == base.momentum:
            return Outcome(decisions, results)
        # Momentum and LR are coupled: where one moved, the other is confirmed once more.
        best = next(r.trial for r in results if r.trial.id == _chosen(candidates, decisions))
        confirmed = run_confirmation(self._runner(), best, best.lr, seeds=seeds)
        return Outcome(
            decisions + decide_lr(None, confirmed, best.lr, stage=Stage.MOMENTUM),
            results + _results(confirmed),
        )

    def _weight_decay(self, values: Sequence[Scalar] | None, seeds: int) -> Outcome:
        layers, optimizer = self._checked().weight_layers, self.experiment.optimizer.name
        given = _numbers(values) or list(self.experiment.procedure.weight_decay.values or ())
        candidates = run_weight_decay(
            self._runner(),
            self._short(),
            values=given or first_grid(layers, optimizer),
            seeds=seeds,
            refine=not given,
        )
        decision = decide_weight_decay(candidates, usual=usual_weight_decay(layers, optimizer))
        return Outcome([decision], _results(candidates))

    def _batch_size_stage(self, values: Sequence[Scalar] | None, seeds: int) -> Outcome:
        options = self.experiment.procedure.batch_size
        base = self._short()
        examples = len(self.task.train)
        sizes = [round(value) for value in _numbers(values) or options.values or ()]
        for size in sizes:
            iterations_per_epoch(examples, size)
        candidates = run_batch_size(
            self._runner(),
            base,
            values=sizes or default_values(base.batch_size, examples),
            scaling=options.lr_scaling,
            seeds=seeds,
        )
        epochs = self._inputs.number("epochs", self.experiment.training.epochs, quiet=True)
        decisions = decide_batch_size(candidates, base=base, examples=examples, epochs=epochs)
        return Outcome(decisions, _results(candidates))

    def _final(self, stage: Stage, seeds: int) -> Outcome:
        self._begin(stage)
        batch_size = self._batch_size()
        base = self._base(stage, self._lengths(batch_size).final, batch_size=batch_size)
        if stage is Stage.TRAIN:  # by hand, with the values that the user may have given
            results = run_final(self._runner(), base, seeds=seeds, stage=stage)
            return self._end(stage, Outcome([decide_final(results)], results))
        results, lowered = run_final_safely(self._runner(), base, seeds=seeds)
        return self._end(stage, Outcome([*lowered, decide_final(results[-seeds:])], results))

    def _sweep_key(self, key: str, values: Sequence[Scalar] | None, seeds: int) -> Outcome:
        path = {"dropout": "model.dropout", "lr": "hyper_parameters.lr"}.get(key, key)
        base = self._short()
        if values is None and key == "dropout":
            values = _DROPOUT_RATES
        elif values is None and key == "lr":
            values = [float(f"{base.lr * factor:.2g}") for factor in (0.25, 0.5, 1, 2, 4)]
        elif values is None:
            raise InputError(f"sweep {key}: no values; a key path needs them; give --values A,B,C")
        self._begin(Stage.SWEEP, f"sweep {key}")
        candidates: Candidates = {}
        for value in values:
            trial, runner = self._variant(base, key, path, value)
            candidates[str(value)] = runner.run(
                [trial.change(seed=trial.seed + k) for k in range(seeds)]
            )
        decision = decide_key("lr" if key == "lr" else path, values, candidates)
        return self._end(Stage.SWEEP, Outcome([decision], _results(candidates)))

    def _variant(self, base: Trial, key: str, path: str, value: Scalar) -> tuple[Trial, Runner]:
        """Return the trial and the runner for one value of a swept key."""
        base = base.change(stage=Stage.SWEEP)
        if key == "lr":
            lr = float(value)  # type: ignore[arg-type]
            low = None if base.lr_min is None else lr * defaults.LR_MIN_FRACTION
            return base.change(lr=lr, lr_min=low), self._runner()
        variant = Session(
            with_value(self.experiment, path, value),
            self.run_dir,
            self.device,
            self.progress,
            self._flags,
            restart=False,
        )
        variant._inputs = self._inputs
        trial = variant._base(Stage.SWEEP, base.iterations, batch_size=base.batch_size, quiet=True)
        return trial.change(extra={key: value}), variant._runner()

    # What the stages are made from

    @property
    def task(self) -> Task:
        """The task, built when it is first needed."""
        if self._task is None:
            self._task = build_task(self.experiment)
        return self._task

    def _checked(self) -> Preflight:
        if self._preflight is None:
            self._preflight = preflight(
                self.task,
                self.device,
                batch_size=self._batch_size(quiet=True),
                optimizer=self.experiment.optimizer.spec(),
                seed=self.experiment.seed,
            )
        return self._preflight

    def _runner(self) -> Runner:
        self._checked()
        return Runner(self.task, self.run_dir, self.device, self.progress)

    def _inputs_from(self, decisions: Iterable[Decision]) -> Inputs:
        written: dict[str, Scalar] = {
            name: getattr(self._written.hyper_parameters, name) for name in _HYPER_PARAMETERS
        }
        return Inputs(self._flags, written, decisions, self.progress.message)

    def _use_decisions(self) -> None:
        """Take the directory's decisions in, those on keys of the experiment too."""
        decisions = self.run_dir.decisions()
        self._inputs = self._inputs_from(decisions)
        for decision in decisions:
            if decision.stage is Stage.SWEEP and "." in decision.parameter:
                self.progress.message(f"  {decision.parameter} {decision.value} (decided by sweep)")
                self._replace(with_value(self.experiment, decision.parameter, decision.value))

    def _replace(self, experiment: Experiment) -> None:
        self.experiment, self._task, self._preflight = experiment, None, None

    def _learning_rate_first(self) -> Outcome:
        if self._inputs.known("lr"):
            return Outcome()
        self.progress.message("No LR is given anywhere, so the LR range test runs first.")
        return self._stage(Stage.LR_RANGE)

    def _batch_size(self, *, quiet: bool = False) -> int:
        default = defaults.batch_size(len(self.task.train))
        return round(self._inputs.number("batch_size", default, quiet=quiet))

    def _per_epoch(self, batch_size: int) -> int:
        return iterations_per_epoch(len(self.task.train), batch_size)

    def _lengths(self, batch_size: int) -> Lengths:
        procedure = self.experiment.procedure
        return lengths(
            epochs=self._inputs.number("epochs", self.experiment.training.epochs, quiet=True),
            per_epoch=self._per_epoch(batch_size),
            budget=procedure.budget,
            search_seeds=procedure.seeds,
            trial_epochs=procedure.trial_epochs,
        )

    def _short(self) -> Trial:
        batch_size = self._batch_size()
        return self._base(Stage.TRAIN, self._lengths(batch_size).short, batch_size=batch_size)

    def _base(
        self,
        stage: Stage,
        iterations: int,
        *,
        batch_size: int,
        lr: float | None = None,
        quiet: bool = False,
    ) -> Trial:
        """Return a trial with the values that hold now."""
        experiment, inputs = self.experiment, self._inputs
        optimizer, policy = experiment.optimizer.spec(), experiment.policy.spec()
        if lr is None:
            lr = inputs.number("lr", 0.1, quiet=quiet)
        momentum = inputs.number("momentum", defaults.MOMENTUM, quiet=quiet)
        lowest = defaults.MOMENTUM_MIN if momentum > defaults.MOMENTUM_MIN else momentum
        minimum = inputs.number("momentum_min", lowest, quiet=quiet)
        weight_decay = inputs.number(
            "weight_decay",
            usual_weight_decay(self._checked().weight_layers, optimizer.name),
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

    def _lr_min(self, lr: float, policy: PolicySpec) -> float | None:
        """Return the minimum LR; None leaves it to a policy that does not cycle as the report's."""
        # The minimum that was decided belongs to the LR that was decided, not to another one.
        if self._inputs.known("lr_min") and lr == self._inputs.number("lr", lr, quiet=True):
            return self._inputs.number("lr_min", lr, quiet=True)
        return lr * defaults.LR_MIN_FRACTION if policy.name in defaults.CYCLES else None

    def _begin(self, stage: Stage, title: str | None = None) -> None:
        if self._restart:
            self.run_dir.forget([stage])
        self.progress.stage_started(stage, title or str(stage))

    def _end(self, stage: Stage, outcome: Outcome) -> Outcome:
        self.run_dir.decide(outcome.decisions)
        self._inputs.take_in(outcome.decisions)
        self.run_dir.write_tuned(dump(self._tuned()))
        self.progress.stage_finished(stage, outcome.results, outcome.decisions)
        return outcome

    def _tuned(self) -> Experiment:
        """Return the experiment with every decided value written in."""
        tuned = self.experiment
        for decision in self.run_dir.decisions():
            name = decision.parameter
            if name in _HYPER_PARAMETERS:
                tuned = with_value(tuned, f"hyper_parameters.{name}", decision.value)
            elif name == "epochs":
                tuned = with_value(tuned, "training.epochs", decision.value)
            elif "." in name:
                tuned = with_value(tuned, name, decision.value)
        return tuned


def _chosen(candidates: Candidates, decisions: Sequence[Decision]) -> str:
    """Return the id of the first trial with the momentum that was decided."""
    value, minimum = decisions[0].value, decisions[1].value
    for results in candidates.values():
        trial = results[0].trial
        lowest = trial.momentum if trial.momentum_min is None else trial.momentum_min
        if (trial.momentum, lowest) == (value, minimum):
            return trial.id
    raise AssertionError("the decision is one of the candidates")


def _check_same_experiment(run_dir: RunDir, experiment: Experiment, *, restart: bool) -> None:
    """Refuse a directory that holds another problem's decisions."""
    if restart or not run_dir.experiment.exists() or not run_dir.rows():
        return
    try:
        there = load_experiment(run_dir.experiment)
    except InputError:
        return  # written by another version; the ids of its trials differ, nothing is mixed up
    for section in ("data", "model", "loss", "optimizer"):
        if getattr(there, section) != getattr(experiment, section):
            raise InputError(
                f"--out: {run_dir.path} holds a run with another {section} section; a run directory "
                "belongs to one experiment; give another --out, or --restart"
            )


def _stages(names: Sequence[str]) -> list[Stage]:
    known = {str(stage): stage for stage in STAGES}
    for name in names:
        if name not in known:
            raise InputError(
                f"--stages: {name!r}; must be of {', '.join(known)}; choose among these"
            )
    return [stage for stage in STAGES if str(stage) in names]


def _numbers(values: Sequence[Scalar] | None) -> list[float]:
    numbers = []
    for value in values or ():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"--values: {value!r}; must be a number; give numbers with commas")
        numbers.append(float(value))
    return numbers


def _results(candidates: Candidates) -> list[TrialResult]:
    return [result for results in candidates.values() for result in results]


def _joined(first: Outcome, second: Outcome) -> Outcome:
    return Outcome(first.decisions + second.decisions, first.results + second.results)
