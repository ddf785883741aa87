"""The balance of regularisation: what to lower when the LR goes up, each by as much as that adds.

A large LR regularises, as do weight decay, dropout, augmentation, a small batch and a short run. What
each adds is read from the gap between validation and training loss: how far it narrows when the LR
is raised, and how far it widens when one of the others is lowered by a step. Then the LR is raised
again with each of them lowered by so many steps that the two cancel out, and the losses tell which.

Source: Smith 2018, remarks 3 and 6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import inf
from statistics import fmean

from hptune.analysis.ranking import rank_survivors
from hptune.errors import InputError
from hptune.procedure.compare import concluded, decide
from hptune.procedure.lr_range import lrs_of
from hptune.procedure.outcome import Outcome
from hptune.procedure.session.context import Context
from hptune.results.records import Status, Trial, TrialResult, Value
from hptune.stages import BALANCE, SWEEP
from hptune.training.model import dropout_rate
from hptune.trials.budget import Budget
from hptune.trials.paired import Candidates

NOW = "as it is"
RAISED = 2.0  # times the present LR
STEPS = (0.5, 4.0)  # by which something is lowered, at least and at most
RULE = "{} of all; within the noise nothing is changed, or else what trains for the fewest epochs is taken"
_FIELDS = ("weight_decay", "batch_size")  # of a trial; the others are keys of the experiment
_LENGTH = "epochs"


@dataclass(frozen=True)
class Regulariser:
    """What regularises beside the LR.

    Attributes:
        name: As decisions.csv calls it, or the key of the experiment.
        now: Its value.
        lowered: Its value after some steps, so that it regularises less.
    """

    name: str
    now: float
    lowered: Callable[[float], Value]


@dataclass(frozen=True)
class _Candidate:
    """A trial to run, with the problem that it belongs to and what it changes."""

    label: str
    context: Context
    trial: Trial
    changes: Mapping[str, Value]

    def repeats(self, seeds: int) -> list[Trial]:
        """Return the trial with so many seeds."""
        return [self.trial.change(seed=self.trial.seed + k) for k in range(seeds)]


def regularisers(context: Context, base: Trial) -> list[Regulariser]:
    """Return what regularises a trial beside its LR, and can be lowered.

    Not label smoothing, which the losses are of that candidates are judged by.
    """
    experiment, examples = context.experiment, len(context.task.train)
    dropout = experiment.model.dropout
    if dropout is None:
        dropout = dropout_rate(context.task) or 0.0
    data = experiment.data

    def rate(name: str, now: float, a_step: float) -> Regulariser:
        return Regulariser(name, now, lambda steps: float(f"{now * a_step**-steps:.2g}"))

    def pixels(name: str, now: int) -> Regulariser:
        return Regulariser(name, now, lambda steps: round(now * 2**-steps))

    found = [
        rate("weight_decay", base.weight_decay, 10**0.5),
        rate("model.dropout", dropout, 2),
        pixels("data.crop", data.crop),
        pixels("data.cutout", data.cutout),
        Regulariser("data.flip", data.flip, lambda steps: False),
        # As many updates as before, so that their noise alone differs.
        Regulariser(
            "batch_size",
            base.batch_size,
            lambda steps: min(round(base.batch_size * 2**steps), examples),
        ),
        # An early stop regularises, too; the policy stretches with the run.
        Regulariser(
            _LENGTH, context.epochs, lambda steps: float(f"{context.epochs * 2 ** (steps / 2):.3g}")
        ),
    ]
    return [one for one in found if one.now and one.lowered(1) != one.now]


def stage(context: Context, values: Sequence[Value] | None, seeds: int) -> Outcome:
    """Measure what regularises one against the other, and say what to lower at a raised LR.

    Args:
        context: The values that hold now.
        values: The raised LR, one; None takes twice the present one.
        seeds: Repeats of each candidate.

    Raises:
        InputError: The loop is the user's own, or the LR is not above the present one.
    """
    if context.task.loop is not None:
        raise InputError(
            "sweep balance: a loop of your own; must be trained by hptune, which then knows what "
            "regularises; sweep one hyper-parameter after the other"
        )
    plan = context.plan(context.batch_size(quiet=True))
    # As many repeats as are asked for are paid for.
    context.budget = Budget(plan.allowed * seeds)
    base, by = context.short(SWEEP), context.criterion
    raised = float(f"{base.lr * RAISED:.3g}") if values is None else _raised(base, values)
    up, now = _candidate(context, base, raised), _candidate(context, base, base.lr)
    alone = {one: _candidate(context, base, base.lr, one) for one in regularisers(context, base)}
    others = _affordable(context, [now, up], alone, seeds)
    found = _run([now, up, *(alone[one] for one in others)], seeds)
    effects = Effects(found, up.label, {one.name: alone[one].label for one in others})
    together: list[_Candidate] = []
    if effects.lr is not None:
        together = [
            _candidate(context, base, raised, one, effects.steps(one.name)) for one in others
        ]
        found |= _run(together, seeds)
    ranking = rank_survivors(found, by)
    # What trains longer or on more examples has to win by more than the noise.
    shortest = min(ranking.ties, key=lambda label: found[label][0].epochs)
    chosen = NOW if NOW in ranking.ties else shortest
    changes = next(
        (own.changes for own in [up, *alone.values(), *together] if own.label == chosen), {}
    )
    best_raised = ""
    if at_raised := [label for label in ranking.order if label in {own.label for own in together}]:
        lowered, alone_at_raised = (
            by.shown(ranking.scores[label]) for label in (at_raised[0], up.label)
        )
        best_raised = (
            f"; at LR {raised:g} the best to lower is {at_raised[0].partition(', ')[2]}: {lowered} against "
            f"{alone_at_raised} with nothing lowered"
        )
    decision = decide(
        found,
        ranking,
        chosen,
        stage=SWEEP,
        parameter=BALANCE,
        value=chosen,
        rule=RULE.format(by),
        tied=f"{chosen} is taken",
        beside=f"; {effects.in_words(base.lr, raised, others)}{best_raised}",
    )
    # What was decided on each value, so that the next command goes on with it.
    whole = [
        replace(decision, parameter=name, value=value, reason=f"as {chosen} is best")
        for name, value in changes.items()
    ]
    names = ["lr", *_FIELDS, _LENGTH, *(one.name for one in others if "." in one.name)]
    return concluded(found, [decision, *whole], by, columns=names, chosen=chosen)


class Effects:
    """How far the gap between validation and training loss narrows with the LR, and widens without others.

    Args:
        found: What was run, by label.
        up: Label of the raised LR.
        lowered: By the name of what is a step lower, its label.

    Attributes:
        lr: By how much the raised LR narrows the gap; None where its runs did not end.
        of: By how much a step less of the others widens it, by name, of those that ended.
    """

    def __init__(self, found: Candidates, up: str, lowered: Mapping[str, str]) -> None:
        now = _gaps(found[NOW])
        self.lr = _mean_difference(now, _gaps(found[up]))
        effects = {
            name: _mean_difference(_gaps(found[label]), now)
            for name, label in lowered.items()
            if label in found
        }
        self.of = {name: effect for name, effect in effects.items() if effect is not None}

    def steps(self, name: str) -> float:
        """Return by how many steps to lower something so that it cancels out what the LR adds.

        One where there is nothing to cancel out, or no effect to do it with.
        """
        lr, own = self.lr or 0.0, self.of.get(name, 0.0)
        return min(max(lr / own, STEPS[0]), STEPS[1]) if lr > 0 and own > 0 else 1.0

    def in_words(self, lr: float, raised: float, others: Sequence[Regulariser]) -> str:
        """Return all effects as one sentence."""
        if self.lr is None:
            return f"at LR {raised:g} not every run came to its end"
        own = [
            f"{_called(one.name)} {_shown(one.now)} to {_shown(one.lowered(1.0))} {self.of[one.name]:+.3g}"
            for one in others
            if one.name in self.of
        ]
        return (
            f"LR {lr:g} to {raised:g} moves the gap of validation and training loss by {-self.lr:+.3g}"
            + (f", and a step less of the others by: {', '.join(own)}" if own else "")
        )


def _candidate(
    context: Context, base: Trial, lr: float, one: Regulariser | None = None, steps: float = 1.0
) -> _Candidate:
    """Return a trial at an LR, with one of the others lowered by some steps."""
    changes: dict[str, Value] = {k: v for k, v in lrs_of(base, lr).items() if v is not None}
    trial, label = base, [f"LR {lr:g}"]
    if lr == base.lr:
        changes, label = {}, []
    else:
        trial = base.change(**changes)
    if one is not None:
        value = one.lowered(steps)
        changes[one.name] = value
        label.append(f"{_called(one.name)} {_shown(value)}")
        if one.name in _FIELDS:
            trial = trial.change(**{one.name: value})
        elif one.name == _LENGTH:
            factor = float(str(value)) / context.epochs
            trial = trial.change(iterations=round(trial.iterations * factor))
        else:
            context = context.variant(one.name, value)
            evaluations = base.settings.evaluations
            own = context.base(
                SWEEP, base.iterations, batch_size=base.batch_size, lr=lr, quiet=True
            )
            trial = trial.change(
                task=own.task,
                settings=own.settings.change(evaluations=evaluations),
                extra={one.name: value},
            )
    return _Candidate(", ".join(label) or NOW, context, trial, changes)


def _affordable(
    context: Context,
    first: Sequence[_Candidate],
    alone: Mapping[Regulariser, _Candidate],
    seeds: int,
) -> list[Regulariser]:
    """Return those that the budget affords to lower twice: at the present LR, and at the raised one."""
    trials = [trial for own in first for trial in own.repeats(seeds)]
    others = []
    for one, own in alone.items():
        if context.runner.affords([*trials, *own.repeats(seeds), *own.repeats(seeds)]):
            trials += [*own.repeats(seeds), *own.repeats(seeds)]
            others.append(one)
    if left := [_called(one.name) for one in alone if one not in others]:
        context.progress.message(
            f"  left out, beyond the budget: {', '.join(left)}; raise procedure.budget"
        )
    return others


def _run(wanted: Sequence[_Candidate], seeds: int) -> Candidates:
    """Run candidates with the same seeds, those of one task together."""
    found: Candidates = {}
    for task in dict.fromkeys(own.trial.task for own in wanted):
        same = [own for own in wanted if own.trial.task == task]
        runner = same[0].context.runner
        results = iter(runner.run([trial for own in same for trial in own.repeats(seeds)]))
        found |= {own.label: list(islice(results, seeds)) for own in same}
    return {own.label: found[own.label] for own in wanted}


def _gaps(results: Sequence[TrialResult]) -> list[float | None]:
    """Return validation less training loss of each seed, None where it did not end."""
    return [
        None
        if r.status is not Status.COMPLETE or r.val_loss is None or r.train_loss is None
        else r.val_loss - r.train_loss
        for r in results
    ]


def _mean_difference(one: Sequence[float | None], other: Sequence[float | None]) -> float | None:
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    if len(pairs) < len(one):
        return None
    return fmean(a - b for a, b in pairs)


def _raised(base: Trial, values: Sequence[Value]) -> float:
    """Return the LR that the user names."""
    lr = values[0] if len(values) == 1 else None
    if not isinstance(lr, int | float) or isinstance(lr, bool) or not base.lr < lr < inf:
        raise InputError(
            f"--values: {', '.join(map(str, values))}; must be one LR above the present one, {base.lr:g}; "
            f"give {RAISED * base.lr:g}, or leave it out"
        )
    return float(lr)


def _called(name: str) -> str:
    return name.rpartition(".")[2].replace("_", " ")


def _shown(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
