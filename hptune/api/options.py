"""The keywords that all functions share, and the session that they open."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypedDict

import torch

from hptune.api.loop import LoopTask
from hptune.api.start import with_kept_start
from hptune.api.task import Task
from hptune.config.load import with_value
from hptune.config.schema import Experiment, HyperParameters, Model
from hptune.console.terminal import Console
from hptune.data import GIVEN, DataSpec
from hptune.errors import HptuneError, InputError, did_you_mean
from hptune.procedure.session.session import Session
from hptune.training.device import seeded

# Where in the YAML each keyword stands.
_KEYS = {
    **{name: name for name in ("optimizer", "policy", "seed")},
    **{name: f"training.{name}" for name in ("epochs", "precision")},
    **{name: f"hyper_parameters.{name}" for name in HyperParameters.model_fields},
}
_OF_THE_TASK = ("data", "loss", "metrics")
_OF_THE_MODEL = ("model.args", "model.dropout", "model.freeze", "model.unfreeze")


class Options(TypedDict, total=False):
    """Keywords of every function, named as in the YAML.

    Attributes:
        optimizer: "sgd" (Nesterov), "nadamw", any of torch.optim, any other class as
            "package.module:Class", or "auto", which compares sgd and nadamw; or a section as in the
            YAML, {"name": "adamw", "args": {"eps": 1e-6}}.
        policy: A learning-rate policy, or a section; `hptune policies` lists them.
        epochs: Length of the final run.
        batch_size, lr, lr_min, momentum, momentum_min, weight_decay: Values to use; in `tune`,
            values to start from.
        iterations_per_epoch: Of a training loop of your own: its optimizer steps an epoch, at
            `batch_size`.
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
    iterations_per_epoch: int
    seed: int
    precision: str
    device: str
    out: str | Path | None
    restart: bool
    jobs: int | Literal["auto"]
    progress: bool
    settings: Mapping[str, Any]


@contextmanager
def session(
    task: Task | LoopTask, options: Options, out: Path, *, starting: bool = False
) -> Iterator[Session]:
    """Open a run directory for a task; the caller's random states and precision stay as they are.

    Args:
        task: What to tune.
        options: As the user gave them.
        out: The run directory.
        starting: Whether values are to start from, rather than to use whatever was decided.
    """
    _check(options)
    experiment = _experiment(task, options)
    flags = {"epochs": experiment.training.epochs} if "epochs" in options else {}
    if not starting:
        flags |= {k: v for k, v in experiment.hyper_parameters if k in options and v is not None}
    restart, jobs = options.get("restart", False), options.get("jobs", 1)
    progress = _Console(silent=not options.get("progress", True))
    try:
        with _undisturbed(experiment.seed):
            started, keep_start = with_kept_start(task, out, restart, progress.message)
            opened = Session.open(
                experiment,
                out,
                device=options.get("device", "auto"),
                progress=progress,
                flags=flags,
                restart=restart,
                jobs=None if jobs == "auto" else jobs,
                task=started,
            )
            with opened:
                keep_start()  # now that the directory is this process's
                yield opened
    except HptuneError as error:
        raise type(error)(_in_python_words(str(error))) from error.__cause__


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


def _experiment(task: Task | LoopTask, options: Options) -> Experiment:
    values: dict[str, Any] = {}
    if task.optimizer is not None:
        values["optimizer"] = dict(task.optimizer)
    if task.batch_size is not None:
        values["hyper_parameters.batch_size"] = min(task.batch_size, len(task.train))
    for name, value in options.items():
        if name in ("optimizer", "policy") and isinstance(value, str):
            values[f"{name}.name"] = value
        elif name in _KEYS:
            values[_KEYS[name]] = value
    for key in options.get("settings", {}):
        check_key(key)
    experiment = Experiment(
        name=task.model,
        data=DataSpec(name=GIVEN, args={**task.splits, "content": task.content}),
        model=Model(name=task.model),
    )
    for key, value in {**values, **options.get("settings", {})}.items():
        experiment = with_value(experiment, key, value)
    return experiment


def _check(options: Mapping[str, Any]) -> None:
    if "iterations_per_epoch" in options:
        raise InputError(
            "iterations_per_epoch: with an hptune.Task; follows from its data; leave it out"
        )
    known = list(Options.__annotations__)
    for name in options:
        if name not in known:
            raise InputError(
                f"{name}: no such keyword; must be of {', '.join(known)}; "
                + did_you_mean(name, known, "see hptune.Options")
            )
    jobs = options.get("jobs", 1)
    if jobs != "auto" and (isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1):
        raise InputError(f"jobs: {jobs!r}; must be auto or a number of at least 1; correct it")


class _Console(Console):
    def message(self, text: str) -> None:
        super().message(_in_python_words(text))


def _in_python_words(text: str) -> str:
    """Return a message of the shell with keywords in the place of options."""
    text = text.replace("--restart", "restart=True")
    return re.sub(r"--([a-z][a-z-]*)(:| ?)", _keyword, text)


def _keyword(found: re.Match[str]) -> str:
    return found[1].replace("-", "_") + (":" if found[2] == ":" else "=")


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
