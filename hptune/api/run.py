"""The functions, by the names of the shell's commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from hptune.api.options import Options, check_key, session
from hptune.api.results import LrFind, Sweep, Trained, Tuned
from hptune.api.task import Task
from hptune.errors import InputError
from hptune.results.records import Scalar

_PARAMETER = {
    "wd": "weight_decay",
    "weight-decay": "weight_decay",
    "batch-size": "batch_size",
    "dropout": "model.dropout",
}


def lr_find(task: Task, *, seeds: int | None = None, **options: Unpack[Options]) -> LrFind:
    """Run an LR range test, confirm its candidate by short runs, and decide maximum and minimum LR.

    Args:
        task: What to train.
        seeds: Repeats of each trial.
        options: See `hptune.Options`.

    Raises:
        InputError: Something does not fit; the line says what to change.
    """
    if "lr" in options:
        raise InputError(f"lr: {options['lr']!r}; is what lr_find finds; leave it out")
    with session(task, options) as (opened, place):
        outcome = opened.lr_find(seeds=seeds)
        return LrFind.of(task, place, outcome, opened.now())


def sweep(
    task: Task,
    parameter: str,
    values: Sequence[Scalar] | None = None,
    *,
    seeds: int | None = None,
    **options: Unpack[Options],
) -> Sweep:
    """Compare paired short runs that differ in one parameter, and decide its value.

    Where no LR is given or decided, the LR range test runs first.

    Args:
        task: What to train.
        parameter: "momentum", "weight_decay", "batch_size", "lr", "dropout", or a key path of the
            YAML, such as "optimizer.args.eps", or "model.args.width" for an argument of
            `make_model`.
        values: Candidates; the named parameters have their own.
        seeds: Repeats of each candidate.
        options: See `hptune.Options`.

    Raises:
        InputError: Something does not fit; the line says what to change.
    """
    path = _PARAMETER.get(parameter, parameter)
    if path != "lr":
        check_key(path)
    with session(task, options) as (opened, place):
        outcome = opened.sweep(parameter, values=values, seeds=seeds)
        return Sweep.of(task, place, outcome, opened.now(), parameter=path)


def train(task: Task, *, seeds: int = 1, **options: Unpack[Options]) -> Trained:
    """Train with the values given or decided, and read the test set once at the end.

    Where no LR is given or decided, the LR range test runs first.

    Args:
        task: What to train.
        seeds: Repeats.
        options: See `hptune.Options`; `policy` is 1cycle by default.

    Raises:
        InputError: Something does not fit; the line says what to change.
        StageError: No seed completed.
    """
    with session(task, options) as (opened, place):
        outcome = opened.train(seeds=seeds)
        return Trained.of(task, place, outcome, opened.now())


def tune(
    task: Task,
    *,
    stages: Sequence[str] | None = None,
    seeds: int = 4,
    **options: Unpack[Options],
) -> Tuned:
    """Run the whole procedure: LR, momentum, weight decay, batch size, and the final 1cycle run.

    Args:
        task: What to tune.
        stages: Some of "lr-range", "momentum", "weight-decay", "batch-size"; the final run is
            always made. None runs all.
        seeds: Repeats of the final run.
        options: See `hptune.Options`; values are to start from.

    Raises:
        InputError: Something does not fit; the line says what to change.
        StageError: A stage could not decide.
    """
    wanted = None if stages is None else [*(s for s in stages if s != "final"), "final"]
    own = {"procedure__final__seeds": seeds}
    with session(task, options, starting=True, **own) as (opened, place):
        outcome = opened.run(stages=wanted)
        return Tuned.of(task, place, outcome, opened.now())
