"""A sweep over what moves the LR: each value at an LR of its own, found for all in the same way.

At one LR for all, the value wins for which that LR was found.

Source: Choi et al. 2019, "On Empirical Comparisons of Optimizers for Deep Learning".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.ranking import rank, rank_survivors
from hptune.procedure.compare import CONTENDERS, MOST_SEEDS, concluded, decide
from hptune.procedure.lr_range import (
    decide_lr,
    run_bracket,
    tested_and_bracketed,
)
from hptune.procedure.outcome import Outcome
from hptune.procedure.plan import TELLING
from hptune.procedure.range_test import RangeTest
from hptune.procedure.session.context import Context
from hptune.procedure.sweep_key import label
from hptune.results.records import Decision, Trial, TrialResult, Value
from hptune.stages import SWEEP
from hptune.trials.paired import Candidates

# Whose values change how far a step goes, or what it goes through: the update rule, the net, the
# scale of its inputs, the course of the LR, an average in its place, which gradient it is. Rates of
# dropout and the like leave the LR alone.
MOVES_LR = (
    "optimizer.name",
    "optimizer.args.*",
    "optimizer.rules",
    "optimizer.layer_decay",
    "model.name",
    "model.args.*",
    "model.init",
    "model.init_gain",
    "model.ghost_batch",
    "model.freeze",
    "model.unfreeze",
    "data.normalize",
    "data.scale",
    "policy.name",
    "training.average",
    "training.sam",
)
LEAVES_LR = ("*drop*", "*smooth*")
RULE = "{}, each value at its own LR; within the noise the best in equal time"
OPTIMIZER = "optimizer.name"  # LRs of two optimizers have nothing to do with each other
SAME_SPEED = 0.9  # of the fastest: as fast, as far as a busy machine can tell


def moves_lr(path: str) -> bool:
    """Say whether the values of a key of the experiment want LRs of their own."""
    return any(fnmatchcase(path, key) for key in MOVES_LR) and not any(
        fnmatchcase(path, key) for key in LEAVES_LR
    )


@dataclass(frozen=True)
class AtItsLr:
    """A value of the key at the LR that was found for it.

    Attributes:
        context: The problem with this value.
        trial: A short run at that LR.
        decisions: On its LR; none where no LR led to an end.
        found: All that was run for them.
        bracket: The short runs among these.
    """

    context: Context
    trial: Trial
    decisions: list[Decision]
    found: list[TrialResult]
    bracket: Candidates

    def run(self, seeds: Iterable[int], length: float = 1.0) -> list[TrialResult]:
        """Run it with some seeds, counted from its own, at a part of its length."""
        return self.context.runner.run(self.trials(seeds, length))

    def trials(self, seeds: Iterable[int], length: float = 1.0) -> list[Trial]:
        """Return the trials of some seeds, counted from its own, at a part of its length."""
        trial = self.trial.change(iterations=max(1, round(length * self.trial.iterations)))
        return [trial.change(seed=trial.seed + k) for k in seeds]


def stage(context: Context, path: str, values: Sequence[Value], seeds: int) -> Outcome:
    """Find each value's LR, and compare the values by paired runs, each at its own.

    Args:
        path: A key of the experiment that moves the LR.
        values: Its candidates.
        seeds: Repeats; two at least, and more where the best tie.
    """
    by = context.criterion
    iterations = context.plan(context.batch_size()).short
    found = {label(value): find_lr(context, path, value, iterations) for value in values}
    candidates = compared_at_their_lrs(found, max(seeds, TELLING), by)
    speeds = relative_speeds(found)
    shorter = in_equal_time(found, candidates, speeds)
    decision = decide_value(path, values, candidates, shorter, speeds, by)
    chosen = found[label(decision.value)]
    goes = f"; goes with {path} {label(decision.value)}"
    of_lr = [replace(d, reason=d.reason + goes) for d in chosen.decisions]
    outcome = concluded(
        candidates, [decision], by, columns=(path, "lr"), chosen=label(decision.value)
    ) + concluded(chosen.bracket, of_lr, by, columns=("lr",))
    ran = [r for one in found.values() for r in one.found]
    ran += [r for rs in (*candidates.values(), *shorter.values()) for r in rs]
    return replace(outcome, results=list({r.trial.id: r for r in ran}.values()))


def compared_at_their_lrs(
    found: Mapping[str, AtItsLr], seeds: int, by: Criterion = LOSS
) -> Candidates:
    """Run all values with some seeds, and those that tie with more until one wins.

    More than `seeds` only as far as the budget goes.
    """
    candidates = {label: one.run(range(seeds)) for label, one in found.items()}
    for seed in range(seeds, MOST_SEEDS):
        tied = rank(candidates, by).ties[:CONTENDERS]
        more = [trial for k in tied for trial in found[k].trials([seed])]
        if len(tied) > 1 and found[tied[0]].context.runner.affords(more):
            candidates |= {k: [*candidates[k], *found[k].run([seed])] for k in tied}
    return candidates


def find_lr(context: Context, path: str, value: Value, iterations: int) -> AtItsLr:
    """Bracket the LR of a value by short runs, from a range test where the optimizer is another."""
    other = context.variant(path, value)
    other.progress.message(f"{path} {label(value)}: its LR")
    if path == OPTIMIZER:
        test, bracket = tested_and_bracketed(other, 1, stage=SWEEP, extra={path: value}, quiet=True)
        return at_its_lr(other, test, bracket, stage=SWEEP, by=other.criterion)
    runs, size = other.paired(1), other.batch_size(quiet=True)
    short = other.shortened(other.base(SWEEP, iterations, batch_size=size, quiet=True))
    short = short.change(iterations=iterations, extra={path: value})
    bracket = run_bracket(runs, short, short.lr)
    return at_its_lr(other, None, bracket, stage=SWEEP, by=runs.by)


def at_its_lr(
    context: Context, test: RangeTest | None, bracket: Candidates, *, stage: str, by: Criterion
) -> AtItsLr:
    """Return a value at the LR that its bracket shows.

    Args:
        context: The problem with this value.
        test: Which the bracket began at, if at one.
        stage: That compares it with others.
    """
    results = [r for rs in bracket.values() for r in rs]
    found = [*(test.results if test else []), *results]
    decisions, trial = list[Decision](), results[0].trial
    if not rank(bracket, by).failed:  # else it is compared all the same, and comes last
        decisions = decide_lr(test, bracket, stage=stage, by=by)
        trial = next(r.trial for r in results if r.trial.lr == decisions[0].value)
    return AtItsLr(context, trial.change(stage=stage), decisions, found, bracket)


def relative_speeds(found: Mapping[str, AtItsLr]) -> dict[str, float]:
    """Return the training speeds of the values over that of the fastest; 1 where a value has none."""
    speeds = {k: one.context.runner.examples_per_second(one.trial) for k, one in found.items()}
    return {k: speed / max(speeds.values()) if speed else 1.0 for k, speed in speeds.items()}


def in_equal_time(
    found: Mapping[str, AtItsLr], candidates: Candidates, speeds: Mapping[str, float]
) -> Candidates:
    """Run the slower values for the time that the fastest takes, with the seeds that they had."""
    return {
        k: found[k].run(range(len(candidates[k])), speed)
        for k, speed in speeds.items()
        if speed < SAME_SPEED
    }


def decide_value(
    path: str,
    values: Sequence[Value],
    candidates: Candidates,
    shorter: Candidates,
    speeds: Mapping[str, float],
    by: Criterion = LOSS,
) -> Decision:
    """Choose a value from paired runs, each at its own LR; where they tie, by equal time.

    Args:
        path: The swept key.
        values: As listed; each is a candidate by its label.
        candidates: All for the same number of iterations.
        shorter: The slower ones for the time of the fastest.
        speeds: Over that of the fastest.
    """
    ranking, in_time = rank_survivors(candidates, by), rank(candidates | shorter, by)
    chosen = next(label for label in in_time.order if label in ranking.ties)
    lrs = ", ".join(f"{label} {rs[0].trial.lr:g}" for label, rs in candidates.items())
    told = "all are equally fast, so by time it is the same"
    if shorter:
        shown = ", ".join(f"{label} {speed:.2g}" for label, speed in speeds.items())
        tied = f", tied with {', '.join(in_time.ties[1:])}" if len(in_time.ties) > 1 else ""
        told = f"in equal time (speed {shown}) {in_time.best} is best{tied}"
    return decide(
        candidates,
        ranking,
        chosen,
        stage=SWEEP,
        parameter=path,
        value=next(value for value in values if label(value) == chosen),
        rule=RULE.format(by),
        tied=f"{chosen}, the best of them in equal time, is taken",
        beside=f"; each at its own LR ({lrs}); {told}",
    )
