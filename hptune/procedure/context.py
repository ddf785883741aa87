"""What a stage works with, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hptune.analysis.criterion import Criterion
from hptune.procedure.plan import Lengths
from hptune.results.evidence import Evidence
from hptune.results.records import Decision, Trial, TrialResult
from hptune.results.settings import TrainingSettings
from hptune.task import Task
from hptune.trials.run import Runner


@dataclass
class Outcome:
    """What a command did: its decisions, the trials it looked at, and what the decisions rest on."""

    decisions: list[Decision] = field(default_factory=list)
    results: list[TrialResult] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.decisions + other.decisions,
            self.results + other.results,
            self.evidence + other.evidence,
        )


class Context(Protocol):
    """A problem at a point of the procedure: its task, the values that hold now, and what is left.

    Attributes:
        task: What is trained.
        runner: Runs its trials within the budget.
        criterion: By what candidates are judged.
        optimizer: Name of the optimizer.
        weight_layers: Layers with a weight matrix or kernel.
        epochs: Length of the final run.
        planned_epochs: The same as the experiment has it, by which the search's budget goes.
        searched: What the stages before have run.
    """

    searched: list[TrialResult]

    @property
    def task(self) -> Task: ...

    @property
    def runner(self) -> Runner: ...

    @property
    def criterion(self) -> Criterion: ...

    @property
    def optimizer(self) -> str: ...

    @property
    def weight_layers(self) -> int: ...

    @property
    def epochs(self) -> float: ...

    @property
    def planned_epochs(self) -> float: ...

    def options(self, stage: str) -> Any:
        """Return the stage's section of the config; None where it has none."""

    def criterion_of(self, name: str) -> Criterion:
        """Return what judges by the loss or by a metric of the task."""
        ...

    def batch_size(self, *, quiet: bool = False) -> int:
        """Return the batch size that holds now."""
        ...

    def lengths(self, batch_size: int) -> Lengths:
        """Return the lengths of the procedure's runs at a batch size."""
        ...

    def base(
        self,
        stage: str,
        iterations: int,
        *,
        batch_size: int,
        lr: float | None = None,
        quiet: bool = False,
    ) -> Trial:
        """Return a trial with the values that hold now."""
        ...

    def short(self, stage: str) -> Trial:
        """Return a short run with the values that hold now."""
        ...

    def short_settings(self, trial: Trial) -> TrainingSettings:
        """Return how a short run is read: no more often than its own length pays for."""
        ...

    def sizes_that_fit(self, sizes: Sequence[int]) -> list[int]:
        """Return the batch sizes whose steps fit into the memory, the present one always."""
        ...

    def variant(self, path: str, value: Any) -> Context:
        """Return the same problem with another value of a key of the experiment."""
        ...
