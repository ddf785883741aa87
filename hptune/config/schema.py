"""The experiment as pydantic models, a class a YAML section, with a text for every key.

What pydantic cannot say in the user's words is an InputError, which passes through it as it is.
"""

from __future__ import annotations

import shlex
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from hptune.config.procedure import Momentum, Procedure, Search
from hptune.data.spec import DataSpec
from hptune.errors import InputError, one_of
from hptune.policies import CHOICES, schedule
from hptune.results.settings import OptimizerSpec, PolicySpec, TrainingSettings
from hptune.section import (
    Arguments,
    Count,
    Fraction,
    NotNegative,
    Positive,
    Rate,
    Section,
    Seed,
)


def _parts(value: Any) -> Any:
    """Return a single name as a list of one; refuse what is neither a number nor names."""
    listed = [value] if isinstance(value, str) else value
    if value is None or type(value) is int:
        return value
    if isinstance(listed, list | tuple) and all(isinstance(name, str) for name in listed):
        return tuple(listed)
    raise ValueError("must be a whole number of blocks, or names of parts")


def _fractions(value: Any) -> Any:
    """Return a single number as a list of one."""
    return (value,) if isinstance(value, int | float) else value


# Keys of `model` that say nothing of it where they are off: a model without them is what it was.
MODEL_METHODS = ("init", "init_gain", "ghost_batch")


class Model(Section):
    """Which model."""

    name: str = Field(
        "mlp",
        description="a bundled net, torchvision:NAME, timm:NAME or package.module:callable",
    )
    args: Arguments = Field(default_factory=dict, description="of the model")
    dropout: Rate | None = Field(
        None, description="rate of the model's dropout layers, null leaves them"
    )
    init: Literal["default", "zero", "constant", "normal", "xavier", "he", "orthogonal"] = Field(
        "default",
        description="rule for the initial weights of linear, convolutional, recurrent and attention "
        "layers, whose biases are then 0; default leaves all to the model",
    )
    init_gain: Positive | None = Field(
        None,
        description="of constant the value, of normal the standard deviation, of xavier, he and "
        "orthogonal a factor; null takes 0.1, 0.01 and 1",
    )
    ghost_batch: Annotated[Count, Field(ge=2)] | None = Field(
        None,
        description="examples of the parts of a batch that batch norms normalise over, each part by "
        "itself; null for the whole batch",
    )
    freeze: Annotated[int | tuple[str, ...] | None, BeforeValidator(_parts)] = Field(
        None,
        description="a number of first blocks, -1 for all but the last; or names of parts, such as layer1.*",
    )
    unfreeze: Annotated[tuple[Fraction, ...], BeforeValidator(_fractions)] = Field(
        (), description="fractions of a run after which frozen blocks train, the last ones first"
    )

    @model_validator(mode="after")
    def _has_a_rule_for_the_gain(self) -> Self:
        if self.init_gain is not None and self.init in ("default", "zero"):
            raise InputError(
                f"model.init_gain: {self.init_gain:g} with model.init {self.init}; goes with constant, "
                "normal, xavier, he and orthogonal; leave it out, or set model.init"
            )
        return self

    @property
    def methods(self) -> dict[str, Any]:
        """What is done to a model that is made, as far as it is on: values by key."""
        fields, values = type(self).model_fields, {key: getattr(self, key) for key in MODEL_METHODS}
        return {key: value for key, value in values.items() if value != fields[key].default}

    def identity(self) -> dict[str, Any]:
        """Return the values that tell a model from others; those of a method that is off do not."""
        off = set(MODEL_METHODS) - self.methods.keys()
        return {
            name: value for name, value in self.model_dump(mode="json").items() if name not in off
        }

    @model_validator(mode="after")
    def _unfreezes_what_is_frozen(self) -> Self:
        if self.unfreeze and self.freeze is None:
            raise InputError(
                f"model.unfreeze: {list(self.unfreeze)}; nothing is frozen; set model.freeze"
            )
        if list(self.unfreeze) != sorted(set(self.unfreeze)):
            raise InputError(
                f"model.unfreeze: {list(self.unfreeze)}; must rise from each to the next; sort them"
            )
        return self


def _computes(policy: PolicySpec) -> PolicySpec:
    """Try a policy on a short run, so that what is wrong with it is told before any trial."""
    one_of(CHOICES, policy.name, "policy")
    try:
        schedule(
            policy.name,
            100,
            lr=1.0,
            momentum_mode=policy.momentum,
            iterations_per_epoch=10,
            args=policy.args,
        )
    except (TypeError, ValueError, ArithmeticError) as error:
        raise InputError(
            f"policy.args: {policy.args}; policy {policy.name} cannot compute with them "
            f"({error}); correct the value"
        ) from None
    return policy


class Length(Section):
    """How long to train; a section of its own, so that `epochs` comes first in `training`."""

    epochs: Positive = Field(30, description="length of the final run")


class Devices(Section):
    """On what each trial is trained; no part of its settings, for its numbers hardly depend on it."""

    devices_per_trial: Count = Field(
        1, description="GPUs, or processes on a CPU, that each trial is trained on"
    )
    batch_norm: Literal["device", "sync"] = Field(
        "device",
        description="what batch norms normalise over with several: the examples on each device, or "
        "the whole batch",
    )


class Training(Devices, TrainingSettings, Length):
    """How every trial is trained, and how long the final run is."""

    def settings(self) -> TrainingSettings:
        """Return the record that trials carry."""
        return TrainingSettings(**self.model_dump(include=set(TrainingSettings.model_fields)))


