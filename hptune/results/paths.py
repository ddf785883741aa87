"""Where everything is in a run directory."""

from __future__ import annotations

import re
from pathlib import Path

from hptune.errors import InputError
from hptune.results.atomic import UNFINISHED

_TRIAL = r"[a-z]+(-[a-z]+)*-[0-9a-f]{8}"
_STATE = rf"{_TRIAL}|[0-9a-f]{{8}}(@\d+)?"  # of a trial, or of a run that others branch from
_FOLDERS = ("curves", "logs", "snapshots", "checkpoints", "landscape", "plots")


def is_trial_id(text: str) -> bool:
    """Return whether a text is a stage and eight hexadecimal digits, "lr-range-0a1b2c3d"."""
    return re.fullmatch(_TRIAL, text) is not None


class RunPaths:
    """The files of a run directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.experiment = path / "experiment.yaml"  # resolved, as run
        self.tuned = path / "tuned.yaml"  # the experiment with the decided values
        self.comparisons = path / "comparisons.json"  # what the decisions rest on
        self.manifest = path / "manifest.json"  # versions, device, command, seed, git state
        self.timings = path / "timings.json"  # measured costs that steered a decision
        self.results_csv = path / "results.csv"  # one row a trial
        self.decisions_csv = path / "decisions.csv"  # one row a decision

    def curve(self, trial: str) -> Path:
        """Return where the history of a trial is, by its id."""
        return self._file("curves", trial, ".csv")

    def log(self, trial: str) -> Path:
        """Return where the output of a trial is, or why it failed."""
        return self._file("logs", trial, ".txt")

    def snapshot(self, trial: str) -> Path:
        """Return where the state of a trial in flight is, or of a run that others branch from.

        Args:
            trial: An id, a digest, or "DIGEST@ITERATION".
        """
        return self._file("snapshots", trial, ".pt")

    def checkpoint(self, trial: str) -> Path:
        """Return where the trained weights of a trial are."""
        return self._file("checkpoints", trial, ".pt")

    def look(self, name: str) -> Path:
        """Return where a look at the landscape is, by its name: "hessian-final-0a1b2c3d"."""
        return self.path / "landscape" / f"{name}.csv"

    def walked(self, trial: str) -> Path:
        """Return where the weights along a trial are that was walked."""
        return self._file("landscape", trial, ".pt")

    def remove_unfinished(self) -> None:
        """Remove what killed writers left half-written, and nothing else."""
        for folder in (self.path, *(self.path / name for name in _FOLDERS)):
            for part in folder.glob(f"*{UNFINISHED}"):
                part.unlink(missing_ok=True)

    def _file(self, folder: str, trial: str, suffix: str) -> Path:
        """Return a file of a trial.

        Raises:
            InputError: The name could lead out of the folder: someone edited what it was read from.
        """
        if not re.fullmatch(_STATE, trial):
            raise InputError(
                f"{self.path}: {trial!r} belongs to no trial; a trial is named by its stage and "
                "eight hexadecimal digits, lr-range-0a1b2c3d; restore the run directory's files"
            )
        return self.path / folder / f"{trial}{suffix}"
