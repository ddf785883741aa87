"""What a loop of the user's own is to do: plain values, so that another process can be told too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hptune.results.records import Trial
from hptune.results.settings import OptimizerSpec, PolicySpec, TrainingSettings
from hptune.task import Task
from hptune.training.device import Device
from hptune.training.lengths import evaluation_points, iterations_per_epoch
from hptune.training.planned import planned
from hptune.training.trial_run import Job

Rates = list[tuple[float, float]]
_SECTIONS = {"policy": PolicySpec, "optimizer": OptimizerSpec, "settings": TrainingSettings}


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One trial for a loop of the user's own.

    Attributes:
        trial: What to run.
        per_epoch: Iterations of an epoch at the trial's batch size.
        device: The device that hptune was asked for, as torch names it.
        args: The loop's own hyper-parameters.
        snapshot: File for what the loop saves; None where nothing is kept.
        until: Iterations after which a loop that saves pauses, to go on later.
        tests: Whether the run is one of those whose test values may count.
        rehearsal: Whether a few iterations and one reading are enough.
    """

    trial: Trial
    per_epoch: int
    device: str = "cpu"
    args: Mapping[str, Any] = field(default_factory=dict)
    snapshot: Path | None = None
    until: int | None = None
    tests: bool = False
    rehearsal: bool = False

    def rates(self) -> Rates:
        """Return LR and momentum of every iteration."""
        course = planned(self.trial, self.per_epoch)
        return list(zip(course.lr.tolist(), course.momentum.tolist(), strict=True))

    def evaluate_at(self) -> set[int]:
        """Return the iterations after which the validation set is read."""
        due = evaluation_points(self.trial.iterations, self.trial.settings.evaluations)
        return {done - 1 for done in due}

    def text(self) -> str:
        """Return it as JSON."""
        values = asdict(self)
        values["trial"] |= {name: getattr(self.trial, name).model_dump() for name in _SECTIONS}
        values["snapshot"] = None if self.snapshot is None else str(self.snapshot.resolve())
        return json.dumps(values)

    @classmethod
    def parse(cls, text: str) -> Assignment:
        """Return what `text` has written."""
        values = json.loads(text)
        sections: dict[str, Any] = {
            name: kind(**values["trial"][name]) for name, kind in _SECTIONS.items()
        }
        sections["fixed"] = tuple(values["trial"]["fixed"])
        values["trial"] = Trial(**{**values["trial"], **sections})
        values["snapshot"] = None if values["snapshot"] is None else Path(values["snapshot"])
        return cls(**values)


def assign(
    args: Mapping[str, Any], task: Task, job: Job, device: Device, *, rehearsal: bool = False
) -> Assignment:
    """Return what a job asks of a loop of the user's own."""
    return Assignment(
        trial=job.trial,
        per_epoch=iterations_per_epoch(len(task.train), job.trial.batch_size),
        device=str(device.torch_device),
        args=args,
        snapshot=job.snapshot,
        until=job.until,
        tests=job.checkpoint is not None,
        rehearsal=rehearsal,
    )
