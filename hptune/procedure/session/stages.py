"""The stages over an experiment: what each takes from it, runs, and decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

from hptune.config.load import with_value
from hptune.errors import InputError
from hptune.procedure import defaults
from hptune.procedure.batch_size import decide_batch_size, default_values, run_batch_size
from hptune.procedure.lr_range import decide_lr, run_confirmation, run_lr_range
from hptune.procedure.momentum import decide_momentum, run_momentum
from hptune.procedure.search import decide_search, run_search
from hptune.procedure.session.fit import sizes_that_fit
from hptune.procedure.session.setup import Outcome, Setup
from hptune.procedure.sweep_key import decide_key
from hptune.procedure.weight_decay import (
    decide_weight_decay,
    first_grid,
    run_weight_decay,
    usual_weight_decay,
)
from hptune.results.records import Decision, Scalar, Trial, TrialResult
from hptune.stages import BATCH_SIZE, LR_RANGE, MOMENTUM, SEARCH, SWEEP, WEIGHT_DECAY
from hptune.training.lengths import iterations_per_epoch
from hptune.trials.budget import Budget
from hptune.trials.paired import Candidates, run_paired
from hptune.trials.run import Runner
from hptune.trials.space import Choice, Range, Space

NAMED = ("momentum", "weight_decay", "batch_size", "lr", "dropout")  # have their own candidates
DROPOUT_RATES = (0.0, 0.1, 0.2, 0.3, 0.5)
LR_FACTORS = (0.25, 0.5, 1, 2, 4)

StageRun = Callable[[Setup, Sequence[Scalar] | None, int], Outcome]
"""Runs a stage with its own candidates or those given, each over so many seeds."""


def lr_range(setup: Setup, values: Sequence[Scalar] | None, seeds: int) -> Outcome:
    """Test for the LR and confirm it."""
    options, by = setup.experiment.procedure.lr_range, setup.criterion
    low, high = defaults.lr_range(setup.experiment.optimizer.name)
    batch_size = setup.batch_size()
    runs = setup.lengths(batch_size)
    base = setup.base(LR_RANGE, runs.range_test, batch_size=batch_size, lr=1.0)
    test = run_lr_range(
        setup.runner,
        base,
        low=options.lr_low or low,
        high=options.lr_high or high,
        mode="exponential" if options.mode == "auto" else options.mode,
        seeds=max(options.seeds, seeds),
        examples=len(setup.task.validation),
    )
    short = base.change(iterations=runs.short)
    short = short.change(settings=setup.short_settings(short))
    lr = test.reading.lr_max
    candidates = run_confirmation(setup.runner, short, lr, seeds=seeds, by=by, test=test)
    decisions = decide_lr(test, candidates, lr, by=by)
    return Outcome(decisions, test.results + _results(candidates))


def momentum(setup: Setup, values: Sequence[Scalar] | None, seeds: int) -> Outcome:
    """Compare momenta; where another than the present one wins, confirm the LR with it."""
    options, by = setup.experiment.procedure.momentum, setup.criterion
    base = setup.short(MOMENTUM)
    candidates = run_momentum(
        setup.runner,
        base,
        values=_numbers(values) or list(options.values),
        minimum=options.minimum,
        seeds=seeds,
        by=by,
    )
    decisions = decide_momentum(candidates, by)
    value, minimum = (decision.value for decision in decisions[:2])
    chosen = _trial(
        candidates, lambda t: (t.momentum, t.momentum_min or t.momentum), value, minimum
    )
    outcome = Outcome(decisions, _results(candidates))
    return outcome if value == base.momentum else outcome + _joint_check(setup, chosen, seeds)


def weight_decay(setup: Setup, values: Sequence[Scalar] | None, seeds: int) -> Outcome:
    """Compare weight decays; where another than the present one wins, confirm the LR with it."""
    layers, optimizer = setup.checked.weight_layers, setup.experiment.optimizer.name
    given = _numbers(values) or list(setup.experiment.procedure.weight_decay.values or ())
    by, base = setup.criterion, setup.short(WEIGHT_DECAY)
    candidates = run_weight_decay(
        setup.runner,
        base,
        values=given or first_grid(layers, optimizer),
        seeds=seeds,
        refine=not given,
        by=by,
        from_snapshot=setup.experiment.procedure.weight_decay.from_snapshot,
    )
    usual = usual_weight_decay(layers, optimizer)
    decision = decide_weight_decay(candidates, usual=usual, by=by)
    chosen = _trial(candidates, lambda t: (t.weight_decay,), decision.value).change(snapshot=None)
    outcome = Outcome([decision], _results(candidates))
    if decision.value == base.weight_decay:
        return outcome
    return outcome + _joint_check(setup, chosen, seeds)


def batch_size(setup: Setup, values: Sequence[Scalar] | None, seeds: int) -> Outcome:
    """Compare batch sizes at near-constant time; confirm the LR of one that is new."""
    options, by = setup.experiment.procedure.batch_size, setup.criterion
    base = setup.short(BATCH_SIZE)
    examples = len(setup.task.train)
    sizes = [round(value) for value in _numbers(values) or options.values or ()]
    for size in sizes:
        iterations_per_epoch(examples, size)
    candidates = run_batch_size(
        setup.runner,
        base,
        values=sizes_that_fit(setup, sizes or default_values(base.batch_size, examples)),
        scaling=options.lr_scaling,
        seeds=seeds,
        by=by,
    )
    decisions = decide_batch_size(
        candidates, base=base, examples=examples, epochs=setup.epochs, by=by
    )
    chosen = _trial(candidates, lambda t: (t.batch_size,), decisions[0].value)
    outcome = Outcome(decisions, _results(candidates))
    if chosen.batch_size == base.batch_size:
        return outcome
    return outcome + _joint_check(setup, chosen, seeds)


def check_key(setup: Setup, key: str, values: Sequence[Scalar] | None) -> None:
    """Refuse, before any trial, a key that cannot be swept.

    Raises:
        InputError: No such key, no values for it, or one that it does not take.
    """
    if key in ("dropout", "lr"):
        return
    if "." not in key and not hasattr(setup.experiment, key):
        close = get_close_matches(key, NAMED, 1)
        raise InputError(
            f"sweep {key}: no such hyper-parameter; must be {', '.join(NAMED)}, or a key path such as "
            "optimizer.args.eps" + (f"; did you mean {close[0]!r}?" if close else "; choose one")
        )
    if values is None:
        raise InputError(f"sweep {key}: no values; a key path needs them; give --values A,B,C")
    for value in values:
        with_value(setup.experiment, key, value)


def sweep_key(setup: Setup, key: str, values: Sequence[Scalar] | None, seeds: int) -> Outcome:
    """Compare the values of any key of the experiment, of dropout or LR by these names."""
    path = {"dropout": "model.dropout", "lr": "hyper_parameters.lr"}.get(key, key)
    base = setup.short(SWEEP)
    if values is None and key == "dropout":
        values = DROPOUT_RATES
    elif values is None and key == "lr":
        values = [float(f"{base.lr * factor:.2g}") for factor in LR_FACTORS]
    assert values is not None, "checked before"
    candidates: Candidates = {}
    if key == "lr":  # one task for all, so they can run together
        changes = {str(value): _lr_change(base, value) for value in values}
        candidates = run_paired(setup.runner, base, changes, seeds=seeds)
    for value in values if key != "lr" else ():
        trial, runner = _variant(setup, base, key, path, value)
        candidates[str(value)] = runner.run(
            [trial.change(seed=trial.seed + k) for k in range(seeds)]
        )
    decision = decide_key("lr" if key == "lr" else path, values, candidates, setup.criterion)
    return Outcome([decision], _results(candidates))


def search(setup: Setup) -> Outcome:
    """Search LR, momentum, weight decay and batch size jointly with whole runs."""
    options, by = setup.experiment.search, setup.criterion
    size = setup.batch_size()
    low, high = options.lr or defaults.search_lr(setup.experiment.optimizer.name)
    sizes = options.batch_size or default_values(size, len(setup.task.train))
    space: Space = {
        "lr": Range(low, high, log=True),
        "momentum": Range(*options.momentum),
        "weight_decay": Range(*options.weight_decay, log=True),
        "batch_size": Choice(sizes_that_fit(setup, sizes)),
    }
    setup.budget = Budget(options.budget * setup.epochs)
    results = run_search(
        setup.runner,
        setup.base(SEARCH, setup.lengths(size).final, batch_size=size, lr=high, quiet=True),
        space,
        sampler=options.sampler,
        seed=setup.experiment.seed,
        prune=options.prune and options.sampler != "grid",
        by=by,
    )
    return Outcome(decide_search(results, by), results)


def _lr_change(base: Trial, value: Scalar) -> dict[str, float | None]:
    lr = float(value)  # type: ignore[arg-type]
    return {"lr": lr, "lr_min": None if base.lr_min is None else defaults.lr_min(lr)}


def _variant(setup: Setup, base: Trial, key: str, path: str, value: Scalar) -> tuple[Trial, Runner]:
    """Return the trial and the runner for one value of a swept key."""
    other = setup.variant(path, value)
    trial = other.base(SWEEP, base.iterations, batch_size=base.batch_size, quiet=True)
    return trial.change(extra={key: value}), other.runner


def _joint_check(setup: Setup, chosen: Trial, seeds: int) -> Outcome:
    """Confirm the LR once more: momentum, weight decay and batch size are coupled with it."""
    stage, by = chosen.stage, setup.criterion
    candidates = run_confirmation(setup.runner, chosen, chosen.lr, seeds=seeds, by=by, least=1)
    if len(candidates) == 1:
        return Outcome()
    decisions: list[Decision] = decide_lr(None, candidates, chosen.lr, stage=stage, by=by)
    return Outcome(decisions, _results(candidates))


def _trial(candidates: Candidates, of: Callable[[Trial], tuple[Any, ...]], *values: Any) -> Trial:
    """Return the first trial of the candidate that was decided for."""
    return next(rs[0].trial for rs in candidates.values() if of(rs[0].trial) == values)


def _numbers(values: Sequence[Scalar] | None) -> list[float]:
    numbers = []
    for value in values or ():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"--values: {value!r}; must be a number; give numbers with commas")
        numbers.append(float(value))
    return numbers


def _results(candidates: Candidates) -> list[TrialResult]:
    return [result for results in candidates.values() for result in results]
