"""A trial as a loop of the user's own sees it: what to train with, when to read, where to tell."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from hptune.errors import InputError, TrialError
from hptune.own_loop.assignment import Assignment
from hptune.own_loop.passes import batches_of
from hptune.own_loop.rehearsal import Rehearsal
from hptune.own_loop.schedule import Optimizer, Schedule, name_of
from hptune.own_loop.state import load_parts, state_of
from hptune.own_loop.told import Sink, Told
from hptune.results.records import Status
from hptune.training.device import random_state, restore_random_state
from hptune.training.snapshot import load_state, save_state

SAVE_SECONDS = 5.0  # between two snapshots at least
SAVE_SHARE = 0.02  # of the time: what writing them may take
_WHEN = "must be where trial.evaluate_now is true; add trial.log(val_loss=...) there"


class Trial:
    """What one training run is to do; iterate over it, once an optimizer step.

        def train(trial):
            model, optimizer = ...
            schedule = trial.schedule(optimizer)
            for x, y in trial.batches(loader):
                ...; optimizer.step(); schedule.step()
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

    def __init__(
        self, assignment: Assignment, sink: Sink, *, rank: int = 0, ranks: int = 1
    ) -> None:
        self._assignment, self._trial, self._speaks = assignment, assignment.trial, rank == 0
        self.iterations = self._trial.iterations
        self.iterations_per_epoch = assignment.per_epoch
        self.args = dict(assignment.args)
        self.device = torch.device(assignment.device)
        self.iteration = -1
        self._rates, self._evaluate_at = assignment.rates(), assignment.evaluate_at()
        self._told = Told(assignment, self._rates, sink)
        self._rehearsal = Rehearsal(self.iterations, ranks) if assignment.rehearsal else None
        self._schedules: list[Schedule] = []
        self._reference = 0.0  # the first LR of the first optimizer
        self._optimizer: str | None = None
        self._reads: set[str] = set()
        self._asked = self._saved_at = -1
        self._started = self._is_over = self._loads = False
        self._save_took, self._last_save = 0.0, time.perf_counter()

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

        Raises:
            InputError: There is no LR to keep ratios to.
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
        self._optimizer = self._optimizer or name_of(optimizers[0])
        return made

    # Where it is

    def __iter__(self) -> Iterator[int]:
        at = self.iteration
        used = max(
            self._told.iterations, self._asked + 1, *(s.last_epoch for s in self._schedules), 0
        )
        if self._started and not self._is_over and at >= used:
            self.iteration -= 1  # `zip(trial, loader)` took it when a pass was over
        return self

    def __next__(self) -> int:
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
        self._begin()
        for batch in batches_of(loader, seed=self._trial.seed, first=self.iteration + 1):
            if next(self, None) is None:
                return
            yield batch

    @property
    def evaluate_now(self) -> bool:
        """Whether the validation set is to be read after this iteration's step."""
        if self._rehearsal is not None:
            due = self._rehearsal.reads_after(self.iteration + 1)
        else:
            due = self.iteration in self._evaluate_at
        if due and self._asked != self.iteration:
            self._asked = self.iteration
            self._told.flush()  # which waits for the device: the reading is not timed as training
            self._told.stop_clock()
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
                "trial.log: before the first iteration; must be within the loop, `for batch in "
                "trial.batches(loader)`; move it there"
            )
        if not self._speaks:
            return
        if train_loss is not None:
            self._told.loss(self.iteration, train_loss)
        if values:
            self._told.read(self.iteration, values)

    def save(self, **parts: Any) -> None:
        """Keep the state of a run, as often as that costs little; call it after each reading, or step.

        A run that was broken off then goes on where it was saved last, and one that is beaten by
        others half-way is stopped there.

        Args:
            parts: By name, all that the loop needs to go on: models, optimizers, scalers, loaders or
                whatever has `state_dict`; else tensors and plain values.

        Raises:
            InputError: A part is nothing of that.
        """
        path, done = self._assignment.snapshot, self.iteration + 1
        if self._rehearsal is not None:
            self._saved_at = done
            for name, part in parts.items():
                state_of(name, part)
            return
        if not self._speaks:
            self._saved_at = done
            return
        began = time.perf_counter()
        interval = max(SAVE_SECONDS, self._save_took / SAVE_SHARE)
        due = done == self._assignment.until or (done == self.iterations and self._assignment.tests)
        if path is None or not (due or began - self._last_save > interval):
            return
        self._told.flush()
        state = {
            "trial": self._trial.digest,
            "iteration": done,
            "parts": {name: state_of(name, part) for name, part in parts.items()},
            "random": random_state(self.device),
            "history": self._told.history,
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
        self.iteration, self._saved_at = state["iteration"] - 1, state["iteration"]
        for made in self._schedules:
            made.go_to(state["iteration"])
        restore_random_state(state["random"], self.device)
        self._begin(state["history"])
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
                "the loop returned without an iteration; must run trial.iterations of them; write "
                "`for batch in trial.batches(loader)`"
            )
        if not self._is_over:
            # Of an iteration that took no batch any more nothing was told.
            done = self._told.iterations or self.iteration + (not self._speaks)
            if (
                max(done, self.iteration + 1 if self._asked == self.iteration else 0)
                < self.iterations
            ):
                raise TrialError(
                    f"the loop ended after {done} of {self.iterations} iterations; must run all, pass "
                    "after pass; `for batch in trial.batches(loader)` begins the loader anew"
                )
            self._end_iteration()
        if not self._speaks:
            return
        if not any("val_loss" in values for values in self._told.readings.values()):
            raise TrialError(f"the loop logged no val_loss; {_WHEN}")
        self._told.flush()
        self._told.sink.ended(Status.COMPLETE, "")

    def _begin(self, history: dict[str, Any] | None = None) -> None:
        if not self._started:
            self._started = True
            self._told.begin(history)
            self._last_save = time.perf_counter()

    def _end_iteration(self) -> None:
        """Do what is due between two iterations."""
        at, done, told = self.iteration, self.iteration + 1, self._told
        if at < 0 or self._is_over:
            return
        if self._speaks and self._asked == at and "val_loss" not in told.readings.get(at, {}):
            raise TrialError(f"no val_loss was logged at iteration {at}, when it was due; {_WHEN}")
        if self._rehearsal is not None:
            told.flush()
            self._rehearsal.took(told.stop_clock())
            if not self._speaks:  # it is ended with the one that does
                return
            if self._asked == at or self._rehearsal.is_over(done):
                self._end_rehearsal(self._rehearsal)
        elif told.waits_long or done >= self.iterations:
            told.flush()
        if self._asked == at and told.stops_early():
            told.end(Status.COMPLETE, f"stopped early after iteration {at}")
        paused = done == self._assignment.until and done < self.iterations
        if paused and self._loads and self._saved_at == done:
            told.end(Status.PRUNED, f"stopped after iteration {at}")

    def _end_rehearsal(self, rehearsal: Rehearsal) -> None:
        """End before the code after the loop, which may overwrite what a user has."""
        seen = rehearsal.seen(
            self._told,
            self._schedules,
            reads=self._reads,
            saves=self._loads and self._saved_at >= 0,
            optimizer=self._optimizer,
        )
        self._told.sink.rehearsed(seen)
        self._told.end(Status.COMPLETE)

    def _read(self, name: str) -> float:
        self._reads.add(name)
        value: float = getattr(self._trial, name)
        return value
