"""What a trial does beside plain steps: noise before one, averages of weights and jumps after it."""

from __future__ import annotations

from typing import Any

from torch import nn

from hptune.results.records import Trial
from hptune.training.averaging import Average
from hptune.training.gradient_noise import GradientNoise
from hptune.training.introspection import jumps_of


class Methods:
    """The methods that are on in a trial's settings, each heard of every iteration.

    Args:
        model: On its device.
        trial: Has the settings.
        average: Of the weights, where they are averaged.

    Attributes:
        has_noise: Whether gradients get noise before a step, as they are without scaling.
    """

    def __init__(self, model: nn.Module, trial: Trial, average: Average | None) -> None:
        noisy, self._average = trial.settings.gradient_noise.eta > 0, average
        self._noise = GradientNoise(model, trial) if noisy else None
        self._jumps = jumps_of(model, trial)
        self.has_noise, self._iteration = noisy, 0

    @property
    def branches(self) -> bool:
        """Whether a run that goes on from another's snapshot has what they need."""
        return self._jumps is None

    def begin(self, iteration: int) -> None:
        """Hear which iteration is the next."""
        self._iteration = iteration
        if self._jumps is not None and not iteration:
            self._jumps.after(0)

    def before_step(self) -> None:
        """Change the gradients."""
        if self._noise is not None:
            self._noise.add(self._iteration)

    def after_step(self) -> None:
        """Take in the weights, or change them, after the next iteration."""
        done, self._iteration = self._iteration, self._iteration + 1
        if self._jumps is not None:
            self._jumps.after(self._iteration)
        if self._average is not None:
            self._average.update(done)

    def state(self) -> dict[str, Any]:
        """Return what `load` takes back."""
        return {
            name: one.state()
            for name, one in (("average", self._average), ("jumps", self._jumps))
            if one is not None
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a state of this trial, or of one that had no such method."""
        if self._average is not None and state.get("average"):
            self._average.load(state["average"])
        if self._jumps is not None and state.get("jumps"):
            self._jumps.load(state["jumps"])
