"""A trial as a loop of the user's own sees it: what to train with, when to read, where to tell."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from hptune.errors import InputError, TrialError
from hptune.own_loop.assignment import Assignment
from hptune.own_loop.given import Given
from hptune.own_loop.passes import batches_of
from hptune.own_loop.rehearsal import Rehearsal
from hptune.own_loop.schedule import Optimizer, Schedule, name_of
from hptune.own_loop.snapshots import Snapshots
from hptune.own_loop.state import check_names, load_parts, state_of
from hptune.own_loop.told import Sink, Told
from hptune.results.records import Status
from hptune.training.device import random_state, reseed, restore_random_state

_WHEN = "must be where trial.evaluate_now is true; add trial.log(val_loss=...) there"


class Trial(Given):
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
        iterations, iterations_per_epoch, iteration, args, device: As of `Given`.
    """

    def __init__(
        self, assignment: Assignment, sink: Sink, *, rank: int = 0, ranks: int = 1
    ) -> None:
        super().__init__(assignment)
        self._assignment, self._speaks = assignment, rank == 0
        self._rates, self._evaluate_at = assignment.rates(), assignment.evaluate_at()
        self._told = Told(assignment, self._rates, sink)
        self._rehearsal = Rehearsal(self.iterations, ranks) if assignment.rehearsal else None
        self._schedules: list[Schedule] = []
        self._optimizer: str | None = None
        self._notes: list[str] = []
        self._asked = self._saved_at = -1
        self._started = self._is_over = False
        self._loads: list[str] | None = None  # what it asks for, where it does
        self._part, self._parts = 0, 1  # of an iteration: the batch whose turn it is, of how many
        self._snapshots = Snapshots(assignment)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        iterations_per_epoch: int | None = None,
        seed: int | None = None,
        device: str = "auto",
    ) -> Self:
        """Return the final run of a `tuned.yaml`, for a loop that runs without hptune.

        torch, NumPy and Python are seeded by it. Nothing is written; where the run diverges, a line
        says so and the script ends. What is logged is in `history`.

        Args:
            path: The file.
            iterations_per_epoch: Optimizer steps of an epoch at the file's batch size; None takes what
                the file says, as that of a tuned training loop does.
            seed: None takes the file's.
            device: As for `--device`.

        Raises:
            InputError: The file cannot be read, or a value is missing.
        """
        from hptune.own_loop.outside import Outside, assignment_in  # which reads experiments

        given = assignment_in(
            Path(path), iterations_per_epoch=iterations_per_epoch, seed=seed, device=device
        )
        reseed(given.trial.seed)
        return cls(given, Outside())

    def schedule(self, *optimizers: Optimizer, momentum: bool = True) -> Schedule:
        """Return what sets LR, momentum and weight decay of optimizers, and has set the first ones.

        Call its `step` after each step of the optimizers; more than once an iteration does no harm.
        The first group of the first optimizer gets the trial's LR, every other keeps its ratio to it.
        A group without weight decay beside groups with it stays without.

        Args:
            optimizers: Of the loop; or call this once for each.
            momentum: Whether momentum, or beta1, follows the trial too.

        Raises:
            InputError: It is no optimizer, or has no LR to keep ratios to.
        """
        made = Schedule(
            optimizers,
            self._rates,
            weight_decay=self._trial.weight_decay,
            reference=self._schedules[0].reference if self._schedules else None,
            moves_momentum=momentum,
            next_one=lambda: self.iteration + (self._part == self._parts - 1),
        )
        made.go_to(self.iteration + 1)
        self._reads |= {"lr", "schedule"}
        self._reads |= {"momentum"} if made.has_momentum else set()
        self._reads |= {"weight_decay"} if made.has_weight_decay else set()
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
        for made in self._schedules:
            if made.last_epoch != self.iteration:  # its step was left out
                made.go_to(self.iteration)
        return self.iteration

    def batches(self, loader: Any, *, accumulate: int = 1) -> Iterator[Any]:
        """Yield the batches of a loader, pass after pass, one for each iteration of the trial.

        The order of a pass depends on seed and epoch alone, so trials are paired, and one that is
        resumed goes on with the batches that it has not seen.

        Args:
            loader: A DataLoader, or anything else that can be iterated anew.
            accumulate: Batches of an iteration, whose gradients add up to one step.
        """
        self._begin()
        self._parts, first = accumulate, (self.iteration + 1) * accumulate
        passes = batches_of(loader, seed=self._trial.seed, first=first)
        for number, batch in enumerate(
            islice(passes, max(self.iterations * accumulate - first, 0))
        ):
            self._part = number % accumulate
            if self._part == 0 and next(self, None) is None:
                return
            yield batch
        next(self, None)  # which ends the last iteration

    @property
    def evaluate_now(self) -> bool:
        """Whether the validation set is to be read after this iteration's step."""
        if self._part < self._parts - 1:
            return False
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
    def history(self) -> list[dict[str, float]]:
        """What was logged so far, a row a reading: iteration, lr, train_loss and what was read."""
        losses, rates = self._told.losses, self._rates
        return [
            {"iteration": at, "lr": rates[at][0]}
            | ({"train_loss": losses[at]} if at < len(losses) else {})
            | values
            for at, values in self._told.readings.items()
        ]

    @property
    def evaluate_limit(self) -> int | None:
        """Validation examples that are enough for a reading, None for all: a range test reads often."""
        return self._trial.settings.evaluate_limit

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

    def note(self, text: str) -> None:
        """Tell the user something of the loop, once before the first trial."""
        self._notes.append(text)

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
        done = self.iteration + 1
        if self._rehearsal is not None:
            self._saved_at = done
            check_names(self._loads or (), parts)
            for name, part in parts.items():
                state_of(name, part)
        elif not self._speaks:
            self._saved_at = done
        elif self._snapshots.are_due(done):
            self._told.flush()
            history, random = self._told.history, random_state(self.device)
            self._snapshots.write(done, parts, history=history, random=random)
            self._saved_at = done

    def load(self, **parts: Any) -> dict[str, Any]:
        """Go on where a run was saved that was broken off; call it before the first iteration.

        Args:
            parts: As given to `save`; those with `load_state_dict` get their state back.

        Returns:
            The saved parts that are tensors or plain values; empty where the run begins anew.
        """
        self._loads = list(parts)
        state = self._snapshots.read()
        if state is None:
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
            read = self.iteration + 1 if self._asked == self.iteration else 0
            if max(done, read) < self.iterations:
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
            self._snapshots.begin()

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
        if paused and self._loads is not None and self._saved_at == done:
            told.end(Status.PRUNED, f"stopped after iteration {at}")

    def _end_rehearsal(self, rehearsal: Rehearsal) -> None:
        """End before the code after the loop, which may overwrite what a user has."""
        seen = rehearsal.seen(
            self._told,
            self._schedules,
            reads=self._reads,
            saves=self._loads is not None and self._saved_at >= 0,
            optimizer=self._optimizer,
        )
        self._told.sink.rehearsed(seen | {"notes": self._notes})
        self._told.end(Status.COMPLETE)
