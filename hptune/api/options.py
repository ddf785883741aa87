"""The keywords that all functions share, and the session that they open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypedDict

import torch
from pydantic import PlainValidator, StrictBool, StrictStr

from hptune.api.loop import LoopTask
from hptune.api.optimizer import as_section
from hptune.api.start import with_kept_start
from hptune.api.task import Task
from hptune.api.words import in_python_words
from hptune.checked import CountNumber, NotNegativeNumber, PositiveNumber, SeedNumber, plain
from hptune.config.load import name_from, with_value
from hptune.config.schema import MODEL_METHODS, Experiment, HyperParameters, Model
from hptune.console.notebook import Notebook, in_notebook
from hptune.console.terminal import Console
from hptune.data import GIVEN, DataSpec
from hptune.data.spec import DATA_METHODS
from hptune.errors import InputError
from hptune.procedure.session.session import Session
from hptune.training.device import ALL_CARDS, seeded
from hptune.training.interrupt import signals_handled

# Where in the YAML each keyword stands.
_KEYS = {
    **{name: name for name in ("optimizer", "policy", "seed")},
    **{name: f"training.{name}" for name in ("epochs", "precision", "devices_per_trial")},
    **{name: f"hyper_parameters.{name}" for name in HyperParameters.model_fields},
    "validation_examples": "loop.validation_examples",
}
_OF_THE_TASK = ("data", "loss", "metrics")
_OF_THE_EXAMPLES = tuple(f"data.{key}" for key in DATA_METHODS)
_OF_THE_MODEL = (
    *("model.args", "model.dropout", "model.freeze", "model.unfreeze"),
    *(f"model.{key}" for key in MODEL_METHODS),
)


def _name_or_section(given: Any) -> Any:
    if given is None or isinstance(given, str | Mapping):
        return given
    raise ValueError("must be a name, or a section as in the YAML; write it as text")


def _device(given: Any) -> Any:
    if isinstance(given, str | torch.device):
        return str(given)
    raise ValueError('must be auto, cpu, cuda, cuda:N or mps; write "cuda:0", say')


def _path(given: Any) -> Any:
    text = str(given) if isinstance(given, str | Path) else ""
    if given is None or (text.strip() and "\0" not in text):
        return given
    raise ValueError("must be the path of a folder, or None for a temporary one; give one of these")


def _jobs(given: Any) -> Any:
    number = plain(given)
    if given != "auto" and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
        raise ValueError('must be "auto" or a whole number of at least 1; correct it')
    return number


def _settings(given: Any) -> Any:
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise ValueError('must be a dict of key paths; write {"training.clip_norm": 1.0}, say')
    return given


class Options(TypedDict, total=False):
    """Keywords of every function, named as in the YAML.

    Attributes:
        optimizer: "auto" by default: nadamw, or sgd where the budget shows that it ends lower. Or
            "sgd" (Nesterov), "nadamw", any of torch.optim, any other class as
            "package.module:Class"; a class itself, also in functools.partial; or a section as in
            the YAML, {"name": "adamw", "args": {"eps": 1e-6}}.
        policy: A learning-rate policy, or a section; `hptune policies` lists them.
        epochs: Length of the final run.
        batch_size, lr, lr_min, momentum, momentum_min, weight_decay: Values to use; in `tune`,
            values to start from.
        iterations_per_epoch: Of a training loop of your own: its optimizer steps an epoch, at
            `batch_size`.
        validation_examples: Likewise: that its readings are over, where that is known.
        seed: Of weights, order and augmentation.
        precision: auto, fp32, bf16 or fp16.
        device: auto, cpu, cuda, cuda:N, mps, or cuda:all for every GPU.
        devices_per_trial: On how many of them, or processes on the CPU, each trial is trained.
        out: Run directory; functions that share one use each other's decisions, and what is
            done there is not done again. None takes a temporary one.
        restart: Whether trials that are there are run again.
        executor: How trials are run, as the shell's option of this name; "auto" by default.
        jobs: Trials at once, in processes of their own; "auto" takes what a timed probe finds
            fastest. 1 by default: whoever starts processes guards __main__.
        progress: Whether to tell of the run on stderr.
        settings: Any other key of the YAML, {"procedure.budget": 2, "training.clip_norm": 1.0}.
    """

    optimizer: Annotated[Any, PlainValidator(as_section)]
    policy: Annotated[Any, PlainValidator(_name_or_section)]
    epochs: PositiveNumber
    batch_size: CountNumber | None
    lr: PositiveNumber | None
    lr_min: NotNegativeNumber | None
    momentum: NotNegativeNumber | None
    momentum_min: NotNegativeNumber | None
    weight_decay: NotNegativeNumber | None
    iterations_per_epoch: CountNumber
    validation_examples: CountNumber
    seed: SeedNumber
    precision: Any
    device: Annotated[str, PlainValidator(_device)]
    devices_per_trial: CountNumber
    out: Annotated[str | Path | None, PlainValidator(_path)]
    restart: StrictBool
    executor: StrictStr
    jobs: Annotated[Any, PlainValidator(_jobs)]
    progress: StrictBool
    settings: Annotated[Mapping[str, Any], PlainValidator(_settings)]


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
    for name in ("iterations_per_epoch", "validation_examples"):
        if name in options and not isinstance(task, LoopTask):
            raise InputError(f"{name}: with an hptune.Task; follows from its data; leave it out")
    experiment = _experiment(task, options)
    flags = {"epochs": experiment.training.epochs} if "epochs" in options else {}
    if not starting:
        flags |= {k: v for k, v in experiment.hyper_parameters if k in options and v is not None}
    executor = options.get("executor") or experiment.execution.executor
    jobs = options.get("jobs", 1 if executor == "auto" else "auto")
    if options.get("device") == ALL_CARDS and "jobs" not in options:
        jobs = "auto"
    restart, silent = options.get("restart", False), not options.get("progress", True)
    progress = _Notebook(silent=silent) if in_notebook() else _Terminal(silent=silent)
    with _undisturbed(experiment.seed):
        started, keep_start = with_kept_start(task, out, restart, progress.message)
        opened = Session.open(
            experiment,
            out,
            device=options.get("device", "auto"),
            progress=progress,
            flags=flags,
            restart=restart,
            executor=executor,
            jobs=jobs if isinstance(jobs, int) else None,
            task=started,
        )
        with opened, signals_handled():
            keep_start()  # now that the directory is this process's
            yield opened


def check_key(key: str) -> None:
    """Refuse keys of the experiment that a task given in Python has not.

    Raises:
        InputError: It is about data, loss, metrics or the model's name.
    """
    section = key.split(".")[0]
    if key in _OF_THE_EXAMPLES:
        return
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
    if isinstance(task, LoopTask):
        values["function"] = task.function
        values["loop.iterations_per_epoch"] = task.iterations_per_epoch
        values["loop.batch_size"] = task.batch_size
    names = {}
    for name, value in options.items():
        if name in _KEYS:
            key = (
                f"{name}.name"
                if isinstance(value, str) and name in ("optimizer", "policy")
                else _KEYS[name]
            )
            values[key], names[key] = value, name
    for key, value in options.get("settings", {}).items():
        check_key(key)
        values[key] = plain(value)
    experiment = Experiment(
        name=name_from(task.model),
        task=getattr(task, "maker", None),
        data=DataSpec(name=GIVEN, args={**task.splits, "content": task.content}),
        model=Model(name=task.model),
    )
    for key, value in values.items():
        try:
            experiment = with_value(experiment, key, value)
        except InputError as error:
            raise InputError(str(error).replace(key, names.get(key, key), 1)) from None
    return experiment


class _Terminal(Console):
    def message(self, text: str) -> None:
        super().message(in_python_words(text))


class _Notebook(Notebook):
    def message(self, text: str) -> None:
        super().message(in_python_words(text))


@contextmanager
def _undisturbed(seed: int) -> Iterator[None]:
    """Give the caller's random states, precision of products and current GPU back after the block."""
    # The precision is changed on CUDA alone. torch refuses its older names beside its newer ones.
    kinds, card = [], None
    if torch.cuda.is_available():
        kinds = [torch.backends.cuda.matmul, torch.backends.cudnn.conv]  # type: ignore[attr-defined]
        card = torch.cuda.current_device()
    before = [kind.fp32_precision for kind in kinds]
    try:
        with seeded(seed, torch.device("cpu")):
            yield
    finally:
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision
        if card is not None:
            torch.cuda.set_device(card)
