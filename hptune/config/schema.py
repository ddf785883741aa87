"""The experiment as pydantic models, a class a YAML section."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from hptune.policies import MOMENTUM_MODES, find_policy, schedule
from hptune.results.records import OptimizerSpec, ParameterRule, PolicySpec, TrainingSettings

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Momentum = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
StageName = Literal["lr-range", "momentum", "weight-decay", "batch-size", "final"]


class Section(BaseModel):
    """What all sections share: nothing unknown, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Section):
    """Which data, how split, scaled and augmented."""

    name: str = Field(
        "digits",
        description="digits, image-folder, npz, csv, a torchvision set, or module:function",
    )
    root: str | None = Field(None, description="folder of a torchvision set")
    path: str | None = Field(
        None, description="folder or file; relative to the working folder, else to the config's"
    )
    target: str | None = Field(None, description="column of a csv to predict")
    kind: Literal["classification", "regression"] | None = Field(None, description="null finds out")
    resize: Count | None = Field(None, description="side in pixels that images are scaled to")
    download: bool = Field(False, description="whether a torchvision set may be fetched")
    train_folder: str | None = Field(None, description="under path; null looks for the usual names")
    validation_folder: str | None = None
    test_folder: str | None = None
    validation: Fraction = Field(
        0.15, description="split off where the data bring no validation set"
    )
    test: Annotated[float, Field(ge=0, lt=1)] = Field(0.15, description="likewise for the test set")
    split_seed: Annotated[int, Field(ge=0)] = 0
    subset: Count | None = Field(None, description="training and validation examples, null for all")
    test_subset: Count | None = None
    normalize: Literal["standardize", "mean-image", "none"] = "standardize"
    scale: Positive = Field(
        1.0, description="largest pixel after loading: 1, or 255 for raw pixels"
    )
    flip: bool = Field(False, description="mirror half of the training images")
    crop: Annotated[int, Field(ge=0)] = Field(0, description="padding of random crops, pixels")
    cutout: Annotated[int, Field(ge=0)] = Field(0, description="side of a blanked square, pixels")
    storage: Literal["auto", "memory", "stream"] = "auto"
    workers: Annotated[int, Field(ge=0)] = Field(2, description="processes that decode a stream")
    cache: bool = Field(True, description="keep decoded images on disk beside the data")
    args: dict[str, Any] = Field(default_factory=dict, description="for your own function")


class Model(Section):
    """Which model."""

    name: str = Field(
        "mlp", description="a bundled net, torchvision:NAME, timm:NAME or module:callable"
    )
    args: dict[str, Any] = Field(default_factory=dict)
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None, description="rate of the model's dropout layers, null leaves them"
    )


class Rule(Section):
    """Multipliers for parameters by name; the first rule that matches applies."""

    match: str = Field(description="shell-style pattern of parameter names, such as *.bias")
    lr: NotNegative = Field(1.0, description="0 freezes")
    weight_decay: NotNegative = 1.0


class Optimizer(Section):
    """Which optimizer; LR, momentum and weight decay are hyper-parameters."""

    name: str = Field("sgd", description="sgd (Nesterov), adam, adamw, rmsprop, any of torch.optim")
    args: dict[str, Any] = Field(default_factory=dict)
    decay_biases_and_norms: bool = True
    rules: tuple[Rule, ...] = ()

    def spec(self) -> OptimizerSpec:
        """Return the record that trials carry."""
        args = {k: tuple(v) if isinstance(v, list) else v for k, v in self.args.items()}
        return OptimizerSpec(
            name=self.name.lower(),
            args=args,
            decay_biases_and_norms=self.decay_biases_and_norms,
            rules=tuple(ParameterRule(**rule.model_dump()) for rule in self.rules),
        )


