"""A trial as a loop of the user's own sees it: what to train with, when to read, where to tell."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from hptune.errors import InputError, TrialError, did_you_mean
from hptune.own_loop.assignment import Assignment
from hptune.own_loop.schedule import Optimizer, Schedule
from hptune.own_loop.state import load_parts, state_of
from hptune.results.divergence import DivergenceMonitor, divergence_message
from hptune.results.records import Status
from hptune.training.device import random_state, restore_random_state
from hptune.training.snapshot import load_state, save_state

BLOCK = 64  # losses that stay on the device: reading one waits for it
# A rehearsal takes so many iterations at least and at most, and stops between them after some seconds.
REHEARSED, REHEARSED_SECONDS = (4, 100), 0.2
SAVE_SECONDS = 5.0  # between two snapshots at least
SAVE_SHARE = 0.02  # of the time: what writing them may take
_VALUES = ("train_loss", "val_loss")


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


class Trial:
    """What one training run is to do; iterate over it, once an optimizer step.

        def train(trial):
            model = Net()
            optimizer = torch.optim.SGD(model.parameters(), lr=trial.lr)
            schedule = trial.schedule(optimizer)
            for x, y in trial.batches(loader):
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step(); optimizer.zero_grad(); schedule.step()
                trial.log(train_loss=loss)
                if trial.evaluate_now:
                    trial.log(val_loss=..., val_accuracy=...)

    Attributes:
        iterations: Optimizer steps of the run.
        iterations_per_epoch: At this trial's batch size.
        iteration: The one in progress, from 0; -1 before the first.
        args: The loop's own hyper-parameters.
        device: Where hptune was asked to train.
    """

    def __init__(self, assignment: Assignment, sink: Sink) -> None:
        self._assignment, self._sink, self._trial = assignment, sink, assignment.trial
        self.iterations = self._trial.iterations
        self.iterations_per_epoch = assignment.per_epoch
        self.args = dict(assignment.args)
        self.device = torch.device(assignment.device)
        self.iteration = -1
        self._rates, self._evaluate_at = assignment.rates(), assignment.evaluate_at()
        self._monitor = DivergenceMonitor(self._trial.settings.divergence_factor)
        self._schedules: list[Schedule] = []
        self._reference = 0.0
        self._reads: set[str] = set()
        self._pending: list[tuple[int, Tensor | float]] = []  # losses that nobody has read yet
        self._losses: list[float] = []  # one an iteration, as told
        self._readings: dict[int, dict[str, float]] = {}
        self._asked = self._saved_at = -1
        self._loads = self._is_over = False
        self._seconds = self._save_took = 0.0
        self._mark = self._last_save = time.perf_counter()
        self._times: list[float] = []  # of a rehearsal's iterations
        self._reading_took = 0.0
        self._started = False
        self._kind: str | None = None  # of the first optimizer

    # What to train with

    @property
    def lr(self) -> float:
        """Maximum LR of the policy."""
        return self._read("lr")

    @property
    def momentum(self) -> float:
        """Maximum momentum, or beta1, of the policy."""
        return self._read("momentum")

    @property
    def weight_decay(self) -> float:
        """Weight decay."""
        return self._read("weight_decay")

    @property
    def batch_size(self) -> int:
        """Total batch size."""
        return int(self._read("batch_size"))

    @property
    def seed(self) -> int:
        """Seed of the run; the generators of torch, NumPy and Python have it already."""
        return self._trial.seed

    @property
    def epochs(self) -> float:
        """Length of the run in epochs."""
        return self.iterations / self.iterations_per_epoch

    @property
    def epoch(self) -> int:
        """The epoch of the iteration in progress, from 0."""
        return max(self.iteration, 0) // self.iterations_per_epoch

    def schedule(self, *optimizers: Optimizer, momentum: bool = True) -> Schedule:
        """Return what sets LR, momentum and weight decay of optimizers, and has set the first ones.

        Call its `step` after each step of the optimizers. The first group of the first optimizer
        gets the trial's LR, every other keeps its ratio to it.

        Args:
            optimizers: Of the loop; or call this once for each.
            momentum: Whether momentum, or beta1, follows the trial too.
        """
        first = float(optimizers[0].param_groups[0]["lr"]) if optimizers else 0.0
        self._reference = self._reference or first
        if not self._reference > 0:
            raise InputError(
                f"trial.schedule: LR {first:g} in the optimizer's first group; must be above 0, for "
                "the groups keep their ratios to it; give lr=trial.lr"
            )
        made = Schedule(
            optimizers,
            self._rates,
            weight_decay=self._trial.weight_decay,
            reference=self._reference,
            moves_momentum=momentum,
        )
        made.go_to(self.iteration + 1)
        self._reads |= {"lr", "momentum", "weight_decay", "schedule"}
        self._schedules.append(made)
        self._kind = self._kind or _name_of(optimizers[0])
        return made

    # Where it is

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        if not self._started:
            self._begin()
        self._end_iteration()
        if self.iteration + 1 >= self.iterations:
            self._is_over = True
            raise StopIteration
        self.iteration += 1
        return self.iteration

    def batches(self, loader: Any) -> Iterator[Any]:
        """Yield the batches of a loader, pass after pass, one for each iteration of the trial.

        The order of a pass depends on seed and epoch alone, so trials are paired, and one that is
        resumed goes on with the batches that it has not seen.
        """
        if not self._started:
            self._begin()
        length = len(loader) if hasattr(loader, "__len__") else None
        if length == 0:
            raise InputError("trial.batches: the loader has no batches; give data that fill one")
        epoch, skip = divmod(self.iteration + 1, length) if length else (0, 0)
        while True:
            with self._order_of(epoch):
                set_epoch = getattr(getattr(loader, "sampler", None), "set_epoch", None)
                if set_epoch is not None:
                    set_epoch(epoch)
                passing = iter(loader)
                batch = next(passing, passing)
            while batch is not passing:
                if skip:
                    skip -= 1
                elif next(self, None) is None:
                    return
                else:
                    yield batch
                batch = next(passing, passing)
            epoch += 1

    @property
    def evaluate_now(self) -> bool:
        """Whether the validation set is to be read after this iteration's step."""
        rehearses = self._assignment.rehearsal
        due = self._has_rehearsed() if rehearses else self.iteration in self._evaluate_at
        if due and self._asked != self.iteration:
            self._asked = self.iteration
            self._flush()  # which waits for the device, so that the reading is not timed as training
            self._stop_clock()
        return due

    @property
    def test_now(self) -> bool:
        """Whether this is the end of a run whose test values may count: log test_loss and the like."""
        return self._assignment.tests and self.iteration == self.iterations - 1

    # What it tells

    def log(self, train_loss: Tensor | float | None = None, **values: Tensor | float) -> None:
        """Tell values: train_loss each iteration, val_loss and val_NAME at a reading, test_NAME at the end.

        A training loss that is a tensor stays on its device until it has to be read.

        Raises:
            TrialEnded: The run has diverged.
            InputError: A name or a value that cannot be taken.
        """
        if self.iteration < 0:
            raise InputError(
                "trial.log: before the first iteration; must be within the loop; iterate over the "
                "trial, `for iteration in trial`"
            )
        if train_loss is not None:
            if isinstance(train_loss, Tensor):
                train_loss = train_loss.detach().clone()
            if self._pending and self._pending[-1][0] == self.iteration:
                self._pending[-1] = self.iteration, train_loss
            else:
                self._pending.append((self.iteration, train_loss))
        if not values:
            return
        self._flush()
        if self._asked != self.iteration:
            self._stop_clock()
        read = {name: _checked(name, value) for name, value in values.items()}
        self._readings.setdefault(self.iteration, {}).update(read)
        self._sink.reading(self.iteration, read)
        now = time.perf_counter()
        self._reading_took += now - self._mark
        self._mark = now
        if not math.isfinite(read.get("val_loss", 0.0)):
            message = f"the validation loss after iteration {self.iteration} is not finite"
            self._end(Status.DIVERGED, message)

    def save(self, **parts: Any) -> None:
        """Keep the state of a run, as often as that costs little; call it after each reading, or step.

        A run that was broken off then goes on where it was saved last, and one that is beaten by
        others half-way is stopped there.

        Args:
            parts: By name, all that the loop needs to go on: models, optimizers, scalers, loaders or
                whatever has `state_dict`; else tensors and plain values.
        """
        path, done = self._assignment.snapshot, self.iteration + 1
        began = time.perf_counter()
        interval = max(SAVE_SECONDS, self._save_took / SAVE_SHARE)
        due = done == self._assignment.until or (done == self.iterations and self._assignment.tests)
        if path is None or not (due or began - self._last_save > interval):
            if self._assignment.rehearsal:
                self._saved_at = done
                for name, part in parts.items():
                    state_of(name, part)
            return
        self._flush()
        state = {
            "trial": self._trial.digest,
            "iteration": done,
            "parts": {name: state_of(name, part) for name, part in parts.items()},
            "random": random_state(self.device),
            "history": {
                "losses": self._losses,
                "readings": self._readings,
                "seconds": self._seconds,
            },
        }
        save_state(path, state)
        self._saved_at, self._last_save = done, time.perf_counter()
        self._save_took = self._last_save - began

    def load(self, **parts: Any) -> dict[str, Any]:
        """Go on where a run was saved that was broken off; call it before the first iteration.

        Args:
            parts: As given to `save`; those with `load_state_dict` get their state back.

        Returns:
            The saved parts that are tensors or plain values; empty where the run begins anew.
        """
        self._loads = True
        state = load_state(self._assignment.snapshot)
        if state is None or state.get("trial") != self._trial.digest or "parts" not in state:
            return {}
        plain = load_parts(state["parts"], parts)
        history = state["history"]
        self._losses, self._readings = history["losses"], history["readings"]
        self._seconds, self.iteration = history["seconds"], state["iteration"] - 1
        self._saved_at = state["iteration"]
        self._monitor.update([loss for loss in self._losses if math.isfinite(loss)])
        for made in self._schedules:
            made.go_to(state["iteration"])
        restore_random_state(state["random"], self.device)
        self._begin(history)
        return plain

    # How it ends

    def finish(self) -> None:
        """Conclude a loop that has returned.

        Raises:
            TrialError: It has not done what was asked.
            TrialEnded: It ends as diverged.
        """
        if not self._started:
            raise TrialError(
                "the loop returned without an iteration; must run trial.iterations of them; iterate "
                "over the trial, `for batch in trial.batches(loader)`"
            )
        if not self._is_over:
            logged = self._pending[-1][0] + 1 if self._pending else len(self._losses)
            if logged < self.iterations and self.iteration + 1 < self.iterations:
                raise TrialError(
                    f"the loop ended after {logged or self.iteration} of {self.iterations} iterations; "
                    "must run all of them, pass after pass over the data; use `for batch in "
                    "trial.batches(loader)`, which begins the loader anew"
                )
            self._end_iteration()
        if not any("val_loss" in values for values in self._readings.values()):
            raise TrialError(
                "the loop logged no val_loss; must log it where trial.evaluate_now is true; add "
                "trial.log(val_loss=...)"
            )
        self._sink.ended(Status.COMPLETE, "")

    def _end(self, status: Status, message: str) -> None:
        self._is_over = True
        self._sink.ended(status, message)
        raise TrialEnded(0)

    def _begin(self, history: Mapping[str, Any] | None = None) -> None:
        self._started = True
        self._sink.began(history)
        self._mark = self._last_save = time.perf_counter()

    def _end_iteration(self) -> None:
        """Do what is due between two iterations."""
        at, done = self.iteration, self.iteration + 1
        if at < 0 or self._is_over:
            return
        if self._asked == at and "val_loss" not in self._readings.get(at, {}):
            raise TrialError(
                f"no val_loss was logged at iteration {at}, where trial.evaluate_now was true; must "
                "be logged before the next iteration; add trial.log(val_loss=...)"
            )
        if self._assignment.rehearsal:
            self._flush()
            now = time.perf_counter()
            self._times.append(now - self._mark)
            self._mark = now
            if self._asked == at or done >= min(REHEARSED[1], self.iterations):
                self._end_rehearsal()
        elif len(self._pending) >= BLOCK or done >= self.iterations:
            self._flush()
        if self._stops_early():
            self._end(Status.COMPLETE, f"stopped early after iteration {at}")
        paused = done == self._assignment.until and done < self.iterations
        if paused and self._loads and self._saved_at == done:
            self._end(Status.PRUNED, f"stopped after iteration {at}")

    def _has_rehearsed(self) -> bool:
        """Say whether a rehearsal has taken as many iterations as it needs, but for the reading."""
        done, (fewest, most) = self.iteration + 1, REHEARSED
        long = sum(self._times) > REHEARSED_SECONDS
        return done >= min(self.iterations, fewest if long else most)

    def _end_rehearsal(self) -> None:
        """End before the code after the loop, which may overwrite what a user has."""
        if not any("val_loss" in values for values in self._readings.values()):
            raise TrialError(
                "the loop logged no val_loss in its first iterations; must log it where "
                "trial.evaluate_now is true; add `if trial.evaluate_now: trial.log(val_loss=...)`"
            )
        self._sink.rehearsed(self._seen())
        self._end(Status.COMPLETE, "")

    def _stops_early(self) -> bool:
        patience = self._trial.settings.early_stopping
        if patience is None or self._asked != self.iteration:
            return False
        read = [v["val_loss"] for v in self._readings.values() if "val_loss" in v]
        return len(read) - 1 - read.index(min(read)) >= patience

    def _flush(self) -> None:
        """Read the losses that are still on the device, and see whether they diverge."""
        if not self._pending:
            return
        tensors = [loss for _, loss in self._pending if isinstance(loss, Tensor)]
        read = iter(
            torch.stack([t.reshape(()).float() for t in tensors]).tolist() if tensors else ()
        )
        values = [
            (at, next(read) if isinstance(loss, Tensor) else float(loss))
            for at, loss in self._pending
        ]
        self._pending.clear()
        told: list[float] = []
        for at, loss in values:
            # An iteration without a loss of its own has that of the one before.
            before = told[-1] if told else self._losses[-1] if self._losses else loss
            missing = at - len(self._losses) - len(told)
            told += [before] * missing + [loss]
        self._stop_clock()
        known = len(self._losses)
        self._losses += told
        diverged_at = self._monitor.update(told)
        if diverged_at is not None:
            del self._losses[diverged_at + 1 :]
        self._sink.losses(self._losses[known:], self._seconds)
        if diverged_at is not None:
            lr, factor = self._rates[diverged_at][0], self._monitor.factor
            self._end(Status.DIVERGED, divergence_message(self._losses, lr, factor))

    def _stop_clock(self) -> None:
        now = time.perf_counter()
        self._seconds += now - self._mark
        self._mark = now

    @contextmanager
    def _order_of(self, epoch: int) -> Iterator[None]:
        """Draw what is drawn in the block by seed and epoch alone."""
        before = torch.get_rng_state()
        torch.default_generator.manual_seed((self._trial.seed * 1_000_003 + epoch) % 2**63)
        try:
            yield
        finally:
            torch.set_rng_state(before)

    def _read(self, name: str) -> float:
        self._reads.add(name)
        value: float = getattr(self._trial, name)
        return value

    def _seen(self) -> dict[str, Any]:
        """Return what a rehearsal has shown, as plain values."""
        last = self._readings[max(self._readings)]
        parameters = [p for made in self._schedules for p in made.parameters]
        return {
            "metrics": [n[4:] for n in last if n.startswith("val_") and n != "val_loss"],
            "reads": sorted(self._reads),
            "saves": self._loads and self._saved_at >= 0,
            "optimizer": getattr(self, "_kind", None),
            "has_momentum": "momentum" in self._reads
            and (not self._schedules or any(made.has_momentum for made in self._schedules)),
            "has_betas": any(made.has_betas for made in self._schedules),
            "parameters": sum(p.numel() for p in parameters if p.requires_grad),
            "weight_layers": sum(p.ndim > 1 for p in parameters if p.requires_grad),
            "loss": self._losses[0] if self._losses else last["val_loss"],
            # The first iteration starts what the others find; of the rest the fastest counts.
            "iteration_seconds": min(self._times[1:-1] or [self._seconds]),
            "evaluation_seconds": self._reading_took,
        }


def _checked(name: str, value: Tensor | float) -> float:
    """Return a value that was logged as a number.

    Raises:
        InputError: Its name or what it is.
    """
    if not name.startswith(("val_", "test_")):
        raise InputError(
            f"trial.log: {name}; must be train_loss, val_loss, val_NAME or test_NAME; "
            + did_you_mean(name, _VALUES, f"write val_{name}")
        )
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(
            f"trial.log: {name} is a {type(value).__name__}; must be one number; log its mean"
        ) from None


def _name_of(optimizer: Any) -> str:
    """Return the name of an optimizer's class in small letters, of the one within a wrapper."""
    inner = getattr(optimizer, "optimizer", None)
    if inner is not None and hasattr(inner, "param_groups"):
        return _name_of(inner)
    return type(optimizer).__name__.lower()
