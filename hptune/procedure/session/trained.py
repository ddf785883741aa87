"""A run directory's trained models: their task, their weights, their trials."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from torch import nn

from hptune.config.build import build_task
from hptune.config.load import load_experiment
from hptune.config.model import BEGINNINGS
from hptune.errors import InputError
from hptune.procedure.session.changes import changed_files
from hptune.results.records import Status, Trial, what_was_reached
from hptune.results.run_dir import RunDir
from hptune.results.settings import PolicySpec
from hptune.results.tables import Row
from hptune.stages import WHOLE_RUNS
from hptune.task import Task
from hptune.training.device import resolve_device, seeded
from hptune.training.freezing import train_mode
from hptune.training.model import make_model
from hptune.training.snapshot import load_state


class TrainedRun:
    """The models that a run directory keeps the weights of; nothing is written.

    Args:
        path: The run directory.
        device: As `--device`; computes in float32.
        tell: Is called with a line of what the user should know.

    Raises:
        InputError: There are no weights, or the model cannot be built by name.
    """

    def __init__(self, path: Path, device: str, tell: Callable[[str], None]) -> None:
        self.run_dir = RunDir.open(path, write=False, tell=tell)
        self._whole = [
            row
            for row in self.run_dir.rows()
            if row["stage"] in WHOLE_RUNS and row["status"] == Status.COMPLETE
        ]
        if not self._whole:
            raise InputError(
                f"{path}: no run that completed with its weights; must hold a final or training run; "
                "run `hptune train` or `hptune run`"
            )
        # Where stages have decided on keys of the model, the tuned experiment has them.
        source = next(
            (p for p in (self.run_dir.tuned, self.run_dir.experiment) if p.exists()), None
        )
        if source is None:
            raise InputError(
                f"{path}: has no experiment.yaml, which says how to build the model; must be a run "
                "directory of hptune; restore the file"
            )
        self.experiment = load_experiment(source)
        if self.experiment.function or self.experiment.command:
            raise InputError(
                f"{path}: was trained by a loop of your own, which alone knows its model; call "
                "hptune.landscape's functions with model, loss and data in Python"
            )
        self.task = build_task(self.experiment)
        last = self._whole[-1]
        if (last["data"], last["model"]) != (self.task.data, self.task.model):
            raise InputError(
                f"{path}: its task ({last['data']}, {last['model']}) was put together in Python and "
                "cannot be built by name; call hptune.landscape's functions with model, loss and data"
            )
        if changed := changed_files(self.run_dir, self.task):
            tell(f"warning: {', '.join(changed)} changed since the weights here were trained")
        self.device = resolve_device(device, "fp32")

    def seeds(self) -> list[Row]:
        """Return the completed seeds of the last run, the lowest validation loss first.

        A baseline is no part of it, nor what is without weights.
        """
        reached = what_was_reached(self.run_dir.decisions())
        last = [row for row in self._whole if reached and row["trial"] in reached.trials]
        kept = [row for row in last or self._whole if self._checkpoint(row).exists()]
        if not kept:
            raise InputError(
                f"{self.run_dir.path}: no checkpoint of {len(self._whole)} runs is there; must have "
                "checkpoints/ID.pt; run `hptune train --restart`"
            )
        return sorted(kept, key=_val_loss)

    def find(self, trial: str) -> Row:
        """Return the row of a trial by its id.

        Raises:
            InputError: None of those with weights has it.
        """
        known = {str(row["trial"]): row for row in self._whole if self._checkpoint(row).exists()}
        if trial not in known:
            raise InputError(
                f"--trial: {trial!r}; must be a run with weights; choose of {', '.join(known) or 'none'}"
            )
        return known[trial]

    def model(self, row: Row) -> nn.Module:
        """Return the trained model of a row, in training mode.

        Raises:
            InputError: Its checkpoint cannot be read, or is of another model.
        """
        path = self._checkpoint(row)
        state = load_state(path)
        if state is None or "model" not in state:
            raise InputError(
                f"{path}: no weights that can be read; must be a checkpoint of hptune; run "
                "`hptune train --restart`"
            )
        model = self.start(row)
        try:
            model.load_state_dict(state["model"])
        except (KeyError, RuntimeError, TypeError, AttributeError):
            raise InputError(
                f"{path}: its weights do not fit model {self.task.model}; must be of the model that "
                "experiment.yaml names; restore the code that they were trained with"
            ) from None
        return model

    def start(self, row: Row) -> nn.Module:
        """Return the model as the run of a row began: its initial weights follow from the seed."""
        with seeded(_integer(row, "seed"), self.device.torch_device):
            return train_mode(make_model(self.task_of(row), self.device))

    def task_of(self, row: Row) -> Task:
        """Return the task with the model of a row: a stage may have decided on its keys since."""
        state = load_state(self._checkpoint(row)) or {}
        if not (made := state.get("signature", {}).get("model")):
            return self.task
        own = self.experiment.model
        begun = {name: value for name, value in own.args.items() if name in BEGINNINGS}
        model = own.change(args=begun | made["args"], dropout=made["dropout"])
        if model == own:
            return self.task
        return build_task(self.experiment.change(model=model))

    def trial(self, row: Row) -> Trial:
        """Return the trial of a row."""
        experiment = self.experiment
        policy = experiment.policy
        if row["policy"] != policy.name:
            policy = PolicySpec(name=str(row["policy"]))
        values = {name: row[name] for name in ("lr", "lr_min", "momentum", "momentum_min")}
        return Trial(
            stage=str(row["stage"]),
            task=self.task_of(row).fingerprint,
            seed=_integer(row, "seed"),
            iterations=_integer(row, "iterations"),
            batch_size=_integer(row, "batch_size"),
            weight_decay=float(str(row["weight_decay"])),
            policy=policy,
            optimizer=experiment.optimizer,
            settings=experiment.training.settings(),
            **values,  # type: ignore[arg-type]
        )

    def _checkpoint(self, row: Row) -> Path:
        return self.run_dir.checkpoint(str(row["trial"]))


def _integer(row: Row, name: str) -> int:
    return int(str(row[name]))


def _val_loss(row: Row) -> float:
    value = row.get("val_loss")
    return float(value) if isinstance(value, int | float) else math.inf