class HyperParameters(Section):
    """Values to start from. What a stage decides comes before them, a flag before both."""

    lr: Positive | None = Field(None, description="maximum of the policy, null tests for it")
    lr_min: NotNegative | None = Field(None, description="minimum of its cycle, null takes a tenth")
    momentum: Momentum | None = Field(None, description="maximum of its cycle; beta1 for Adam")
    momentum_min: Momentum | None = Field(None, description="minimum of its cycle")
    weight_decay: NotNegative | None = Field(None, description="null goes by the net's depth")
    batch_size: Count | None = Field(
        None, description="null goes by the size of the data and the length of the run"
    )


class Loop(Section):
    """A training loop of one's own, in the place of data, model and loss."""

    iterations_per_epoch: Count | None = Field(
        None, description="optimizer steps of an epoch at loop.batch_size"
    )
    batch_size: Count | None = Field(
        None, description="total batch size, null takes hyper_parameters.batch_size, else 64"
    )
    validation_examples: Count | None = Field(
        None,
        description="that a reading is over, for the noise of a loss and how often it is read; null goes by "
        "the time that a reading takes",
    )
    args: Arguments = Field(default_factory=dict, description="its own hyper-parameters")
    metrics: dict[str, str] = Field(
        default_factory=dict,
        description="regular expressions of numbers that a command prints, by val_loss, val_NAME, test_NAME",
    )
    results: str | None = Field(
        None, description="file that a command writes its values to: JSON, JSON lines or csv"
    )
    timeout: Positive | None = Field(None, description="seconds that a trial of a command may take")


class Execution(Section):
    """How trials are run, and where; flags of the command line come first."""

    executor: str = Field("auto", description="as --executor: how trials are run")
    jobs: Count | None = Field(None, description="trials at once, null takes cores, GPUs or nodes")
    address: str | None = Field(
        None, description="of a Ray cluster: auto or HOST:PORT, null starts one of this machine"
    )
    cpus_per_trial: Count = Field(1, description="of a Ray cluster; a trial trains with as many")
    gpus_per_trial: NotNegative | None = Field(
        None, description="of a Ray cluster, also a part of one; null is one where CUDA trains"
    )
    candidates: Count | None = Field(
        None,
        description="that stages try at once where they could follow each other, null is 1, or the "
        "room that a Ray cluster has",
    )
    compile: Literal["auto"] | bool = Field(
        "auto",
        description="whether models are compiled by torch.compile; auto does so on a GPU, where a timed "
        "probe finds that the planned iterations repay it",
    )


class Experiment(Section):
    """A whole experiment."""

    name: str = Field("experiment", description="also of the run directory, runs/NAME")
    seed: Seed = Field(0, description="of weights, order and augmentation; the split has its own")
    data: DataSpec = Field(DataSpec(), description="which data")
    model: Model = Field(Model(), description="which model")
    loss: str = Field(
        "auto", description="auto, cross-entropy, mse, or package.module:callable of your own"
    )
    metrics: Literal["auto"] | tuple[str, ...] = Field(
        "auto", description="auto, or a list of accuracy and torchmetrics' names"
    )
    task: str | None = Field(
        None,
        description="package.module:function that makes an hptune.Task, in the place of data, model, "
        "loss and metrics",
    )
    command: tuple[str, ...] | None = Field(
        None, description="a training script of your own, as it is typed or as a list of its words"
    )
    function: str | None = Field(
        None, description="package.module:function of a trial, a training loop of your own"
    )
    loop: Loop = Field(Loop(), description="of the training loop of your own")
    optimizer: OptimizerSpec = Field(OptimizerSpec(), description="which optimizer")
    policy: Annotated[PolicySpec, AfterValidator(_computes)] = Field(
        PolicySpec(), description="LR and momentum over a run"
    )
    training: Training = Field(Training(), description="how every trial is trained")
    hyper_parameters: HyperParameters = Field(HyperParameters(), description="to start from")
    procedure: Procedure = Field(Procedure(), description="the stages and what they may cost")
    search: Search = Field(Search(), description="the joint search, beside the procedure")
    execution: Execution = Field(Execution(), description="how trials are run, and where")

    @model_validator(mode="after")
    def _ghosts_are_of_one_device(self) -> Self:
        if self.model.ghost_batch is not None and self.training.batch_norm == "sync":
            raise InputError(
                f"model.ghost_batch: {self.model.ghost_batch} with training.batch_norm sync; one "
                "normalises over less than a device has, the other over more; leave one of the two out"
            )
        return self

    @model_validator(mode="after")
    def _one_loop(self) -> Self:
        if self.command is not None and (self.function is not None or not self.command):
            raise InputError(
                f"command: {' '.join(self.command) or 'empty'!r}; must be one command, and no function "
                "beside it; correct it"
            )
        return self

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if not name.strip() or name in (".", "..") or any(c in name for c in "/\\\0"):
            raise ValueError("must be the name of a folder, without slashes")
        return name

    @field_validator("command", mode="before")
    @classmethod
    def _as_words(cls, command: Any) -> Any:
        if not isinstance(command, str):
            return command
        try:
            return shlex.split(command)
        except ValueError as error:
            raise ValueError(f"must be a command line ({error})") from None

    @field_validator("metrics", mode="before")
    @classmethod
    def _auto_or_names(cls, metrics: Any) -> Any:
        names = isinstance(metrics, list | tuple) and all(isinstance(m, str) for m in metrics)
        if not names and metrics != "auto":
            raise ValueError("must be auto or a list of names; write [accuracy, f1_score], say")
        return metrics
