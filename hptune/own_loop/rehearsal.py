"""A rehearsal: a few iterations of a loop and one reading, to see what it does and how fast."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from hptune.errors import TrialError
from hptune.own_loop.schedule import Schedule
from hptune.own_loop.told import Told

# So many iterations at least and at most; it stops between them after some seconds.
FEWEST, MOST, SECONDS = 4, 100, 0.2


class Rehearsal:
    """How far a rehearsal is.

    Args:
        iterations: Of the run that is rehearsed.
        ranks: Processes that run the loop together: those of several read at the same iteration.
    """

    def __init__(self, iterations: int, ranks: int = 1) -> None:
        self._iterations, self._together = iterations, ranks > 1
        self._times: list[float] = []

    def took(self, seconds: float) -> None:
        """Take in the time of an iteration."""
        self._times.append(seconds)

    def reads_after(self, done: int) -> bool:
        """Say whether the validation set is read after so many iterations, which are enough then."""
        long = self._together or sum(self._times) > SECONDS
        return done >= min(self._iterations, FEWEST if long else MOST)

    def is_over(self, done: int) -> bool:
        """Say whether the loop had its chance to read."""
        return done >= min(self._iterations, MOST)

    def seen(
        self,
        told: Told,
        schedules: Sequence[Schedule],
        *,
        reads: Collection[str],
        saves: bool,
        optimizer: str | None,
    ) -> dict[str, Any]:
        """Return what it has shown, as plain values.

        Raises:
            TrialError: The loop did not read the validation set.
        """
        if not any("val_loss" in values for values in told.readings.values()):
            raise TrialError(
                "the loop logged no val_loss in its first iterations; must log it where "
                "trial.evaluate_now is true; add `if trial.evaluate_now: trial.log(val_loss=...)` inside "
                "the loop over batches, which go on pass after pass"
            )
        last = told.readings[max(told.readings)]
        parameters = [p for made in schedules for p in made.parameters if p.requires_grad]
        return {
            "metrics": [n[4:] for n in last if n.startswith("val_") and n != "val_loss"],
            "reads": sorted(reads),
            "saves": saves,
            "optimizer": optimizer,
            "has_momentum": "momentum" in reads,
            "has_betas": any(made.has_betas for made in schedules),
            "parameters": sum(p.numel() for p in parameters),
            "weight_layers": sum(p.ndim > 1 for p in parameters),
            "loss": told.losses[0] if told.losses else last["val_loss"],
            # The first iteration starts what the others find; of the rest the fastest counts.
            "iteration_seconds": min(self._times[1:] or [told.training_seconds]),
            "evaluation_seconds": told.reading_seconds,
        }
