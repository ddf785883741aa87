"""A session: an experiment at work in a run directory, from one command to the whole procedure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from hptune.analysis.criterion import LOSS
from hptune.config.load import dump, load_experiment, with_value
from hptune.config.schema import Experiment
from hptune.errors import InputError
from hptune.procedure.final import (
    decide_baseline,
    decide_final,
    guessing,
    run_baseline,
    run_final,
    run_final_safely,
)
from hptune.procedure.plan import SHARES, PlannedStage, allowances, plan
from hptune.procedure.session import stages
from hptune.procedure.session.estimate import Estimate
from hptune.procedure.session.setup import Outcome, Setup
from hptune.results.records import Scalar, Trial, TrialResult
from hptune.results.run_dir import RunDir
from hptune.stages import (
    BATCH_SIZE,
    FINAL,
    LR_RANGE,
    MOMENTUM,
    SEARCH,
    SWEEP,
    TRAIN,
    WEIGHT_DECAY,
    choose,
    swept,
)
from hptune.task import Task
from hptune.training.device import Device, resolve_device
from hptune.trials.budget import Budget
from hptune.trials.executors import Execution, ExecutorName, warn_if_mixed
from hptune.trials.progress import Progress

_RUN: Mapping[str, stages.StageRun] = {
    LR_RANGE: stages.lr_range,
    MOMENTUM: stages.momentum,
    WEIGHT_DECAY: stages.weight_decay,
    BATCH_SIZE: stages.batch_size,
}


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
        execution: Execution | None = None,
        task: Task | None = None,
    ) -> None:
        self.run_dir, self.progress = run_dir, progress
        self._restart, self._execution = restart, execution
        self._setup = Setup(experiment, run_dir, device, progress, flags, execution, task)
        self._searched: list[TrialResult] = []

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
        executor: ExecutorName = "auto",
        jobs: int | None = None,
        task: Task | None = None,
    ) -> Self:
        """Open the run directory for writing and find the device.

        Args:
            experiment: What to tune.
            out: The run directory; made where it is not there.
            device: As for `--device`.
            progress: Hears what happens.
            flags: Hyper-parameters and epochs given on the command line.
            restart: Whether trials that are there are run again.
            executor: How trials are run: "auto" chooses by a timed probe.
            jobs: Trials at once; None takes the usable cores or the devices.
            task: The problem where it was put together in Python; None builds the experiment's.

        Raises:
            InputError: The directory is in use, not writable, or of another experiment.
        """
        place = resolve_device(device, experiment.training.precision)
        run_dir = RunDir.open(out, tell=progress.message)
        try:
            _check_same_experiment(run_dir, experiment, restart=restart)
            run_dir.write_experiment(dump(experiment))
            execution = Execution(place, run_dir, executor=executor, jobs=jobs)
            if not restart and run_dir.rows():
                warn_if_mixed(run_dir, execution.facts, progress.message)
            run_dir.write_manifest(
                {
                    "device": place.name,
                    "precision": place.precision,
                    "seed": experiment.seed,
                    **execution.facts,
                }
            )
            return cls(
                experiment,
                run_dir,
                place,
                progress,
                flags or {},
                restart=restart,
                execution=execution,
                task=task,
            )
        except BaseException:
            run_dir.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.close()
        if self._execution is not None:
            self._execution.close()
        self.run_dir.close()

    # What the user asks for

    def lr_find(self, *, seeds: int | None = None) -> Outcome:
        """Run the LR range stage."""
        self._setup.use(self.run_dir.decisions())
        return self._stage(LR_RANGE, seeds=seeds)

    def sweep(
        self, key: str, *, values: Sequence[Scalar] | None = None, seeds: int | None = None
    ) -> Outcome:
        """Run the stage of a named hyper-parameter, or a plain paired sweep of any other key.

        Args:
            key: momentum, wd, batch-size, lr, dropout, or a key path of the experiment.
            values: Candidates; each named key has its own by default.
            seeds: Repeats of each candidate.
        """
        self._setup.use(self.run_dir.decisions())
        named = swept(key)
        if named is None:
            stages.check_key(self._setup, key, values)
        outcome = self._learning_rate_first()
        if named is not None:
            return outcome + self._stage(named.name, values=values, seeds=seeds)
        self._begin(SWEEP, f"sweep {key}")
        seeds = seeds or self._setup.experiment.procedure.seeds
        return outcome + self._end(SWEEP, stages.sweep_key(self._setup, key, values, seeds))

    def search(self) -> Outcome:
        """Search jointly through Optuna, as the experiment's section `search` says."""
        self._setup.use(())
        self._begin(SEARCH)
        return self._end(SEARCH, stages.search(self._setup))

    def train(self, *, policy: str | None = None, seeds: int = 1) -> Outcome:
        """Train with the decided values, once a seed, and read the test set."""
        setup = self._setup
        setup.use(self.run_dir.decisions())
        if policy is not None and policy != setup.experiment.policy.name:
            # Another policy's arguments mean nothing to this one.
            setup.change(with_value(setup.experiment, "policy", {"name": policy}))
        outcome = self._learning_rate_first()
        return outcome + self._final(TRAIN, seeds)

    def run(self, *, stages: Sequence[str] | None = None) -> Outcome:
        """Run the procedure, every stage from the decisions of those before it."""
        setup = self._setup
        wanted = _stages(stages if stages is not None else setup.experiment.procedure.stages)
        if stages is not None:
            # Stages that are left out may have decided before.
            setup.use(d for d in self.run_dir.decisions() if d.stage not in wanted)
        allowed = allowances(wanted, setup.experiment.procedure.budget * setup.epochs)
        if allowed:
            self.progress.message(
                f"The search may take {max(allowed.values()):.4g} epochs, the final run takes "
                f"{setup.epochs:g} for each seed."
            )
        examples = len(setup.task.train)
        self.progress.planned({s.stage: s.epochs * examples for s in self._planned(wanted)})
        outcome = Outcome()
        if LR_RANGE not in wanted:
            outcome = self._learning_rate_first()
        for stage in wanted:
            # The procedure's stages share one budget: what one leaves is the next one's.
            setup.budget.allowed = allowed.get(stage, setup.budget.allowed)
            outcome += self._stage(stage, shared=True)
        return outcome

    def plan(self, stages: Sequence[str] | None = None) -> list[PlannedStage]:
        """List what `run` will do, with a time estimate from a timed probe."""
        estimate = Estimate(self._setup)
        names = stages if stages is not None else self._setup.experiment.procedure.stages
        return [estimate.stage(stage) for stage in self._planned(_stages(names))]

    def _planned(self, stages: Sequence[str]) -> list[PlannedStage]:
        setup = self._setup
        procedure = setup.experiment.procedure
        size, final = setup.batch_size(quiet=True), procedure.final
        return plan(
            stages,
            setup.lengths(size),
            per_epoch=setup.per_epoch(size),
            budget_epochs=procedure.budget * setup.epochs,
            test_seeds=max(procedure.lr_range.seeds, procedure.seeds),
            search_seeds=procedure.seeds,
            final_seeds=final.seeds,
            baseline_length=None if final.baseline is None else final.baseline_length,
        )

    def now(self) -> Trial:
        """Return a run of the final length with the values that hold now."""
        setup = self._setup
        size = setup.batch_size(quiet=True)
        return setup.base(TRAIN, setup.lengths(size).final, batch_size=size, quiet=True)

    def check(self) -> dict[str, Any]:
        """Run one batch and say what was found."""
        task, shown, device = self._setup.task, self._setup.checked, self._setup.device
        return {
            "data": task.data,
            "train": len(task.train),
            "validation": len(task.validation),
            "test": None if task.test is None else len(task.test),
            "classes": task.classes,
            "model": task.model,
            "parameters": shown.parameters,
            "weight_layers": shown.weight_layers,
            "batch_size": self._setup.batch_size(quiet=True),
            "input_shape": list(shown.input_shape),
            "output_shape": list(shown.output_shape),
            "initial_loss": shown.loss,
            "memory_mb": device.peak_memory_mb(),
            "device": device.name,
            "precision": device.precision,
        }

    def _stage(
        self,
        stage: str,
        *,
        values: Sequence[Scalar] | None = None,
        seeds: int | None = None,
        shared: bool = False,
    ) -> Outcome:
        setup = self._setup
        if stage == FINAL:
            return self._final(stage, setup.experiment.procedure.final.seeds)
        self._begin(stage)
        if not shared:
            procedure = setup.experiment.procedure
            share = SHARES[stage] / sum(SHARES.values())
            # What the user lists is all run, whatever it costs.
            allowed = math.inf if values else share * procedure.budget * setup.epochs
            setup.budget = Budget(allowed)
        before = setup.budget.spent
        outcome = _RUN[stage](setup, values, seeds or setup.experiment.procedure.seeds)
        cost = setup.budget.spent - before
        first = outcome.decisions[0]
        outcome.decisions[0] = replace(
            first,
            reason=f"{first.reason}; cost {cost:.3g} epochs",
        )
        self._searched += outcome.results
        return self._end(stage, outcome)

    def _final(self, stage: str, seeds: int) -> Outcome:
        setup = self._setup
        self._begin(stage)
        batch_size = setup.batch_size()
        base = setup.base(stage, setup.lengths(batch_size).final, batch_size=batch_size)
        if stage == TRAIN:  # by hand, with the values that the user may have given
            results = run_final(setup.runner, base, seeds=seeds, stage=stage)
            outcome = Outcome([decide_final(results, guessing(setup.task))], results)
            return self._end(stage, outcome + self._baseline(results))
        searched = setup.budget.spent
        results, lowered = run_final_safely(
            setup.runner, base, seeds=seeds, search=self._searched, by=setup.criterion
        )
        final = decide_final(results[-seeds:], guessing(setup.task))
        if searched:
            ratio = searched / setup.experiment.training.epochs
            final = replace(
                final,
                reason=f"{final.reason}; the search cost {searched:.3g} epochs, {ratio:.2f} times "
                "the final run's",
            )
        outcome = Outcome([*lowered, final], results)
        return self._end(stage, outcome + self._baseline(results[-seeds:]))

    def _baseline(self, final: Sequence[TrialResult]) -> Outcome:
        """Train the comparison that the experiment asks for, if any."""
        options = self._setup.experiment.procedure.final
        if options.baseline is None:
            return Outcome()
        results = run_baseline(
            self._setup.runner,
            final[0].trial,
            policy=options.baseline,
            epochs=options.baseline_length,
            seeds=len(final),
        )
        by = self._setup.criterion_of(next(iter(self._setup.task.metrics), LOSS.name))
        return Outcome([decide_baseline(final, results, by)], results)

    def _learning_rate_first(self) -> Outcome:
        if self._setup.inputs.known("lr"):
            return Outcome()
        self.progress.message("No LR is given anywhere, so the LR range test runs first.")
        return self._stage(LR_RANGE)

    def _begin(self, stage: str, title: str | None = None) -> None:
        if self._restart:
            self.run_dir.forget([stage])
        self.progress.stage_started(stage, title or str(stage))

    def _end(self, stage: str, outcome: Outcome) -> Outcome:
        self.run_dir.decide(outcome.decisions)
        self.run_dir.add_evidence(outcome.evidence)
        self._setup.inputs.take_in(outcome.decisions)
        self.run_dir.write_tuned(dump(self._setup.tuned(self.run_dir.decisions())))
        self.progress.stage_finished(stage, outcome.results, outcome.decisions, outcome.evidence)
        return outcome


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


def _stages(names: Sequence[str]) -> list[str]:
    return [stage.name for stage in choose(list(names), "--stages")]
