"""The keywords that all functions share, and what they are turned into."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal, TypedDict

import torch

from hptune.api.start import with_kept_start
from hptune.api.task import Task
from hptune.config.load import with_value
from hptune.config.schema import Experiment, Model
from hptune.data import GIVEN, DataSpec
from hptune.errors import HptuneError, InputError, did_you_mean
from hptune.procedure.session.session import Session
from hptune.results.records import Scalar
from hptune.training.device import seeded
from hptune.trials.progress import Progress, Silent

_VALUES = ("lr", "lr_min", "momentum", "momentum_min", "weight_decay", "batch_size")
_OF_THE_TASK = ("data", "loss", "metrics")
_OF_THE_MODEL = ("model.args", "model.dropout")


class Options(TypedDict, total=False):
    """Keywords of every function, named as in the YAML.

    Attributes:
        optimizer: "sgd" (Nesterov), "adam", "adamw", any of torch.optim; or a section as in the
            YAML, {"name": "adamw", "args": {"betas": (0.9, 0.95)}}.
        policy: A learning-rate policy, or a section; `hptune policies` lists them.
        epochs: Length of the final run.
        batch_size, lr, lr_min, momentum, momentum_min, weight_decay: Values to use; in `tune`,
            values to start from.
        seed: Of weights, order and augmentation.
        precision: auto, fp32, bf16 or fp16.
        device: auto, cpu, cuda, cuda:N or mps.
        out: Run directory; functions that share one use each other's decisions, and what is
            done there is not done again. None takes a temporary one.
        restart: Whether trials that are there are run again.
        jobs: Trials at once, in processes of their own; "auto" takes what a timed probe finds
            fastest. 1 by default: whoever starts processes guards __main__.
        progress: Whether to tell of the run on stderr.
        settings: Any other key of the YAML, {"procedure.budget": 2, "training.clip_norm": 1.0}.
    """

    optimizer: str | Mapping[str, Any]
    policy: str | Mapping[str, Any]
    epochs: float
    batch_size: int
    lr: float
    lr_min: float
    momentum: float
    momentum_min: float
    weight_decay: float
    seed: int
    precision: str
    device: str
    out: str | Path | None
    restart: bool
    jobs: int | Literal["auto"]
    progress: bool
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Place:
    """A run directory.

    Attributes:
        path: Where it is.
        temporary: Whether it goes with what was found in it.
    """

    path: Path
    temporary: bool


@contextmanager
def session(
    task: Task, options: Options, *, starting: bool = False, **settings: Any
) -> Iterator[tuple[Session, Place]]:
    """Open a run directory for a task; the caller's random states and precision stay as they are.

    Args:
        task: What to tune.
        options: As the user gave them.
        starting: Whether values are to start from, rather than to use whatever was decided.
        settings: Keys of the experiment with "__" for the dots, which the function itself sets.
    """
    _check(task, options)
    experiment = _experiment(task, options, {k.replace("__", "."): v for k, v in settings.items()})
    flags = {name: options.get(name) for name in (*_VALUES, "epochs")}
    if starting:
        for name in _VALUES:
            if name in options:
                experiment = with_value(experiment, f"hyper_parameters.{name}", flags.pop(name))
    out = options.get("out")
    place = Place(Path(mkdtemp(prefix="hptune-")) if out is None else Path(out), out is None)
    progress = _progress(options.get("progress", True))
    restart = options.get("restart", False)
    with _in_python_words(), _undisturbed(experiment.seed), _removed_on_error(place):
        started, keep_start = with_kept_start(task, place.path, restart, progress.message)
        opened = Session.open(
            experiment,
            place.path,
            device=options.get("device", "auto"),
            progress=progress,
            flags=_scalars(flags),
            restart=restart,
            jobs=_jobs(options.get("jobs", 1)),
            task=started,
        )
        with opened:
            keep_start()  # now that the directory is this process's
            yield opened, place


def check_key(key: str) -> None:
    """Refuse keys of the experiment that a task given in Python has not.

    Raises:
        InputError: It is about data, loss, metrics or the model's name.
    """
    section = key.split(".")[0]
    if section in _OF_THE_TASK or (section == "model" and not key.startswith(_OF_THE_MODEL)):
        raise InputError(
            f"{key}: belongs to what hptune.Task was given; cannot be set by name; change it there"
        )


def _experiment(task: Task, options: Options, own: Mapping[str, Any]) -> Experiment:
    settings: dict[str, Any] = {}
    if task.optimizer is not None:
        settings["optimizer"] = dict(task.optimizer)
    for name in ("optimizer", "policy"):
        if name in options:
            value: Any = options[name]
            settings |= {f"{name}.name": value} if isinstance(value, str) else {name: dict(value)}
    keys = {"epochs": "training.epochs", "seed": "seed", "precision": "training.precision"}
    for name, key in keys.items():
        if name in options:
            settings[key] = options[name]  # type: ignore[literal-required]
    if task.batch_size is not None:
        settings["hyper_parameters.batch_size"] = min(task.batch_size, len(task.train))
    for key in options.get("settings", {}):
        check_key(key)
    experiment = Experiment(
        name=task.model,
        data=DataSpec(name=GIVEN, args={**task.splits, "content": task.content}),
        model=Model(name=task.model),
    )
    for key, value in {**settings, **own, **options.get("settings", {})}.items():
        experiment = with_value(experiment, key, value)
    return experiment


def _check(task: Any, options: Mapping[str, Any]) -> None:
    if not isinstance(task, Task):
        raise InputError(
            f"task: a {type(task).__name__}; must be an hptune.Task; make one from model and data"
        )
    known = list(Options.__annotations__)
    for name in options:
        if name not in known:
            raise InputError(
                f"{name}: no such keyword; must be of {', '.join(known)}; "
                + did_you_mean(name, known, "see hptune.Options")
            )


def _scalars(flags: Mapping[str, object]) -> dict[str, Scalar]:
    """Return the values given, each a number.

    Raises:
        InputError: One is none.
    """
    numbers: dict[str, Scalar] = {}
    for name, value in flags.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise InputError(f"{name}: {value!r}; must be a number of at least 0; correct it")
        numbers[name] = value
    return numbers


def _jobs(jobs: object) -> int | None:
    """Return the number of trials at once, None to choose it.

    Raises:
        InputError: It is no such number.
    """
    if jobs == "auto":
        return None
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise InputError(f"jobs: {jobs!r}; must be auto or a number of at least 1; correct it")
    return jobs


def _progress(wanted: bool) -> Progress:
    if not wanted:
        return Silent()
    from hptune.console.terminal import Console

    class InPythonWords(Console):
        def message(self, text: str) -> None:
            super().message(in_python_words(text))

    return InPythonWords()


@contextmanager
def _removed_on_error(place: Place) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if place.temporary:
            shutil.rmtree(place.path, ignore_errors=True)
        raise


@contextmanager
def _in_python_words() -> Iterator[None]:
    """Let errors of the block speak of keywords, not of the shell's options."""
    try:
        yield
    except HptuneError as error:
        raise type(error)(in_python_words(str(error))) from error.__cause__


def in_python_words(text: str) -> str:
    """Return a message of the shell with keywords in the place of options."""
    text = re.sub(r"--([a-z][a-z-]*)(?=:)", lambda m: m[1].replace("-", "_"), text)
    text = text.replace("--restart", "restart=True")
    return re.sub(r"--([a-z][a-z-]*) ?(?=cpu|cuda)|--([a-z][a-z-]*)", _keyword, text)


def _keyword(found: re.Match[str]) -> str:
    return (found[1] or found[2]).replace("-", "_") + "="


@contextmanager
def _undisturbed(seed: int) -> Iterator[None]:
    """Give the caller's random states and precision of products back after the block."""
    # The precision is changed on CUDA alone. torch refuses its older names beside its newer ones.
    kinds = []
    if torch.cuda.is_available():
        kinds = [torch.backends.cuda.matmul, torch.backends.cudnn.conv]  # type: ignore[attr-defined]
    before = [kind.fp32_precision for kind in kinds]
    try:
        with seeded(seed, torch.device("cpu")):
            yield
    finally:
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision
