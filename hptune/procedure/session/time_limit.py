"""`--time`: lengths that fit into it by measured speed, and a clock that holds the run to it.

What was chosen, and where the clock cut it, is kept in timings.json: the same command, started
again, decides the same.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from hptune.config.load import dump, with_value
from hptune.errors import InputError
from hptune.procedure.plan import DUEL, Plan
from hptune.procedure.session.context import Context
from hptune.procedure.session.duration import in_words
from hptune.procedure.session.estimate import Estimate
from hptune.procedure.session.fitted import MOST_SEARCH, Lengths, fitted
from hptune.stages import FINAL, REFINE

FILLED = 0.97  # of the time is planned for
ENDS_EARLY = 0.85  # of the time: a plan that takes less is told as one
LATE = 1.1  # of the time: by when the last seed must have ended
ROUNDING = 0.03  # of the time: what the last trial of a search may take more
KNOWN = 0.5  # of a final run: after so much training the pace of a run is known
PACE = (0.5, 5.0)  # of a run over the planned one, at least and at most


class TimeLimit:
    """Holds a run of the procedure to a time.

    Args:
        context: The experiment at work; its lengths become those that fit.
        stages: Those that run.
        seconds: For all of the command.
        started: When it was started, by `time.monotonic`.
        after: Seconds that it still takes when the procedure has ended.
        restart: Whether to forget what was chosen before.

    Raises:
        InputError: Nothing fits; the line says what would.
    """

    def __init__(
        self,
        context: Context,
        stages: Sequence[str],
        *,
        seconds: float,
        started: float,
        after: float = 0.0,
        restart: bool = False,
    ) -> None:
        self._context, self._run_dir = context, context.problem.run_dir
        self._started, self._after, self._seconds = started, after, seconds
        self._turn = 0  # of those that ask for seeds
        self._stage, self._from, self._expected = "", 0.0, 0.0
        procedure = context.experiment.procedure
        asked = Lengths(context.epochs, procedure.budget, procedure.final.seeds)
        self._key = f"time/{seconds:g}/{asked}/{','.join(stages)}/{context.task.fingerprint}"
        if context.experiment.training.sam:  # the same iterations in twice the time
            self._key += "/sam"
        kept = None if restart else self._run_dir.timing(self._key)
        # The seconds that the command took when it was started before.
        self._before: float = kept["used"] if kept else 0.0
        self._kept: dict[str, Any] = kept or self._chosen(asked, stages)
        self._lengths = Lengths(*(self._kept[name] for name in ("epochs", "budget", "seeds")))
        context.progress.message(self._kept["told"])
        self._apply()

    def _chosen(self, asked: Lengths, names: Sequence[str]) -> dict[str, Any]:
        """Measure, and return what fits, with the seconds that it is expected to take."""
        context, limit = self._context, self._seconds
        if context.task.loop is not None and context.task.seen["iteration_seconds"] is None:
            raise InputError(
                "--time: with a command of placeholders, whose speed nobody knows before it has run; "
                "must be foreseen; give --epochs and --budget instead"
            )
        context.progress.message("timing a few iterations, alone and several trials at once ...")
        estimate, plan = Estimate(context), context.plan(context.batch_size(quiet=True))

        def fitting(lengths: Lengths) -> Plan:
            epochs, budget, seeds = lengths.epochs, lengths.budget, lengths.seeds
            return replace(plan, epochs=epochs, budget=budget, final_seeds=seeds)

        def takes(lengths: Lengths) -> float:
            return estimate.total(fitting(lengths), names)

        whole = takes(asked)  # times what executors have to know, too
        start = self._now + self._after
        left = FILLED * limit - start
        lengths, needed = fitted(asked, per_epoch=plan.per_epoch, seconds=left, takes=takes)
        if lengths is None:
            shortest = in_words((start + needed) / FILLED * 1.05)
            raise InputError(
                f"--time: {in_words(limit)}; must be about {shortest} at least, of which start and "
                f"report take {in_words(start)}; give more time, a smaller model or data.subset"
            )
        plan = fitting(lengths)
        told = f"{lengths} fit into {in_words(limit)}"
        if start + needed < ENDS_EARLY * limit:
            told = f"{lengths} take about {in_words(start + needed)} of {in_words(limit)}"
        if whole > left:
            told = f"{asked} would take {in_words(start + whole)}; {told}"
        planned = [s for s in estimate.stages(plan, names) if s.epochs and s.seconds]
        return {
            **asdict(lengths),
            "told": told,
            "begun": self._now,
            "pace": {s.stage: (s.seconds or 0.0) / s.epochs for s in planned},
            "final": [estimate.final(plan, n) for n in range(asked.seeds + 1)],
            "stages": {},
        }

    def _apply(self) -> None:
        """Let the experiment have the lengths that fit."""
        context, experiment = self._context, self._context.experiment
        size = context.batch_size(quiet=True)  # whose speed was measured, whatever the epochs
        for key, value in (
            ("hyper_parameters.batch_size", size),
            ("training.epochs", self._lengths.epochs),
            ("procedure.budget", self._lengths.budget),
            ("procedure.final.seeds", self._lengths.seeds),
        ):
            experiment = with_value(experiment, key, value)
        context.change(experiment, same_task=True)
        context.use(())  # no decisions yet, but that batch size
        context.seeds_in_time, context.is_timed = self.seeds, True
        self._run_dir.take_experiment(dump(experiment))

    # The clock

    def begin(self, stage: str) -> None:
        """Give a stage its share of the budget, by the time that is left."""
        budget, stages = self._context.budget, self._kept["stages"]
        self._expected += self._pace * (budget.spent - self._from)
        self._stage, self._from = stage, budget.spent
        if stage not in stages:
            left = self._end_of(stage) - self._now
            allowed = budget.spent + max(left, 0.0) / (self._pace * self._slower or 1.0)
            allowed = min(allowed, self._most(stage))
            stages[stage] = {"allowed": allowed, "stopped": None, "ended": False}
            self._keep()
        budget.allowed, budget.in_time = stages[stage]["allowed"], self._in_time

    def end(self) -> None:
        """Take down that the stage has ended: a later run goes by what was kept of it."""
        entry = self._kept["stages"][self._stage]
        if not entry["ended"]:
            entry["ended"] = True
            self._keep()

    def seeds(self, wanted: int, done: int) -> int:
        """Return how many of the final runs to make, `done` of which are there already.

        Those that were given up are made where the run is ahead of its plan; of the `wanted` ones
        those that do not end too late.
        """
        kept = self._kept["stages"][self._stage].setdefault("seeds", [])
        turn, self._turn = self._turn, self._turn + 1
        if turn == len(kept):
            now, final = self._now + self._after, self._kept["final"]
            ends = {n: now + final[n - done] * self._slower for n in range(done, len(final))}
            in_time = [n for n, end in ends.items() if end <= self._seconds]
            soon = [n for n, end in ends.items() if end <= LATE * self._seconds and n <= wanted]
            kept.append(max([done, *in_time, *soon]))
            self._keep()
        return int(kept[turn])

    def _most(self, stage: str) -> float:
        """Return the epochs that the search may have taken when a stage ends, time aside."""
        spent = self._context.budget.spent
        plan = self._context.plan(self._context.batch_size(quiet=True))
        if stage == FINAL:
            return max(plan.allowed, spent + plan.allowed - plan.search)
        if stage == REFINE:  # takes what others have left, of the time too
            return max(plan.search, (MOST_SEARCH - DUEL) * plan.epochs)
        return plan.search

    def _end_of(self, stage: str) -> float:
        """Return when a stage must have ended, so that what comes after it ends in time."""
        final: list[float] = self._kept["final"]
        seeds = final[self._lengths.seeds] * self._slower
        if stage == FINAL:  # what is compared there goes before seeds do
            return LATE * self._seconds - self._after - seeds
        rival = final[1] * self._slower if self._lengths.budget >= 2 * DUEL else 0.0
        return self._seconds - self._after - seeds - rival

    def _in_time(self, epochs: float) -> bool:
        """Say whether a stage has the time for so many epochs; once it has not, it has ended."""
        entry, spent = self._kept["stages"][self._stage], self._context.budget.spent
        if entry["stopped"] is not None:
            return bool(spent < entry["stopped"])
        if entry["ended"]:
            return True
        ends = self._now + epochs * self._pace * self._slower
        if ends > self._end_of(self._stage) + ROUNDING * self._seconds:
            entry["stopped"] = spent
            self._context.progress.message("  the time for this stage is up")
        self._keep()
        return entry["stopped"] is None

    @property
    def _now(self) -> float:
        """Seconds since the command was started, with those of the runs that were broken off."""
        return self._before + time.monotonic() - self._started

    @property
    def _pace(self) -> float:
        """The planned seconds of an epoch in the stage that runs."""
        pace: dict[str, float] = self._kept["pace"]
        return pace.get(self._stage, max(pace.values(), default=0.0))

    @property
    def _slower(self) -> float:
        """How many times as long as planned the run has taken."""
        spent = self._context.budget.spent
        expected = self._expected + self._pace * (spent - self._from)
        if spent < KNOWN * self._lengths.epochs or not expected:
            return 1.0
        low, high = PACE
        taken: float = self._now - self._kept["begun"]
        return min(max(taken / expected, low), high)

    def _keep(self) -> None:
        self._run_dir.set_timing(self._key, {**self._kept, "used": self._now})
