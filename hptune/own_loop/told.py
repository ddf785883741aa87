"""What a loop of the user's own has told so far: losses, readings, and the time that it has trained."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, NoReturn, Protocol

import torch
from torch import Tensor

from hptune.errors import InputError, did_you_mean
from hptune.own_loop.assignment import Assignment, Rates
from hptune.results.divergence import DivergenceMonitor, divergence_message
from hptune.results.records import Status

BLOCK = 64  # losses that stay on the device: reading one waits for it


class TrialEnded(SystemExit):
    """Ends a loop from within: it diverged, is beaten, or has done what was asked.

    No Exception, so that code which goes on after any error lets it through.
    """


class Sink(Protocol):
    """Takes in what a loop tells."""

    def began(self, history: Mapping[str, Any] | None) -> None:
        """Take in that it begins, where it goes on with what it had told before."""

    def losses(self, values: list[float], seconds: float) -> None:
        """Take in the next training losses, and the seconds of training so far."""

    def reading(self, iteration: int, values: Mapping[str, float]) -> None:
        """Take in validation or test values after an iteration."""

    def ended(self, status: Status, message: str) -> None:
        """Take in how it ended."""

    def rehearsed(self, seen: Mapping[str, Any]) -> None:
        """Take in what a rehearsal has shown."""


class Told:
    """Takes in losses without waiting for the device, and hands on what has been read.

    Args:
        assignment: Of the loop.
        rates: LR and momentum of every iteration.
        sink: Gets what was read.

    Attributes:
        losses: One an iteration, as far as they were read.
        readings: By iteration, the values by name.
        training_seconds: Readings of the validation set do not count.
        reading_seconds: Of the readings.
    """

    def __init__(self, assignment: Assignment, rates: Rates, sink: Sink) -> None:
        self.sink, self._rates = sink, rates
        self._monitor = DivergenceMonitor(assignment.trial.settings.divergence_factor)
        self._patience = assignment.trial.settings.early_stopping
        self._waiting: list[tuple[int, Tensor | float]] = []
        self.losses: list[float] = []
        self.readings: dict[int, dict[str, float]] = {}
        self.training_seconds = self.reading_seconds = 0.0
        self._mark = time.perf_counter()

    def begin(self, history: Mapping[str, Any] | None = None) -> None:
        """Start the clock, with what an earlier part of the run had told."""
        if history is not None:
            self.losses, self.readings = history["losses"], history["readings"]
            self.training_seconds = history["seconds"]
            self._monitor.update([loss for loss in self.losses if math.isfinite(loss)])
        self.sink.began(history)
        self._mark = time.perf_counter()

    @property
    def history(self) -> dict[str, Any]:
        """What `begin` takes."""
        known = {"losses": self.losses, "readings": self.readings}
        return known | {"seconds": self.training_seconds}

    @property
    def iterations(self) -> int:
        """How many iterations have told a loss, or come before one that has."""
        return self._waiting[-1][0] + 1 if self._waiting else len(self.losses)

    @property
    def waits_long(self) -> bool:
        """Whether the losses that nobody has read yet are a block."""
        return len(self._waiting) >= BLOCK

    def loss(self, at: int, loss: Tensor | float) -> None:
        """Take in the training loss of an iteration; a later one takes its place until it is read.

        Raises:
            InputError: It is no number.
        """
        if isinstance(loss, Tensor):
            if loss.numel() != 1:
                raise _not_one_number("train_loss", f"tensor of shape {tuple(loss.shape)}")
            # A copy, for a captured graph writes its next loss into the same memory.
            loss = loss.detach().clone()
            if loss.ndim:
                loss = loss.reshape(())
        else:
            loss = _as_float("train_loss", loss)
        if self._waiting and self._waiting[-1][0] == at:
            self._waiting[-1] = at, loss
        elif at < len(self.losses):
            return
        else:
            self._waiting.append((at, loss))

    def read(self, at: int, values: Mapping[str, Tensor | float]) -> None:
        """Take in validation or test values after an iteration.

        Raises:
            TrialEnded: The run has diverged.
            InputError: A name or a value that cannot be taken.
        """
        read = {name: _number(name, value) for name, value in values.items()}
        self.flush()
        self.readings.setdefault(at, {}).update(read)
        self.sink.reading(at, read)
        now = time.perf_counter()
        self.reading_seconds += now - self._mark
        self._mark = now
        if not math.isfinite(read.get("val_loss", 0.0)):
            self.end(Status.DIVERGED, f"the validation loss after iteration {at} is not finite")

    def flush(self) -> None:
        """Read the losses that are still on the device, and see whether they diverge.

        Raises:
            TrialEnded: They do.
        """
        if not self._waiting:
            return
        tensors = [loss for _, loss in self._waiting if isinstance(loss, Tensor)]
        read = iter(torch.stack(tensors).tolist() if tensors else ())
        known = len(self.losses)
        for at, loss in self._waiting:
            value = next(read) if isinstance(loss, Tensor) else loss
            # Iterations without a loss of their own have that of the one before.
            if at > len(self.losses):
                before = self.losses[-1] if self.losses else value
                self.losses += [before] * (at - len(self.losses))
            self.losses.append(value)
        self._waiting.clear()
        self.stop_clock()
        diverged_at = self._monitor.update(self.losses[known:])
        if diverged_at is not None:
            del self.losses[diverged_at + 1 :]
        self.sink.losses(self.losses[known:], self.training_seconds)
        if diverged_at is not None:
            lr, factor = self._rates[diverged_at][0], self._monitor.factor
            self.end(Status.DIVERGED, divergence_message(self.losses, lr, factor))

    def stop_clock(self) -> float:
        """Count the time up to now as training; return how much it was, seconds."""
        now = time.perf_counter()
        taken, self._mark = now - self._mark, now
        self.training_seconds += taken
        return taken

    def stops_early(self) -> bool:
        """Say whether so many readings in a row, as the user allows, were no better than the best."""
        read = [v["val_loss"] for v in self.readings.values() if "val_loss" in v]
        if self._patience is None or not read:
            return False
        return len(read) - 1 - read.index(min(read)) >= self._patience

    def end(self, status: Status, message: str = "") -> NoReturn:
        """End the loop from within.

        Raises:
            TrialEnded: Always.
        """
        self.sink.ended(status, message)
        raise TrialEnded(0)


def _number(name: str, value: Tensor | float) -> float:
    """Return a value that was logged as a number.

    Raises:
        InputError: Its name, or what it is.
    """
    if not name.startswith(("val_", "test_")):
        raise InputError(
            f"trial.log: {name}; must be train_loss, val_loss, val_NAME or test_NAME; "
            + did_you_mean(name, ("train_loss", "val_loss"), f"write val_{name}")
        )
    return _as_float(name, value)


def _as_float(name: str, value: Any) -> float:
    try:
        return float(value.detach() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError):
        raise _not_one_number(name, type(value).__name__) from None


def _not_one_number(name: str, what: str) -> InputError:
    return InputError(f"trial.log: {name} is a {what}; must be one number; log its mean")
