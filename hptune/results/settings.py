"""The sections of an experiment that are part of each of its trials."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from hptune.errors import InputError
from hptune.section import Arguments, Count, Fraction, NotNegative, Positive, Rate, Section


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


# With the keys of each, which say nothing where it is off.
METHODS = {
    "average": ("average", "average_decay", "average_start"),
    "sam": ("sam",),
    "gradient_noise": ("gradient_noise",),
    "introspection": ("introspection", "introspection_at"),
}


class NoiseSpec(Section):
    """Gaussian noise on the gradients, of variance eta / (1 + t)^gamma in iteration t."""

    eta: NotNegative = Field(0.0, description="variance in the first iteration, 0 for none")
    gamma: NotNegative = Field(0.55, description="power of the iteration that it falls with")


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
    average: Literal["ema", "swa"] | None = Field(
        None,
        description="of the weights, evaluated and kept in their place: ema, exponential, or swa, "
        "their plain mean; an LR range test reads the weights as they are",
    )
    average_decay: Fraction = Field(
        0.999, description="of ema an iteration; less in its first iterations, which it grows in"
    )
    average_start: Rate | None = Field(
        None,
        description="part of a run after which weights are averaged, null is 0 for ema, 0.75 for swa",
    )
    sam: NotNegative = Field(
        0.0,
        description="rho of sharpness-aware minimisation, 0 for none: gradients are those at the worst "
        "weights so near, at twice the time a step",
    )
    gradient_noise: NoiseSpec = Field(
        default_factory=NoiseSpec,
        description="Gaussian, of variance eta / (1 + t)^gamma in iteration t, after clipping",
    )
    introspection: str | None = Field(
        None,
        description="file of `hptune landscape introspection`: the weights jump to where it expects them",
    )
    introspection_at: Annotated[tuple[Fraction, ...], Field(min_length=1)] = Field(
        (0.2,), description="fractions of a run after which the weights jump"
    )

    @property
    def methods(self) -> dict[str, Any]:
        """What hptune's own loop does beside plain training, as far as it is on: values by key."""
        on = {
            "average": self.average,
            "sam": self.sam,
            "gradient_noise": self.gradient_noise.eta,
            "introspection": self.introspection,
        }
        return {name: value for name, value in on.items() if value}

    def identity(self) -> dict[str, Any]:
        """Return the values that make a trial what it is; those of a method that is off do not.

        Of a file that is what it says.

        Raises:
            InputError: It cannot be read.
        """
        off = {key for method in METHODS.keys() - self.methods for key in METHODS[method]}
        values = {name: value for name, value in self.model_dump().items() if name not in off}
        if self.introspection is not None:
            values["introspection"] = digest_of_file(self.introspection, "training.introspection")
        return values


def digest_of_file(path: str, key: str) -> str:
    """Return a digest of what a file says.

    Raises:
        InputError: It cannot be read.
    """
    try:
        content = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise InputError(
            f"{key}: {path}; cannot be read ({error.strerror}); must be a file; correct the path"
        ) from None
    return hashlib.sha256(content).hexdigest()[:12]
