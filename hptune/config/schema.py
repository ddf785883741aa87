"""The experiment as pydantic models, a class a YAML section, with a text for every key.

What pydantic cannot say in the user's words is an InputError, which passes through it as it is.
"""

from __future__ import annotations

import shlex
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from hptune.data.spec import DataSpec
from hptune.errors import InputError
from hptune.policies import schedule
from hptune.results.settings import OptimizerSpec, PolicySpec, TrainingSettings
from hptune.section import (
    Arguments,
    Count,
    Fraction,
    NotNegative,
    Positive,
    Rate,
    Real,
    Section,
    Seed,
)
from hptune.stages import choose, procedure

Momentum = Annotated[Real, Field(ge=0, le=1)]
Ends = tuple[Positive, Positive]


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
    freeze: Annotated[int | tuple[str, ...] | None, BeforeValidator(_parts)] = Field(
        None,
        description="a number of first blocks, -1 for all but the last; or names of parts, such as layer1.*",
    )
    unfreeze: Annotated[tuple[Fraction, ...], BeforeValidator(_fractions)] = Field(
        (), description="fractions of a run after which frozen blocks train, the last ones first"
    )

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


class Training(TrainingSettings, Length):
    """How every trial is trained, and how long the final run is."""

    def settings(self) -> TrainingSettings:
        """Return the record that trials carry."""
        return TrainingSettings(**self.model_dump(exclude={"epochs"}))


class HyperParameters(Section):
    """Values to start from. What a stage decides comes before them, a flag before both."""

    lr: Positive | None = Field(None, description="maximum of the policy, null tests for it")
    lr_min: NotNegative | None = Field(None, description="minimum of its cycle, null takes a tenth")
    momentum: Momentum | None = Field(None, description="maximum of its cycle; beta1 for Adam")
    momentum_min: Momentum | None = Field(None, description="minimum of its cycle")
    weight_decay: NotNegative | None = Field(None, description="null goes by the net's depth")
    batch_size: Count | None = Field(None, description="null goes by the size of the data")


class LrRange(Section):
    """The LR range test."""

    lr_low: Positive | None = Field(None, description="first LR, null goes by the optimizer")
    lr_high: Positive | None = Field(None, description="last LR, null goes by the optimizer")
    mode: Literal["auto", "linear", "exponential"] = Field(
        "auto", description="how LR rises; auto is exponential"
    )
    epochs: Positive | None = Field(None, description="length of the test, null chooses")
    seeds: Count = Field(1, description="repeats, read together")


class MomentumStage(Section):
    """The momentum stage."""

    values: tuple[Momentum, ...] = Field(
        (0.99, 0.97, 0.95, 0.9), min_length=1, description="candidates for the maximum"
    )
    minimum: Momentum = Field(0.85, description="of the cycle; it hardly matters")


class WeightDecayStage(Section):
    """The weight-decay stage."""

    values: tuple[NotNegative, ...] | None = Field(
        None, min_length=1, description="candidates, null goes by the net's depth and refines"
    )
    from_snapshot: bool = Field(
        False, description="branch the candidates from one run's plateau instead of its start"
    )


class BatchSizeStage(Section):
    """The batch-size stage, at near-constant time."""

    values: tuple[Count, ...] | None = Field(
        None, min_length=1, description="candidates, null takes half to four times the present one"
    )
    lr_scaling: Literal["sqrt", "linear"] = Field(
        "sqrt", description="how LR grows with the batch size"
    )


class FinalStage(Section):
    """The final run."""

    seeds: Count = Field(4, description="repeats, for mean and standard deviation")
    baseline: Literal["step", "multistep", "inv", "exponential", "cosine", "constant"] | None = (
        Field(None, description="policy to train in comparison, at its usual length")
    )
    baseline_length: Positive = Field(
        4.0, description="epochs of the baseline over those of the final run"
    )


class Search(Section):
    """The joint search of `hptune search`: its space and what it may cost."""

    sampler: Literal["random", "tpe", "grid"] = Field("tpe", description="how points are chosen")
    budget: Positive = Field(3.0, description="epochs of the search over those of the final run")
    prune: bool = Field(True, description="whether Hyperband stops trials early")
    lr: Ends | None = Field(None, description="lowest and highest LR, null goes by the optimizer")
    momentum: tuple[Momentum, Momentum] = Field(
        (0.8, 0.99), description="lowest and highest maximum of the cycle"
    )
    weight_decay: Ends = Field((1e-6, 1e-1), description="lowest and highest")
    batch_size: tuple[Count, ...] | None = Field(
        None, min_length=1, description="candidates, null takes half to four times the present one"
    )

    @model_validator(mode="after")
    def _rise(self) -> Self:
        for name in ("lr", "momentum", "weight_decay"):
            ends = getattr(self, name)
            if ends is not None and ends[0] >= ends[1]:
                raise InputError(
                    f"search.{name}: {list(ends)}; must rise from the lowest to the highest; swap them"
                )
        return self


class Procedure(Section):
    """The stages and what they may cost."""

    stages: tuple[str, ...] = Field(
        tuple(stage.name for stage in procedure()),
        min_length=1,
        description="which to run; they come in this order",
    )
    seeds: Count = Field(1, description="repeats of each search trial")
    rank_by: str = Field(
        "loss", description="what tells candidates apart on validation data: loss or a metric"
    )
    budget: Positive = Field(3.0, description="epochs of the search over those of the final run")
    trial_epochs: Positive | None = Field(
        None, description="length of the search's short runs, null chooses"
    )
    lr_range: LrRange = Field(LrRange(), description="the LR range test")
    momentum: MomentumStage = Field(MomentumStage(), description="the momentum stage")
    weight_decay: WeightDecayStage = Field(WeightDecayStage(), description="the weight-decay stage")
    batch_size: BatchSizeStage = Field(BatchSizeStage(), description="the batch-size stage")
    final: FinalStage = Field(FinalStage(), description="the final run")

    @field_validator("stages")
    @classmethod
    def _are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(stage.name for stage in choose(names, "procedure.stages"))


class Loop(Section):
    """A training loop of one's own, in the place of data, model and loss."""

    iterations_per_epoch: Count | None = Field(
        None, description="optimizer steps of an epoch at hyper_parameters.batch_size"
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
