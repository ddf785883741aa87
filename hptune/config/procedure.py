"""The sections of an experiment on the procedure: its stages, what they may cost, and the joint search."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from hptune.errors import InputError
from hptune.section import Count, NotNegative, Positive, Real, Section
from hptune.stages import choose, procedure

Momentum = Annotated[Real, Field(ge=0, le=1)]
Ends = tuple[Positive, Positive]


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
    """The batch-size stage, at near-constant time or with as many updates."""

    values: tuple[Count, ...] | None = Field(
        None, min_length=1, description="candidates, null takes half to four times the present one"
    )
    lr_scaling: Literal["sqrt", "linear"] = Field(
        "sqrt", description="how LR grows with the batch size"
    )
    train_longer: bool = Field(
        False,
        description="give every batch size as many updates, and so a larger one more epochs, in the "
        "place of about as much time",
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
