"""A session: an experiment at work in a run directory, from one command to the whole procedure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from hptune.config.load import dump, with_value
from hptune.config.schema import Experiment
from hptune.errors import InputError
from hptune.procedure import balance, final, optimizer, search, sweep_key, sweep_lr
from hptune.procedure.outcome import Outcome
from hptune.procedure.plan import PlannedStage
from hptune.procedure.session import place
from hptune.procedure.session.changes import tell_of_changed_code
from hptune.procedure.session.chosen import chosen_stages, refuse_fixed, without_fixed
from hptune.procedure.session.context import Context
from hptune.procedure.session.estimate import Estimate
from hptune.procedure.session.found import found_in
from hptune.procedure.session.listed import listed_values
from hptune.procedure.session.problem import Problem
from hptune.procedure.session.time_limit import TimeLimit
from hptune.results.records import Scalar, Trial, Value
from hptune.results.run_dir import RunDir
from hptune.stages import (
    BALANCE,
    FINAL,
    LR_RANGE,
    OPTIMIZER,
    REFINE,
    SEARCH,
    STAGES,
    SWEEP,
    TRAIN,
    swept,
)
from hptune.task import Task
from hptune.training.device import every_card
from hptune.trials.budget import Budget
from hptune.trials.executors import Cluster
from hptune.trials.executors.execution import Execution, warn_if_mixed
from hptune.trials.progress import Progress


class Session:
    """An experiment at work in a run directory. Use as a context manager: it holds the directory's lock."""

    def __init__(
        self, context: Context, *, restart: bool, folder: TemporaryDirectory[str] | None = None
    ) -> None:
        self._folder = folder  # removed when the session ends
        self.run_dir, self.progress = context.problem.run_dir, context.progress
        self._context, self._restart = context, restart
        self._limit: TimeLimit | None = None
        self._noted = False
        self._forgotten: set[str] = set()  # stages that are run again

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
        executor: str | None = None,
        jobs: int | None = None,
        task: Task | None = None,
        dry: bool = False,
    ) -> Self:
        """Open the run directory for writing and find the device.

        Args:
            out: The run directory; made where it is not there.
            flags: Hyper-parameters and epochs given on the command line.
            restart: Whether trials that are there are run again.
            executor: How trials are run: "auto" chooses by a timed probe; None goes by the experiment.
            jobs: Trials at once; None goes by the experiment, else by the usable cores or the devices.
            task: The problem where it was put together in Python; None builds the experiment's.
            dry: Whether nothing is to be run: then nothing is written there, nor made.

        Raises:
            InputError: The directory is in use, not writable, or of another experiment.
        """
        out = place.checked(experiment, out)
        on = place.training_device(device, experiment.training)
        folder = place.stand_in(out) if dry else None
        run_dir = RunDir.open(Path(folder.name) if folder else out, tell=progress.message)
        try:
            place.check_same_experiment(run_dir, experiment, restart=restart)
            asked = experiment.execution
            execution = Execution(
                on,
                run_dir,
                executor=executor or asked.executor,
                jobs=jobs or asked.jobs or every_card(device),
                cluster=Cluster(asked.address, asked.cpus_per_trial, asked.gpus_per_trial),
                candidates=asked.candidates,
                compiles=asked.compile,
                tell=progress.message,
            )
            if not restart and run_dir.rows():
                warn_if_mixed(run_dir, execution.facts, progress.message)
            facts = {"precision": on.precision, "seed": experiment.seed, **execution.facts}
            run_dir.begin(dump(experiment), facts)
            problem = Problem(experiment, run_dir, on, execution, task)
            context = Context(problem, progress, flags or {})
            return cls(context, restart=restart, folder=folder)
        except BaseException:
            run_dir.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.close()
        execution = self._context.problem.execution
        if execution is not None:
            execution.close()
        self.run_dir.close()
        if self._folder is not None:
            self._folder.cleanup()

    # What the user asks for

    def lr_find(self, *, seeds: int | None = None) -> Outcome:
        """Run the LR range stage."""
        self._context.use(self.run_dir.decisions())
        refuse_fixed(STAGES[LR_RANGE], self._context.check().fixed)
        return self._optimizer_first() + self._alone(LR_RANGE, seeds=seeds)

    def sweep(
        self, key: str, *, values: Sequence[Value] | None = None, seeds: int | None = None
    ) -> Outcome:
        """Run the stage of a named hyper-parameter, or a paired sweep of any other key.

        Args:
            key: momentum, wd, batch-size, lr, dropout, balance, or a key path of the experiment.
            values: Candidates; each named key has its own by default.
            seeds: Repeats of each candidate.

        Raises:
            InputError: A value is none that the key takes; nothing has run then.
        """
        context, named = self._context, swept(key)
        context.use(self.run_dir.decisions())
        refuse_fixed(named, context.check().fixed)
        values, outcome = listed_values(context, key, values), Outcome()
        if key != sweep_lr.OPTIMIZER:  # whose LR has nothing to do with another's
            outcome = self._optimizer_first() + self._learning_rate_first()
        if named is not None:
            return outcome + self._alone(named.name, values=values, seeds=seeds)
        self._begin(SWEEP, f"sweep {key}")
        context.budget = Budget()
        seeds = seeds or context.experiment.procedure.seeds
        if key == BALANCE:
            return outcome + self._end(SWEEP, balance.stage(context, values, seeds))
        if values is not None and sweep_lr.moves_lr(key):
            return outcome + self._end(SWEEP, sweep_lr.stage(context, key, values, seeds))
        return outcome + self._end(SWEEP, sweep_key.stage(context, key, values, seeds))

    def search(self) -> Outcome:
        """Search jointly through Optuna, as the experiment's section `search` says."""
        context = self._context  # all is decided anew, but for an optimizer that was compared
        context.use(d for d in self.run_dir.decisions() if d.stage == OPTIMIZER)
        outcome = self._optimizer_first()
        context.budget = Budget(context.experiment.search.budget * context.epochs)
        self._begin(SEARCH)
        return outcome + self._end(SEARCH, search.stage(context, context.experiment.seed))

    def train(self, *, policy: str | None = None, seeds: int = 1) -> Outcome:
        """Train with the decided values, once a seed, and read the test set."""
        context = self._context
        context.use(self.run_dir.decisions())
        if policy is not None and policy != context.experiment.policy.name:
            # Another policy's arguments mean nothing to this one.
            context.change(with_value(context.experiment, "policy", {"name": policy}))
        outcome = self._optimizer_first() + self._learning_rate_first()
        self._begin(TRAIN)
        return outcome + self._end(TRAIN, final.train(context, seeds))

    def hold_to(
        self,
        seconds: float,
        *,
        stages: Sequence[str] | None = None,
        started: float,
        after: float = 0.0,
    ) -> None:
        """Choose lengths with which `run` ends in a time, and hold it to that.

        Args:
            seconds: For all of the command.
            stages: Those that will run.
            started: When the command was started, by `time.monotonic`.
            after: Seconds that it still takes after `run`.

        Raises:
            InputError: Nothing fits; the line says what would.
        """
        self._limit = TimeLimit(
            self._context,
            self._names(stages),
            seconds=seconds,
            started=started,
            after=after,
            restart=self._restart,
        )

    def run(self, *, stages: Sequence[str] | None = None) -> Outcome:
        """Run the procedure, every stage from the decisions of those before it."""
        context, wanted = self._context, self._names(stages)
        if stages is not None:
            # Stages that are left out may have decided before.
            context.use(d for d in self.run_dir.decisions() if d.stage not in wanted)
        plan = context.plan(context.batch_size(quiet=True))
        if wanted != [FINAL]:
            self.progress.message(
                f"The search may take {plan.allowed:.4g} epochs, the final run takes "
                f"{context.epochs:g} for each seed."
            )
        examples = len(context.task.train)
        self.progress.planned({s.stage: s.epochs * examples for s in plan.stages(wanted)})
        outcome, whole = Outcome(), plan.allowed
        context.refines = REFINE in wanted
        for stage in wanted:
            if stage not in (OPTIMIZER, LR_RANGE):
                outcome += self._learning_rate_first()
            context.budget.allowed = plan.search if STAGES[stage].searches else whole
            if self._limit:
                self._limit.begin(stage)
            seeds = plan.final_seeds if stage == FINAL else plan.search_seeds
            outcome += self._stage(stage, None, seeds)
            if self._limit:
                self._limit.end()
        return outcome

    def plan(self, stages: Sequence[str] | None = None) -> list[PlannedStage]:
        """List what `run` will do, with a time estimate from a timed probe."""
        plan = self._context.plan(self._context.batch_size(quiet=True))
        context, names = self._context, self._names(stages)
        if context.task.loop is not None and context.task.seen["iteration_seconds"] is None:
            return plan.stages(names)
        return Estimate(context).stages(plan, names)

    def now(self) -> Trial:
        """Return a run of the final length with the values that hold now."""
        return self._context.whole(TRAIN, quiet=True)

    def check(self) -> dict[str, Any]:
        """Run one batch, or rehearse a loop of the user's own, and say what was found."""
        found = found_in(self._context)
        self._tell_notes()
        return found

    # How it is done

    def _names(self, stages: Sequence[str] | None) -> list[str]:
        """Return the stages that will run."""
        context = self._context
        listed = context.experiment.procedure.stages if stages is None else stages
        known, decided = None if context.is_open else context.optimizer, self.run_dir.decisions()
        names = chosen_stages(listed, decided, named=stages is not None, optimizer=known)
        fixed = () if context.task.loop is None else context.check().fixed
        return without_fixed(names, fixed, self.progress.message)

    def _alone(
        self, stage: str, *, values: Sequence[Value] | None = None, seeds: int | None = None
    ) -> Outcome:
        """Run a stage by itself: all of its candidates, and more seeds as far as the budget goes."""
        context = self._context
        plan = context.plan(context.batch_size(quiet=True))
        context.budget = Budget(math.inf if values else plan.allowed)
        context.asked = True
        outcome = self._stage(stage, values, seeds or plan.search_seeds)
        context.asked = False
        return outcome

    def _stage(self, stage: str, values: Sequence[Value] | None, seeds: int) -> Outcome:
        context = self._context
        self._begin(stage)
        before = context.budget.spent
        module = import_module(STAGES[stage].module)
        outcome: Outcome = module.stage(context, values, seeds)
        if STAGES[stage].searches:
            cost = context.budget.spent - before
            told = f"{outcome.decisions[0].reason}; the stage cost {cost:.3g} epochs"
            outcome.decisions[0] = replace(outcome.decisions[0], reason=told)
            context.searched += outcome.results
        return self._end(stage, outcome)

    def _optimizer_first(self) -> Outcome:
        """Take the usual optimizer where none is decided on: only the whole procedure compares."""
        if not self._context.is_open:
            return Outcome()
        self.progress.message(f"optimizer {optimizer.USUAL} (default)")
        return self._keep(OPTIMIZER, Outcome([optimizer.taken()]))

    def _learning_rate_first(self) -> Outcome:
        if self._context.inputs.known("lr"):
            return Outcome()
        if "lr" in self._context.check().fixed:
            raise InputError(
                "lr: the command has no {lr}; must have it, or train with an LR that hptune knows; add "
                "{lr}, or give --set hyper_parameters.lr=VALUE"
            )
        what = "the LR range test" if self._context.check().has_schedule else "its stage"
        self.progress.message(f"No LR is given anywhere, so {what} runs first.")
        return self._alone(LR_RANGE)

    def _begin(self, stage: str, title: str | None = None) -> None:
        if self._restart:
            # The optimizer's stage runs trials in the name of the LR's, which finds them new.
            names = {stage, LR_RANGE} if stage == OPTIMIZER else {stage}
            self.run_dir.forget(list(names - self._forgotten))
            self._forgotten |= names
        tell_of_changed_code(self.run_dir, self._context.task, self.progress.message)
        self._tell_notes()
        self.progress.stage_started(stage, title or stage)

    def _tell_notes(self) -> None:
        """Say once what the user should know of the data, and keep it with what the check has told."""
        if not self._noted:
            for note in (notes := self._context.task.notes):
                self.progress.message(f"warning: {note}")
            if found := [*notes, *self._context.check().notes]:
                self.run_dir.add_fact("notes", found)
        self._noted = True

    def _end(self, stage: str, outcome: Outcome) -> Outcome:
        self._keep(stage, outcome)
        self.progress.stage_finished(stage, outcome.results, outcome.decisions, outcome.evidence)
        return outcome

    def _keep(self, stage: str, outcome: Outcome) -> Outcome:
        self.run_dir.decide(outcome.decisions)
        self.run_dir.add_evidence(outcome.evidence)
        self._context.inputs.take_in(outcome.decisions)
        if stage == OPTIMIZER:
            self._context.take_key(outcome.decisions[0])
        place.write_tuned(self.run_dir, self._context.decided(self.run_dir.decisions()))
        return outcome
