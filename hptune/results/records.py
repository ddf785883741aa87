"""The records that training writes and everything else reads: trials, curves, decisions.

Plain values only, so that a run's tables are shown without torch, pydantic or numpy.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hptune.results.settings import OptimizerSpec, PolicySpec, TrainingSettings

Scalar = bool | int | float | str | None
Value = Scalar | list[Any]
"""Of a swept key: a list too, as of layers' widths."""
FloatArray: TypeAlias = "NDArray[np.float64]"


class Status(StrEnum):
    """How a trial ended."""

    COMPLETE = "complete"
    DIVERGED = "diverged"
    PRUNED = "pruned"
    FAILED = "failed"


def _default(section: str) -> Any:
    """Return a section of a trial with its defaults."""
    from hptune.results import settings  # which needs pydantic

    return getattr(settings, section)()


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
    policy: PolicySpec = field(default_factory=partial(_default, "PolicySpec"))
    optimizer: OptimizerSpec = field(default_factory=partial(_default, "OptimizerSpec"))
    settings: TrainingSettings = field(default_factory=partial(_default, "TrainingSettings"))
    extra: Mapping[str, Value] = field(default_factory=dict)  # other swept keys
    snapshot: str | None = None  # "DIGEST@ITERATION": branch from that trial's state
    devices: int = 1  # that each have a part of a batch, where its numbers depend on that
    # Fields that a loop of the user's own sets itself, to what nobody knows.
    fixed: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The stage and the digest."""
        return f"{self.stage}-{self.digest}"

    @cached_property  # asked for many times; the hash takes as long as an iteration of a small net
    def digest(self) -> str:
        """Eight hexadecimal digits of what determines the outcome; the stage does not."""
        no_part = ("stage", "fixed")  # the latter follows from the task
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in no_part}
        if self.devices == 1:
            del values["devices"]
        content = json.dumps(values, sort_keys=True, default=_plain)
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    def change(self, **changes: Any) -> Trial:
        """Return this trial with some fields changed."""
        return replace(self, **changes)


def _plain(value: Any) -> Any:
    """Return a section as a dict, any other collection as a list, for JSON."""
    return value.identity() if hasattr(value, "identity") else list(value)


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

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[Any]]) -> Curve:
        """Return the curve of these columns, by their names in the CSV."""
        metrics = [n for n in columns if n.startswith("val_") and n != "val_loss"]
        return cls(
            **{f.name: columns[f.name] for f in fields(cls) if f.name != "metrics"},
            metrics={name.removeprefix("val_"): columns[name] for name in metrics},
        )

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns by their names in the CSV, in its order."""
        metrics = {f"val_{name}": values for name, values in self.metrics.items()}
        before = {n: v for n, v in vars(self).items() if n not in ("metrics", "seconds")}
        return before | metrics | {"seconds": self.seconds}

    def until(self, iterations: int) -> Curve:
        """Return the first `iterations` iterations of this curve."""
        return Curve.of({name: values[:iterations] for name, values in self.columns().items()})


@dataclass(frozen=True)
class TrialProgress:
    """Where a running trial is."""

    iteration: int  # the last one whose loss has been read from the device
    began: int  # the iteration that this process began with, above 0 after a resume
    lr: float  # of the iteration, as momentum
    momentum: float
    train_loss: float  # mean over the iterations that were last read together
    readings: tuple[tuple[int, float, float], ...] = ()  # validation: iteration, LR, loss


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
    value: Value
    rule: str
    reason: str
    trials: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


_REACHED = ("test_", "val_")  # what final runs decide on; a baseline's is another's


def what_was_reached(decisions: Sequence[Decision]) -> Decision | None:
    """Return the last decision on what a trained model reached."""
    return next((d for d in reversed(decisions) if d.parameter.startswith(_REACHED)), None)
