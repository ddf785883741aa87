"""The sections of an experiment that are part of each of its trials."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from hptune.errors import InputError
from hptune.section import Arguments, Count, NotNegative, Positive, Rate, Section


class ParameterRule(Section):
    """Multipliers for the parameters whose dotted name matches; the first rule that matches applies."""

    match: str = Field(description="shell-style pattern of parameter names, such as *.bias")
    lr: NotNegative = Field(1.0, description="times LR; 0 freezes")
    weight_decay: NotNegative = Field(1.0, description="times weight decay")


AUTO = "auto"  # an optimizer that its stage decides on


def _lower(name: str) -> str:
    return name if ":" in name else name.lower()


class OptimizerSpec(Section):
    """Which optimizer; LR, momentum and weight decay are hyper-parameters."""

    name: Annotated[str, AfterValidator(_lower)] = Field(
        AUTO,
        description="auto: nadamw, or sgd where the budget is enough to show that it ends lower; else sgd "
        "(Nesterov), nadamw, any of torch.optim or package.module:Class of your own",
    )
    args: Arguments = Field(default_factory=dict, description="of the optimizer")
    decay_biases_and_norms: bool = Field(
        True, description="whether weight decay holds for biases and normalisation layers too"
    )
    rules: tuple[ParameterRule, ...] = Field((), description="multipliers for parameters by name")
    layer_decay: Annotated[Positive, Field(le=1)] = Field(
        1.0, description="times LR of a block for each block between it and the head, 1 for none"
    )

    @model_validator(mode="after")
    def _args_are_of_one(self) -> Self:
        if self.args and self.name == AUTO:
            raise InputError(
                f"optimizer.args: {self.args} with optimizer.name {AUTO}, the default; belong to one "
                "optimizer; leave them out, or name the optimizer"
            )
        return self


class PolicySpec(Section):
    """Learning rate and momentum over a run; `hptune policies` lists them."""

    name: str = Field("1cycle", description="one that `hptune policies` lists")
    momentum: str = Field(
        "auto",
        description="auto (cyclical where it has a minimum), cyclical, increasing or constant",
    )
    args: Arguments = Field(default_factory=dict, description="of the policy")


class TrainingSettings(Section):
    """How a trial is trained, apart from the hyper-parameters under study."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="auto takes bf16 where that is clearly faster, on a CPU by a timed probe; "
        "fp32 on CUDA computes matrix products and convolutions in TF32",
    )
    label_smoothing: Rate = Field(0.0, description="share of the target spread over all classes")
    clip_norm: Positive | None = Field(None, description="largest norm of the gradient")
    accumulate: Count = Field(1, description="parts that a batch is computed in")
    evaluations: Count = Field(20, description="validation readings over a run")
    evaluate_limit: Count | None = Field(
        None, description="validation examples a reading, null for all"
    )
    fresh_statistics: bool = Field(
        False,
        description="whether batch norms' averages are gathered anew before each validation reading",
    )
    early_stopping: Count | None = Field(
        None, description="readings without a better loss before a run ends"
    )
    divergence_factor: Positive = Field(
        3.0, description="a loss this many times its start above the start has diverged"
    )
