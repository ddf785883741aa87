"""The records that training writes and everything else reads: trials, curves, decisions.

Plain values only, so that what reads results never needs torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scalar = bool | int | float | str | None
FloatArray = NDArray[np.float64]


class Status(StrEnum):
    """How a trial ended."""

    COMPLETE = "complete"
    DIVERGED = "diverged"
    PRUNED = "pruned"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class ParameterRule:
    """Multipliers for the parameters whose dotted name matches a shell-style pattern.

    An `lr` multiplier of 0 freezes the parameters. The first rule that matches a parameter applies.
    """

    match: str
    lr: float = 1.0
    weight_decay: float = 1.0


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec:
    """Which optimizer, without the swept hyper-parameters (LR, momentum, weight decay)."""

    name: str = "sgd"
    args: Mapping[str, Scalar | tuple[float, ...]] = field(default_factory=dict)
    decay_biases_and_norms: bool = True
    rules: tuple[ParameterRule, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PolicySpec:
    """A learning-rate policy by name, with its own arguments.

    `momentum` says how momentum moves: "auto" (cyclical where the policy cycles and a
    minimum is set), "cyclical" (falls while LR rises), "increasing" or "constant".
    """

    name: str = "1cycle"
    momentum: str = "auto"
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How trials are trained, apart from the hyper-parameters under study."""

    precision: str = "auto"  # auto, fp32, bf16, fp16
    label_smoothing: float = 0.0
    clip_norm: float | None = None  # maximum norm of the gradient
    accumulate: int = 1  # micro-batches per iteration
    evaluations: int = 20  # validation readings over a run, the last one at its end
    evaluate_limit: int | None = None  # examples of the validation set to read, None for all
    early_stopping: int | None = (
        None  # validation readings without a better loss before the run ends
    )
    divergence_factor: float = (
        3.0  # a smoothed loss this many times |start| above the start has diverged
    )


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training run, by everything that determines its outcome.

    `lr` is the maximum of the policy and `momentum` the maximum of its cycle; the minima
    are None where nothing cycles. `task` is the fingerprint of model, data and loss.
    """

    stage: str
    task: str
    seed: int
    iterations: int
    batch_size: int
    lr: float
    momentum: float
    weight_decay: float
    lr_min: float | None = None
    momentum_min: float | None = None
    policy: PolicySpec = field(default_factory=PolicySpec)
    optimizer: OptimizerSpec = field(default_factory=OptimizerSpec)
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    extra: Mapping[str, Scalar] = field(default_factory=dict)  # other swept keys
    snapshot: str | None = None  # "DIGEST@ITERATION": branch from that trial's state

    @property
    def id(self) -> str:
        """The stage and the digest."""
        return f"{self.stage}-{self.digest}"

    @cached_property  # asked for many times; the hash takes as long as an iteration of a small net
    def digest(self) -> str:
        """Eight hexadecimal digits of what determines the outcome; the stage does not."""
        fields = {name: value for name, value in asdict(self).items() if name != "stage"}
        content = json.dumps(fields, sort_keys=True, default=list)
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    def change(self, **changes: Any) -> Trial:
        """Return this trial with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Curve:
    """A trial's history: arrays of one length, NaN where a column was not read.

    `metrics` maps a metric's name ("accuracy") to its validation values; the CSV column is `val_NAME`.
    """

    iteration: NDArray[np.int64]
    epoch: FloatArray
    lr: FloatArray
    momentum: FloatArray
    weight_decay: FloatArray
    train_loss: FloatArray
    val_loss: FloatArray
    metrics: Mapping[str, FloatArray]
    seconds: FloatArray

    def __len__(self) -> int:
        return len(self.iteration)

    def until(self, iterations: int) -> Curve:
        """Return the first `iterations` iterations of this curve."""
        arrays = {
            item.name: getattr(self, item.name)[:iterations]
            for item in fields(self)
            if item.name != "metrics"
        }
        metrics = {name: values[:iterations] for name, values in self.metrics.items()}
        return Curve(metrics=metrics, **arrays)


@dataclass(frozen=True)
class TrialProgress:
    """Where a running trial is.

    Attributes:
        iteration: The last one whose loss has been read from the device.
        began: The iteration that this process began with, above 0 after a resume.
        lr: Of the iteration.
        momentum: Of the iteration.
        train_loss: Mean over the iterations that were last read together.
        readings: Of the validation set so far, each as (iteration, LR, loss).
    """

    iteration: int
    began: int
    lr: float
    momentum: float
    train_loss: float
    readings: tuple[tuple[int, float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """A trial and what came of it; losses and metrics are None where they were not read.

    `seconds` is wall time, `examples_per_second` counts training examples over the time
    spent training, `peak_memory_mb` is MiB, `started` an ISO 8601 time.
    """

    trial: Trial
    status: Status
    data: str
    model: str
    device: str
    started: str
    epochs: float
    seconds: float
    curve: Curve
    train_loss: float | None = None
    val_loss: float | None = None
    best_val_loss: float | None = None
    test_loss: float | None = None
    val_metrics: Mapping[str, float | None] = field(default_factory=dict)
    best_val_metrics: Mapping[str, float | None] = field(default_factory=dict)
    test_metrics: Mapping[str, float | None] = field(default_factory=dict)
    examples_per_second: float | None = None
    peak_memory_mb: float | None = None
    message: str = ""  # why it failed or where it diverged


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a stage chose, by which rule, why, and from which trials.

    `seconds` is what the stage cost. `parameter` is lr, lr_min, momentum, momentum_min,
    weight_decay, batch_size or the swept key.
    """

    stage: str
    parameter: str
    value: Scalar
    rule: str
    reason: str
    trials: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
