"""The seam between the user's problem and hptune: model factory, data, loss, metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from hptune.step import Step

Batch = Any  # whatever the task's step takes


class Source(Protocol):
    """One split of a data set, as a stream of batches that is repeatable from its seed."""

    def __len__(self) -> int:
        """Return the number of examples."""
        ...

    def to(self, device: torch.device) -> Source:
        """Return the same source with its batches delivered on `device`."""
        ...

    def batches(
        self,
        batch_size: int,
        *,
        seed: int | None = None,
        epoch: int = 0,
        skip: int = 0,
        every: int = 1,
    ) -> Iterator[Batch]:
        """Yield batches of one pass over the data.

        With a seed: shuffled by (seed, epoch), augmented, and the last incomplete batch
        left out. Order and augmentation of an example depend on (seed, epoch) alone, not
        on the batch size or on `skip`, so trials stay paired and a resumed epoch repeats
        exactly. Without a seed: in order, as they are, every example once.

        Args:
            batch_size: Examples a batch.
            seed: Of the shuffle and the augmentation; None reads for evaluation.
            epoch: Which pass this is, from 0.
            skip: Batches at the start of the pass not to deliver.
            every: Deliver one of so many of the others, the first of each, without reading the rest.
        """
        ...


@runtime_checkable
class Resident(Protocol):
    """A source whose examples lie on the device, so that reading a batch can be recorded there."""

    def choices(
        self, batch_size: int, *, seed: int, epoch: int = 0, skip: int = 0, every: int = 1
    ) -> Iterator[tuple[Tensor, ...]]:
        """Yield small tensors in the place of the batches of `Source.batches`."""
        ...

    def read(self, choice: tuple[Tensor, ...]) -> Batch:
        """Return the batch that a choice stands for."""
        ...


class Metric(Protocol):
    """Accumulates over batches; torchmetrics objects fit."""

    def update(self, outputs: Tensor, targets: Tensor) -> None: ...

    def compute(self) -> Tensor: ...


class Accuracy:
    """The fraction of examples whose largest logit is the target's class.

    Args:
        ignored: The target of examples that do not count.
    """

    def __init__(self, ignored: int | None = None) -> None:
        self.correct: Tensor | float = 0.0
        self.total: Tensor | int = 0
        self._ignored = ignored

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Count a batch of logits (B, C) against classes (B,), without a host sync."""
        right = outputs.argmax(1) == targets
        if self._ignored is None:
            self.total += len(targets)
        else:
            counts = targets != self._ignored
            right, self.total = right & counts, self.total + counts.sum()
        self.correct = self.correct + right.sum()

    def compute(self) -> Tensor:
        """Return the fraction, between 0 and 1."""
        return torch.as_tensor(self.correct) / torch.as_tensor(self.total).clamp(min=1)


@dataclass(frozen=True)
class MetricSpec:
    """A metric by name: how to make a fresh accumulator, and which way is better."""

    make: Callable[[], Metric]
    higher_is_better: bool = True


@dataclass(frozen=True)
class Freeze:
    """Which part of a model does not train, and until when.

    Attributes:
        what: A number of first blocks, a negative one of last blocks to leave; or patterns of the
            dotted names of submodules and parameters.
        release: Fractions of a run after which frozen blocks begin to train, from the last to the
            first; none keeps them frozen.
    """

    what: int | tuple[str, ...]
    release: tuple[float, ...] = ()


class Loop(Protocol):
    """A training loop of the user's own, in the place of hptune's."""

    def run(self, task: Task, job: Any, device: Any, on_progress: Any = None) -> Any:
        """Run a `Job` and return its `TrialResult`.

        Raises:
            InputError: Wrong for every trial.
        """
        ...

    def rehearse(self, task: Task, trial: Any, device: Any) -> Mapping[str, Any]:
        """Run a few iterations of a trial, and return what they show as plain values.

        Raises:
            InputError: The loop fails, or does not do what it must.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Task:
    """All that training needs to know of the user's problem."""

    make_model: Callable[[], nn.Module]  # called under a seed, so that paired trials start equal
    step: Step  # computes the mean loss of a batch, and outputs and targets for the metrics
    train: Source
    validation: Source
    test: Source | None = None
    metrics: Mapping[str, MetricSpec] = field(default_factory=dict)  # in the order of their columns
    classes: int | None = None  # None for other than classification
    ignored: int | None = None  # the target that loss and metrics leave out, where there may be one
    # Whether convolutions run in the memory layout that is fastest for them; a model that calls
    # `view` on their outputs may not bear it.
    channels_last: bool = True
    freeze: Freeze | None = None  # what of the model does not train
    data: str = "data"  # for the tables, as is `model`
    model: str = "model"
    fingerprint: str = ""  # identifies model, data and code; part of every trial's id
    code: Mapping[str, str] = field(default_factory=dict)  # the user's source files, with digests
    loop: Loop | None = None  # then model, step and batches are its own, and not this task's
    seen: Mapping[str, Any] = field(default_factory=dict)  # by a rehearsal of the loop
    notes: Sequence[str] = ()  # what the user should know of the data before training
    # What a `hptune.results.signature.Signature` holds: it is kept with the trained weights.
    signature: Mapping[str, Any] = field(default_factory=dict)

    def change(self, **changes: Any) -> Task:
        """Return this task with some fields changed."""
        return Task(**{f.name: getattr(self, f.name) for f in fields(Task)} | changes)
