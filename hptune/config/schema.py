"""The experiment as pydantic models, a class a YAML section, with a text for every key."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from hptune.errors import InputError
from hptune.policies import schedule
from hptune.results.records import OptimizerSpec, ParameterRule, PolicySpec, TrainingSettings
from hptune.stages import choose, procedure


def _no_boolean(value: Any) -> Any:
    """Refuse true where a number is wanted; Python would take it for 1."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


Real = Annotated[float, BeforeValidator(_no_boolean), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_no_boolean)]
Positive = Annotated[Real, Field(gt=0)]
NotNegative = Annotated[Real, Field(ge=0)]
Fraction = Annotated[Real, Field(gt=0, lt=1)]
Rate = Annotated[Real, Field(ge=0, lt=1)]
Momentum = Annotated[Real, Field(ge=0, le=1)]
Ends = tuple[Positive, Positive]
Count = Annotated[Whole, Field(ge=1)]
Size = Annotated[Whole, Field(ge=0)]
Seed = Annotated[Whole, Field(ge=0, lt=2**31)]  # scikit-learn and numpy take no larger ones


class Section(BaseModel):
    """What all sections share: nothing unknown, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, values: Any) -> Any:
        """Take a section whose keys are all commented out, which YAML reads as null."""
        return {} if values is None else values


class Data(Section):
    """Which data, how split, scaled and augmented."""

    name: str = Field(
        "digits",
        description="digits, image-folder, npz, csv, a torchvision set, or package.module:function",
    )
    root: str | None = Field(None, description="folder of a torchvision set; relative as path is")
    path: str | None = Field(
        None,
        description="folder or file; relative to the config's folder, else to the working folder",
    )
    target: str | None = Field(None, description="column of a csv to predict")
    drop: tuple[str, ...] = Field((), description="columns of a csv to leave out, such as an id")
    kind: Literal["classification", "regression"] | None = Field(
        None, description="what the targets are, null finds out"
    )
    resize: Count | None = Field(None, description="side in pixels that images are scaled to")
    download: bool = Field(False, description="whether a torchvision set may be fetched")
    train_folder: str | None = Field(
        None, description="class folders under path, null looks for the usual names"
    )
    validation_folder: str | None = Field(None, description="likewise")
    test_folder: str | None = Field(None, description="likewise")
    validation: Fraction = Field(
        0.15, description="fraction split off where the data bring no validation set"
    )
    test: Rate = Field(0.15, description="likewise for the test set, 0 for none")
    split_seed: Seed = Field(0, description="of the split and the subsets")
    subset: Count | None = Field(
        None, description="training and validation examples to use, null for all"
    )
    test_subset: Count | None = Field(None, description="test examples to use, null for all")
    normalize: Literal["standardize", "mean-image", "none"] = Field(
        "standardize",
        description="per channel; or less the training images' mean, not divided; or as they are",
    )
    scale: Positive = Field(
        1.0, description="largest pixel after loading: 1, or 255 for nets tuned to raw pixels"
    )
    flip: bool = Field(False, description="mirror half of the training images")
    crop: Size = Field(0, description="padding in pixels of random crops, 0 for none")
    cutout: Size = Field(0, description="side in pixels of a blanked square, 0 for none")
    storage: Literal["auto", "memory", "stream"] = Field(
        "auto", description="where images are kept; auto streams what does not fit into memory"
    )
    workers: Size = Field(2, description="processes that decode a stream")
    cache: bool = Field(True, description="keep decoded images on disk beside the data")
    args: dict[str, Any] = Field(default_factory=dict, description="of your own function")


class Model(Section):
    """Which model."""

    name: str = Field(
        "mlp",
        description="a bundled net, torchvision:NAME, timm:NAME or package.module:callable",
    )
    args: dict[str, Any] = Field(default_factory=dict, description="of the model")
    dropout: Rate | None = Field(
        None, description="rate of the model's dropout layers, null leaves them"
    )


class Rule(Section):
    """Multipliers for parameters by name; the first rule that matches applies."""

    match: str = Field(description="shell-style pattern of parameter names, such as *.bias")
    lr: NotNegative = Field(1.0, description="times LR; 0 freezes")
    weight_decay: NotNegative = Field(1.0, description="times weight decay")


class Optimizer(Section):
    """Which optimizer; LR, momentum and weight decay are hyper-parameters."""

    name: str = Field("sgd", description="sgd (Nesterov), adam, adamw, rmsprop, any of torch.optim")
    args: dict[str, Any] = Field(default_factory=dict, description="of the optimizer")
    decay_biases_and_norms: bool = Field(
        True, description="whether weight decay holds for biases and normalisation layers too"
    )
    rules: tuple[Rule, ...] = Field((), description="multipliers for parameters by name")

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

    name: str = Field("1cycle", description="one that `hptune policies` lists")
    momentum: str = Field(
        "auto",
        description="auto (cyclical where it has a minimum), cyclical, increasing or constant",
    )
    args: dict[str, Any] = Field(default_factory=dict, description="of the policy")

    @model_validator(mode="after")
    def _computes(self) -> Self:
        """Try the policy on a short run, so that what is wrong is told before any trial."""
        try:
            schedule(
                self.name,
                100,
                lr=1.0,
                momentum_mode=self.momentum,
                iterations_per_epoch=10,
                args=self.args,
            )
        except InputError as error:
            problem = str(error)
        except (TypeError, ValueError, ArithmeticError) as error:
            problem = (
                f"policy.args: {self.args}; policy {self.name} cannot compute with them "
                f"({error}); correct the value"
            )
        else:
            return self
        raise PydanticCustomError("explained", "{problem}", {"problem": problem})

    def spec(self) -> PolicySpec:
        """Return the record that trials carry."""
        return PolicySpec(name=self.name, momentum=self.momentum, args=self.args)


class Training(Section):
    """How every trial is trained."""

    epochs: Positive = Field(30, description="length of the final run")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="auto takes bf16 where that is clearly faster, on a CPU by a timed probe",
    )
    label_smoothing: Rate = Field(0.0, description="share of the target spread over all classes")
    clip_norm: Positive | None = Field(None, description="largest norm of the gradient")
    accumulate: Count = Field(1, description="parts that a batch is computed in")
    evaluations: Count = Field(20, description="validation readings over a run")
    evaluate_limit: Count | None = Field(
        None, description="validation examples a reading, null for all"
    )
    early_stopping: Count | None = Field(
        None, description="readings without a better loss before a run ends"
    )
    divergence_factor: Positive = Field(
        3.0, description="a loss this many times its start above the start has diverged"
    )

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
                raise PydanticCustomError(
                    "explained",
                    "search.{name}: {ends}; must rise from the lowest to the highest; swap them",
                    {"name": name, "ends": list(ends)},
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
        try:
            return tuple(stage.name for stage in choose(names, "procedure.stages"))
        except InputError as error:
            raise PydanticCustomError("explained", "{problem}", {"problem": str(error)}) from None


class Experiment(Section):
    """A whole experiment."""

    name: str = Field("experiment", description="also of the run directory, runs/NAME")
    seed: Seed = Field(0, description="of weights, order and augmentation; the split has its own")
    data: Data = Field(Data(), description="which data")
    model: Model = Field(Model(), description="which model")
    loss: str = Field(
        "auto", description="auto, cross-entropy, mse, or package.module:callable of your own"
    )
    metrics: Literal["auto"] | tuple[str, ...] = Field(
        "auto", description="auto, or a list of accuracy and torchmetrics' names"
    )
    optimizer: Optimizer = Field(Optimizer(), description="which optimizer")
    policy: Policy = Field(Policy(), description="LR and momentum over a run")
    training: Training = Field(Training(), description="how every trial is trained")
    hyper_parameters: HyperParameters = Field(HyperParameters(), description="to start from")
    procedure: Procedure = Field(Procedure(), description="the stages and what they may cost")
    search: Search = Field(Search(), description="the joint search, beside the procedure")

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if not name.strip() or name in (".", "..") or any(c in name for c in "/\\\0"):
            raise ValueError("must be the name of a folder, without slashes")
        return name

    @field_validator("metrics", mode="before")
    @classmethod
    def _auto_or_names(cls, metrics: Any) -> Any:
        names = isinstance(metrics, list | tuple) and all(isinstance(m, str) for m in metrics)
        if not names and metrics != "auto":
            raise ValueError("must be auto or a list of names; write [accuracy, f1_score], say")
        return metrics
