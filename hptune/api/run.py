"""The functions, by the names of the shell's commands."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic
from typing import Annotated, Any, TypeVar, Unpack, cast

from pydantic import PlainValidator, SkipValidation, StrictStr

from hptune.api.given import given_task
from hptune.api.options import Options, check_key, session
from hptune.api.results import LrFind, Result, Sweep, Trained, Tuned
from hptune.api.task import Task
from hptune.api.words import public
from hptune.checked import CountNumber, plain
from hptune.errors import InputError
from hptune.explain import short
from hptune.own_loop.trial import Trial
from hptune.procedure.outcome import Outcome
from hptune.procedure.session.duration import seconds_of
from hptune.procedure.session.session import Session
from hptune.results.records import Scalar
from hptune.stages import swept

R = TypeVar("R", bound=Result)
TaskOrLoop = Annotated[Task | Callable[[], Task] | Callable[[Trial], Any] | str, SkipValidation]
"""What is tuned: a task, a function that makes one or its name, or a training loop of a trial."""


def _stages(given: Any) -> Any:
    if given is None or (
        isinstance(given, list | tuple) and all(isinstance(s, str) for s in given)
    ):
        return given
    raise ValueError(
        'must be a list of stages, or None for all; write ["lr-range", "momentum"], say'
    )


@public
def lr_find(
    task: TaskOrLoop, *, seeds: CountNumber | None = None, **options: Unpack[Options]
) -> LrFind:
    """Run an LR range test, confirm its candidate by short runs, and decide maximum and minimum LR.

    Args:
        task: What to train: an `hptune.Task`; a function that makes one, or its name,
            "package.module:function", which tuned.yaml then holds for the shell; or a function of an
            `hptune.Trial`, your own loop.
        seeds: Repeats of each trial.
        options: See `hptune.Options`.

    Raises:
        InputError: Something does not fit; the line says what to change.
    """
    if "lr" in options:
        raise InputError(f"lr: {options['lr']!r}; is what lr_find finds; leave it out")
    return _result(LrFind, task, options, lambda opened: opened.lr_find(seeds=seeds))


@public
def sweep(
    task: TaskOrLoop,
    parameter: StrictStr,
    values: Annotated[Iterable[Scalar] | None, SkipValidation] = None,
    *,
    seeds: CountNumber | None = None,
    **options: Unpack[Options],
) -> Sweep:
    """Compare paired short runs that differ in one parameter, and decide its value.

    Where no LR is given or decided, the LR range test runs first.

    Args:
        task: What to train: an `hptune.Task`; a function that makes one, or its name,
            "package.module:function", which tuned.yaml then holds for the shell; or a function of an
            `hptune.Trial`, your own loop.
        parameter: "momentum", "weight_decay", "batch_size", "lr", "dropout", "balance", or a key path of the
            YAML, such as "optimizer.args.eps", or "model.args.width" for an argument of
            `make_model`.
        values: Candidates; the named parameters have their own.
        seeds: Repeats of each candidate.
        options: See `hptune.Options`.

    Raises:
        InputError: Something does not fit; the line says what to change.
    """
    check_key(parameter)
    listed = None if values is None else _listed(values)
    stage = swept(parameter)
    short = {"dropout": "model.dropout"}
    decided = stage.parameter if stage else short.get(parameter, parameter)

    def command(opened: Session) -> Outcome:
        return opened.sweep(parameter, values=listed, seeds=seeds)

    return _result(Sweep, task, options, command, parameter=decided)


@public
def train(task: TaskOrLoop, *, seeds: CountNumber = 1, **options: Unpack[Options]) -> Trained:
    """Train with the values given or decided, and read the test set once at the end.

    Where no LR is given or decided, the LR range test runs first.

    Args:
        task: What to train: an `hptune.Task`; a function that makes one, or its name,
            "package.module:function", which tuned.yaml then holds for the shell; or a function of an
            `hptune.Trial`, your own loop.
        seeds: Repeats.
        options: See `hptune.Options`; `policy` is 1cycle by default.

    Raises:
        InputError: Something does not fit; the line says what to change.
        StageError: No seed completed.
    """
    return _result(Trained, task, options, lambda opened: opened.train(seeds=seeds))


@public
def tune(
    task: TaskOrLoop,
    *,
    stages: Annotated[Sequence[str] | None, PlainValidator(_stages)] = None,
    seeds: CountNumber = 4,
    time: Annotated[str | None, SkipValidation] = None,
    **options: Unpack[Options],
) -> Tuned:
    """Run the whole procedure: LR, momentum, weight decay, batch size, and the final 1cycle run.

    With `optimizer="auto"` that is decided first.

    Args:
        task: What to tune: an `hptune.Task`; a function that makes one, or its name,
            "package.module:function", which tuned.yaml then holds for the shell; or a function of an
            `hptune.Trial`, your own loop.
        stages: Some of "optimizer", "lr-range", "momentum", "weight-decay", "batch-size"; the final run is
            always made. None runs all.
        seeds: Repeats of the final run.
        time: In which to end, "90s", "30m" or "2h": the length of the final run, search and seeds
            are chosen from measured speed, and are not more than what is asked for otherwise,
            but for the search. None takes what it takes.
        options: See `hptune.Options`; values are to start from.

    Raises:
        InputError: Something does not fit; the line says what to change.
        StageError: A stage could not decide.
    """
    wanted = None if stages is None else [*(s for s in stages if s != "final"), "final"]
    # A user's own setting of the same key wins.
    settings = {"procedure.final.seeds": seeds, **options.get("settings", {})}
    started, seconds = monotonic(), None if time is None else seconds_of(time)
    if seconds is not None and "epochs" in options:  # the most, no longer what holds
        settings["training.epochs"] = options.pop("epochs")
    options["settings"] = settings

    def command(opened: Session) -> Outcome:
        if seconds is not None:
            opened.hold_to(seconds, stages=wanted, started=started)
        return opened.run(stages=wanted)

    return _result(Tuned, task, options, command, starting=True)


def _listed(values: Any) -> list[Any]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise InputError(f"values: {short(values)}; must be a list of values; put it in brackets")
    return [plain(value) for value in values]


def _result(
    kind: type[R],
    task: TaskOrLoop,
    options: Options,
    command: Callable[[Session], Outcome],
    *,
    starting: bool = False,
    **more: Any,
) -> R:
    """Return what a command finds. A temporary run directory goes with the result."""
    used = given_task(task, cast("dict[str, Any]", options))
    given = options.get("out")
    out = Path(mkdtemp(prefix="hptune-") if given is None else given)
    try:
        with session(used, options, out, starting=starting) as opened:
            outcome = command(opened)
            found = (outcome.decisions, outcome.results, outcome.evidence, opened.now())
        result = kind(used, out, *found, **more)
    except BaseException:
        if given is None:
            shutil.rmtree(out, ignore_errors=True)
        raise
    if given is None:
        weakref.finalize(result, shutil.rmtree, out, ignore_errors=True)
    return result
