"""What a search may cost, in epochs, and what it has cost so far."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from hptune.results.records import Trial


@dataclass
class Budget:
    """Epochs that the trials of a search may take, and have taken; each trial counts once.

    Attributes:
        allowed: Epochs up to now; the procedure raises it stage by stage.
        in_time: Says whether so many more epochs end in time, where there is a limit to that.
    """

    allowed: float = math.inf
    in_time: Callable[[float], bool] = lambda epochs: True
    _epochs: dict[str, float] = field(default_factory=dict, init=False)

    @property
    def spent(self) -> float:
        """Epochs of all trials so far."""
        return sum(self._epochs.values())

    def count(self, trial: Trial, epochs: float) -> None:
        """Count the epochs of a trial, also of one that was found in the run directory."""
        self._epochs[trial.id] = epochs

    def has(self, trial: Trial) -> bool:
        """Say whether a trial is counted already."""
        return trial.id in self._epochs

    def affords(self, epochs: float) -> bool:
        """Say whether so many more epochs may be spent."""
        within = self.spent + epochs <= self.allowed * (1 + 1e-9)
        return not epochs or (within and self.in_time(epochs))
