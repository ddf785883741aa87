"""Joint search through Optuna over the same trials: the baseline of the procedure, and a refinement.

Source: Bergstra and Bengio 2012 (random), Bergstra 2011 (TPE), Li 2018 (Hyperband).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.ranking import candidate
from hptune.errors import InputError, StageError
from hptune.procedure import defaults
from hptune.procedure.defaults import MOMENTUM_MIN, batch_sizes
from hptune.procedure.lr_range import lrs_of
from hptune.procedure.outcome import Outcome
from hptune.procedure.session.context import HYPER_PARAMETERS, Context
from hptune.procedure.session.fit import sizes_that_fit
from hptune.results.evidence import Comparison
from hptune.results.records import Decision, Status, Trial, TrialResult
from hptune.stages import SEARCH
from hptune.training.lengths import evaluation_points, iterations_per_epoch
from hptune.trials.run import Runner
from hptune.trials.space import Choice, Range, Space, grid

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

Sampler = Literal["random", "tpe", "grid"]
REDUCTION = 3  # Hyperband's: of three trials one goes on
FIRST_RUNG = 1 / 9  # of a run
# HyperbandPruner hashes the study's name: without a fixed one a seeded search does not repeat.
STUDY = "hptune"


def stage(context: Context, seed: int) -> Outcome:
    """Search LR, momentum, weight decay and batch size jointly with whole runs.

    Args:
        context: The problem; its budget is what the search may cost.
    """
    options, by, size = context.options(SEARCH), context.criterion, context.batch_size()
    low, high = options.lr or defaults.search_lr(adaptive=context.is_adaptive)
    sizes = options.batch_size or batch_sizes(size, len(context.task.train))
    space: Space = {
        "lr": Range(low, high, log=True),
        "momentum": Range(*options.momentum),
        "weight_decay": Range(options.weight_decay[0], options.weight_decay[1], log=True),
        "batch_size": Choice(sizes_that_fit(context, sizes)),
    }
    results = run_search(
        context.runner,
        context.whole(SEARCH, lr=high, quiet=True),
        space,
        sampler=options.sampler,
        seed=seed,
        prune=options.prune and options.sampler != "grid",
        by=by,
    )
    decisions = decide_search(results, by)
    return Outcome(decisions, results, [_record(results, decisions, by, columns=tuple(space))])


def _record(
    results: Sequence[TrialResult],
    decisions: Sequence[Decision],
    by: Criterion,
    *,
    columns: Sequence[str],
) -> Comparison:
    """Return what was tried, as a record; a trial stands for itself, and one run tells no noise."""
    best = min(results, key=lambda r: by.at_end(r) if r.status is Status.COMPLETE else math.inf)
    labels = {r.trial.id: r.trial.id.rpartition("-")[2] for r in results}
    end = by.at_end(best)
    return Comparison(
        stage=SEARCH,
        parameter=decisions[0].parameter,
        by=by.name,
        higher_is_better=by.higher_is_better,
        candidates=tuple(
            candidate(
                labels[r.trial.id], [r], by, columns, score=by.at_end(r), best=end, tied=r is best
            )
            for r in results
        ),
        best=labels[best.trial.id],
        chosen=labels[best.trial.id],
        rule=decisions[0].rule,
        noise=None,
        epochs=sum(r.epochs for r in results),
    )


def run_search(
    runner: Runner,
    base: Trial,
    space: Space,
    *,
    sampler: Sampler,
    seed: int,
    prune: bool,
    by: Criterion = LOSS,
) -> list[TrialResult]:
    """Try points of a space until the runner's budget is spent; the first one is always run.

    Where there is room for several side by side, those that go on and new ones run together from rung
    to rung, and are told of in the order in which they were asked for.

    Args:
        runner: Runs the trials; its budget ends the search.
        base: A whole run under the policy that will be used; its length in epochs is kept.
        prune: Whether Hyperband stops trials early.
    """
    room, at_once = _room(runner, base), runner.side_by_side
    study = _study(sampler, seed, prune, space, base, room, at_once)
    distributions = _distributions(space)
    left, points = sys.maxsize, list[_Point]()
    if sampler == "grid":
        left = min(room, math.prod(len(axis) for axis in _axes(space, room).values()))
    while True:
        going = [point for point in points if not point.ended]
        for point in going:  # until they end they are owed in full
            runner.budget.count(point.trial, runner.epochs(point.trial))
        while left and len(going) < at_once:
            asked = study.ask(distributions)
            trial = _trial(runner, base, asked.params)
            if points and not runner.affords([trial]):
                left = 0
                break
            left -= 1
            points.append(_Point(runner, study, asked, trial, by))
            going.append(points[-1])
            runner.budget.count(trial, runner.epochs(trial))
        if not going:
            return [point.result for point in points if point.result]
        results = runner.run([p.trial for p in going], [p.until for p in going])
        for point, result in zip(going, results, strict=True):
            point.take_in(result)


def decide_search(results: Sequence[TrialResult], by: Criterion = LOSS) -> list[Decision]:
    """Take the values of the best trial that came to its end.

    Raises:
        StageError: None did.
    """
    done = [r for r in results if r.status is Status.COMPLETE and math.isfinite(by.at_end(r))]
    if not done:
        raise StageError("search: no trial came to its end; search smaller LRs or longer")
    best = min(done, key=by.at_end)
    values = {name: getattr(best.trial, name) for name in HYPER_PARAMETERS}
    values["momentum_min"] = values["momentum_min"] or values["momentum"]
    stopped = sum(r.status is Status.PRUNED for r in results)
    reason = f"{by.shown(by.at_end(best))}; {stopped} of {len(results)} trials stopped early"
    return [
        Decision(
            stage=SEARCH,
            parameter=name,
            value=value,
            rule=f"{by} of {len(results)} trials",
            reason=reason,
            trials=tuple(r.trial.id for r in results),
            seconds=sum(r.seconds for r in results) if name == "lr" else 0.0,
        )
        for name, value in values.items()
        if value is not None
    ]


def _study(
    sampler: Sampler, seed: int, prune: bool, space: Space, base: Trial, room: int, at_once: int
) -> optuna.Study:
    try:
        import optuna
    except ImportError:
        raise InputError(
            'search: needs Optuna, which is not installed; run pip install "hptune[search]"'
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers: Mapping[str, Any] = {
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed, constant_liar=at_once > 1),
        "grid": lambda: _grid_sampler(_axes(space, room), seed),
    }
    evaluations = min(base.settings.evaluations, base.iterations)
    pruner = (
        optuna.pruners.HyperbandPruner(
            min_resource=max(1, round(FIRST_RUNG * evaluations)),
            max_resource=evaluations,
            reduction_factor=REDUCTION,
        )
        if prune
        else optuna.pruners.NopPruner()
    )
    return optuna.create_study(study_name=STUDY, sampler=samplers[sampler](), pruner=pruner)


def _grid_sampler(axes: Mapping[str, list[float]], seed: int) -> optuna.samplers.GridSampler:
    """Return Optuna's grid, in a random order, without its stop of the study after the last point.

    Only `study.optimize` may be stopped; where points are asked for the asker counts them.
    """
    from optuna.samplers import GridSampler

    class Grid(GridSampler):
        def after_trial(self, *_: Any, **__: Any) -> None:
            pass

    return Grid(axes, seed=seed)


def _axes(space: Space, size: int) -> dict[str, list[float]]:
    points = list(grid(space, size))
    return {name: sorted({point[name] for point in points}) for name in space}


def _room(runner: Runner, base: Trial) -> int:
    """Return how many whole runs the budget has room for."""
    per_epoch = iterations_per_epoch(len(runner.task.train), base.batch_size)
    allowed = runner.budget.allowed / (base.iterations / per_epoch)
    return max(1, math.floor(allowed)) if math.isfinite(allowed) else 10**9


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    return {
        name: CategoricalDistribution(list(dimension.values))
        if isinstance(dimension, Choice)
        else FloatDistribution(dimension.low, dimension.high, log=dimension.log)
        for name, dimension in space.items()
    }


def _trial(runner: Runner, base: Trial, values: Mapping[str, float]) -> Trial:
    """Return the trial of a point: as many epochs as the base, minima by the usual rules."""
    rounded = {name: float(f"{value:.4g}") for name, value in values.items()}
    size, momentum = round(rounded["batch_size"]), rounded["momentum"]
    examples = len(runner.task.train)
    epochs = base.iterations / iterations_per_epoch(examples, base.batch_size)
    return base.change(
        stage=SEARCH,
        batch_size=size,
        iterations=max(1, round(epochs * iterations_per_epoch(examples, size))),
        momentum=momentum,
        momentum_min=MOMENTUM_MIN if momentum > MOMENTUM_MIN else None,
        weight_decay=rounded["weight_decay"],
        **lrs_of(base, rounded["lr"]),
    )


class _Point:
    """A point that the study has asked for: its trial runs from rung to rung, as the pruner lets it.

    Attributes:
        trial: Of the point.
        result: As far as it is known.
        ended: Whether the study has been told of its end.
    """

    def __init__(
        self, runner: Runner, study: optuna.Study, asked: optuna.Trial, trial: Trial, by: Criterion
    ) -> None:
        self.trial, self.ended = trial, False
        self.result: TrialResult | None = None
        self._runner, self._study, self._asked, self._by = runner, study, asked, by
        self._due = evaluation_points(trial.iterations, trial.settings.evaluations)
        # A pause costs a snapshot: only where Hyperband may decide, and at the end.
        rungs = {round(len(self._due) * FIRST_RUNG * REDUCTION**k) for k in range(3)}
        self._rungs = [*sorted(rungs & set(range(1, len(self._due)))), len(self._due)]
        self._reported = 0  # readings

    @property
    def until(self) -> int | None:
        """Iterations to the next rung; None to the end."""
        return self._due[self._rungs[0] - 1] if len(self._rungs) > 1 else None

    def take_in(self, result: TrialResult) -> None:
        """Take in what the trial has come to, and go on to the next rung or end it."""
        from optuna.trial import TrialState

        self.result, last = result, len(self._rungs) == 1
        # One that was found broken passes the rungs before, so that others are measured by it again.
        broke = result.status not in (Status.COMPLETE, Status.PRUNED)
        if broke and (last or len(result.curve) <= self._due[self._rungs[0] - 1]):
            self._end(state=TrialState.FAIL)
            return
        step, costs = self._rungs.pop(0), self._by.known_evaluations(result.curve)
        for reading in range(self._reported, min(step, len(costs))):
            self._asked.report(float(costs[reading]), reading + 1)
        self._reported = step
        # One that was found complete goes from rung to rung too, and the pruner, which writes down who has
        # reached which, is asked of it: so a resumed run tells the same.
        if last:
            self._end(self._by.at_end(result))
        elif self._asked.should_prune() and result.status is Status.PRUNED:
            if self._runner.run_dir.result(self.trial) is None:
                self._runner.keep(result)
            self._end(state=TrialState.PRUNED)

    def _end(self, value: float | None = None, **told: Any) -> None:
        assert self.result is not None
        self.ended = True
        self._runner.budget.count(self.trial, self.result.epochs)
        self._study.tell(self._asked, value, **told)