class Policy(Section):
    """Learning rate and momentum over a run; `hptune policies` lists them."""

    name: str = "1cycle"
    momentum: str = Field("auto", description="auto, cyclical, increasing or constant")
    args: dict[str, Any] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return find_policy(name).name

    @field_validator("momentum")
    @classmethod
    def _mode(cls, mode: str) -> str:
        if mode not in MOMENTUM_MODES:
            raise ValueError(f"must be one of {', '.join(MOMENTUM_MODES)}")
        return mode

    def model_post_init(self, context: Any, /) -> None:
        """Try the arguments on a short run, so that a wrong one is told before any trial."""
        schedule(self.name, 100, lr=1.0, iterations_per_epoch=10, args=self.args)

    def spec(self) -> PolicySpec:
        """Return the record that trials carry."""
        return PolicySpec(name=self.name, momentum=self.momentum, args=self.args)


class Training(Section):
    """How every trial is trained."""

    epochs: Positive = Field(30, description="length of the final run")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clip_norm: Positive | None = Field(None, description="largest norm of the gradient")
    accumulate: Count = Field(1, description="parts that a batch is computed in")
    evaluations: Count = Field(20, description="validation readings over a run")
    evaluate_limit: Count | None = Field(None, description="validation examples a reading")
    early_stopping: Count | None = Field(
        None, description="readings without a better loss before a run ends"
    )
    divergence_factor: Positive = Field(
        3.0, description="how many times its start a loss may stand above it"
    )

    def settings(self) -> TrainingSettings:
        """Return the record that trials carry."""
        return TrainingSettings(**self.model_dump(exclude={"epochs"}))


class HyperParameters(Section):
    """Values you fix; what is null is decided by its stage, or has a default."""

    lr: Positive | None = Field(None, description="maximum of the policy")
    lr_min: NotNegative | None = None
    momentum: Momentum | None = Field(None, description="maximum of its cycle; beta1 for Adam")
    momentum_min: Momentum | None = None
    weight_decay: NotNegative | None = None
    batch_size: Count | None = None


class LrRange(Section):
    """The LR range test."""

    lr_low: Positive | None = None
    lr_high: Positive | None = None
    mode: Literal["auto", "linear", "exponential"] = "auto"
    epochs: Positive | None = None
    seeds: Count = 1


class MomentumStage(Section):
    """The momentum stage."""

    values: tuple[Momentum, ...] = (0.99, 0.97, 0.95, 0.9)
    minimum: Momentum = 0.85


class WeightDecayStage(Section):
    """The weight-decay stage."""

    values: tuple[NotNegative, ...] | None = Field(
        None, description="null chooses by the net's depth"
    )


class BatchSizeStage(Section):
    """The batch-size stage."""

    values: tuple[Count, ...] | None = Field(None, description="null takes half to four times")
    lr_scaling: Literal["sqrt", "linear"] = "sqrt"


class FinalStage(Section):
    """The final run."""

    seeds: Count = 4


class Procedure(Section):
    """The stages and what they may cost."""

    stages: tuple[StageName, ...] = ("lr-range", "momentum", "weight-decay", "batch-size", "final")
    seeds: Count = Field(1, description="repeats of each search trial")
    budget: Positive = Field(3.0, description="epochs of the search over those of the final run")
    trial_epochs: Positive | None = Field(
        None, description="length of the short runs, null chooses"
    )
    lr_range: LrRange = LrRange()
    momentum: MomentumStage = MomentumStage()
    weight_decay: WeightDecayStage = WeightDecayStage()
    batch_size: BatchSizeStage = BatchSizeStage()
    final: FinalStage = FinalStage()


class Experiment(Section):
    """A whole experiment."""

    name: str = "experiment"
    seed: Annotated[int, Field(ge=0)] = 0
    data: Data = Data()
    model: Model = Model()
    loss: str = Field("auto", description="auto, cross-entropy, mse, or module:callable")
    metrics: Literal["auto"] | tuple[str, ...] = Field(
        "auto", description="auto or torchmetrics names"
    )
    optimizer: Optimizer = Optimizer()
    policy: Policy = Policy()
    training: Training = Training()
    hyper_parameters: HyperParameters = HyperParameters()
    procedure: Procedure = Procedure()
