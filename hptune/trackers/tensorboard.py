"""TensorBoard's event files, under `tensorboard/` in the run directory: a run a trial."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from hptune.results.records import Decision, TrialResult
from hptune.trackers.series import parameters, series, started_at, values

FOLDER = "tensorboard"


class TensorBoard:
    """Writes each trial's curve as scalars, its hyper-parameters for the HParams page.

    Args:
        folder: Where the runs are written, one folder each.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def log_trial(self, result: TrialResult, *, reused: bool) -> None:
        """Write a trial's run, in the place of an earlier one of the same id."""
        from torch.utils.tensorboard import SummaryWriter

        folder = self._folder / result.trial.id
        if folder.exists():
            if reused:
                return
            shutil.rmtree(folder)
        begin = started_at(result)
        with SummaryWriter(str(folder)) as writer:
            for name, iterations, column, seconds in series(result.curve):
                for iteration, value, second in zip(
                    iterations.tolist(), column.tolist(), seconds.tolist(), strict=True
                ):
                    writer.add_scalar(name, value, iteration, walltime=begin + second)
            # Apart from the curves' names, so that a series does not get a stray last point.
            shown = {f"result/{name}": value for name, value in values(result).items()}
            writer.add_hparams(parameters(result), shown, run_name=".")
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
            for decision in decisions:
                writer.add_text(f"decision/{decision.parameter}", _markdown(decision))


def open_tracker(run_dir: Path, experiment: str) -> TensorBoard:
    """Return a tracker that writes into the run directory."""
    return TensorBoard(run_dir / FOLDER)


def _markdown(decision: Decision) -> str:
    text = f"**{decision.parameter} = {decision.value}**\n\n{decision.rule}\n\n{decision.reason}"
    return text + "".join(f"\n\nwarning: {warning}" for warning in decision.warnings)
