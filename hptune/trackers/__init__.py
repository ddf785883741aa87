"""Other tools that keep trials, each in a module of its own; whoever trains passes one in."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hptune.errors import InputError

if TYPE_CHECKING:
    from hptune.results.records import Decision, TrialResult

__all__ = ["NAMES", "Tracker", "open_tracker"]

NAMES = ("tensorboard", "mlflow")  # also of the package that each needs, and of hptune's extra


class Tracker(Protocol):
    """Keeps trials and decisions; may raise whatever its tool raises."""

    def log_trial(self, result: TrialResult, *, reused: bool) -> None:
        """Keep a trial with its hyper-parameters and its curve.

        Args:
            result: The trial and what came of it.
            reused: Whether it was found in the run directory; if it is kept already, it stays.
        """

    def log_decisions(self, stage: str, decisions: Sequence[Decision]) -> None:
        """Keep what a stage decided, in the place of what it decided before."""


def open_tracker(name: str, *, run_dir: Path, experiment: str) -> Tracker:
    """Return a tracker by name; it writes nothing before it is given a trial.

    Args:
        name: One of `NAMES`.
        run_dir: The run directory that the trials belong to.
        experiment: The experiment's name.

    Raises:
        InputError: Its package is not installed.
    """
    if find_spec(name) is None:
        raise InputError(
            f"--track: {name!r}; needs the package {name}, which is not installed; "
            f'pip install "hptune[{name}]"'
        )
    if name == "mlflow":
        from hptune.trackers.mlflow import MLflow

        return MLflow(run_dir, experiment)
    from hptune.trackers.tensorboard import TensorBoard

    return TensorBoard(run_dir)
