"""TensorBoard's event files, under `tensorboard/` in the run directory: a run a trial."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from hptune.results.records import Decision, TrialResult
from hptune.trackers.series import parameters_and_values, points


class TensorBoard:
    """Writes each trial's curve as scalars, its hyper-parameters for the HParams page.

    Args:
        run_dir: The run directory; each run has a folder in its folder `tensorboard`.
    """

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / "tensorboard"

    def log_trial(self, result: TrialResult, *, reused: bool) -> None:
        """Write a trial's run, in the place of an earlier one of the same id."""
        from torch.utils.tensorboard import SummaryWriter

        folder = self._folder / result.trial.id
        if folder.exists():
            if reused:
                return
            shutil.rmtree(folder)
        parameters, values = parameters_and_values(result)
        with SummaryWriter(str(folder)) as writer:
            for name, iteration, value, time in points(result):
                writer.add_scalar(name, value, iteration, walltime=time)
            # Apart from the curves' names, so that a series does not get a stray last point.
            shown = {f"result/{name}": value for name, value in values.items()}
            writer.add_hparams(parameters, shown, run_name=".")
            if result.message:
                writer.add_text("message", result.message)

    def log_decisions(self, stage: str, decisions: Sequence[Decision]) -> None:
        """Write a stage's decisions as text."""
        from torch.utils.tensorboard import SummaryWriter

        folder = self._folder / f"decisions-{stage}"
        if folder.exists():
            shutil.rmtree(folder)
        if not decisions:
            return
        with SummaryWriter(str(folder)) as writer:
            for d in decisions:
                warnings = (f"warning: {warning}" for warning in d.warnings)
                text = (f"**{d.parameter} = {d.value}**", d.rule, d.reason, *warnings)
                writer.add_text(f"decision/{d.parameter}", "\n\n".join(text))
