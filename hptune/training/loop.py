"""The training loop: trials from their first iteration, or from a snapshot, to their results.

There is one loop, over lanes: a trial each, that take the same batches. A trial alone is one lane.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from hptune.errors import HptuneError
from hptune.results.records import Status, Trial, TrialProgress, TrialResult
from hptune.task import Batch, Resident, Source, Task
from hptune.training import interrupt
from hptune.training.capture import Captured
from hptune.training.device import Device, seeded
from hptune.training.lengths import iterations_per_epoch, micro_batch
from hptune.training.passes import How, Stepping, pass_of, reads
from hptune.training.ranks import ALONE, Ranks
from hptune.training.result import failed
from hptune.training.sam import sharpness_aware
from hptune.training.trial_run import Job, OnProgress, TrialRun

# Losses stay on the device for this many iterations at most: reading one waits for the device.
BLOCK = 64


def run_trial(
    task: Task, job: Job, device: Device, on_progress: OnProgress | None = None
) -> TrialResult:
    """Train one trial; what the user's code raises makes it a failed one.

    The caller's random states are as before afterwards. See `TrialRun` for the arguments.

    Raises:
        HptuneError: Wrong for every trial, an InputError among them; so is an OSError.
    """
    if task.loop is not None:
        result: TrialResult = task.loop.run(task, job, device, on_progress)
        return result
    try:
        ((_, result),) = run_lanes(task, [job], device, on_progress)
    except (HptuneError, OSError):
        raise
    except Exception as error:
        return failed(task, job.trial, device, error)
    return result


def run_lanes(
    task: Task,
    jobs: Sequence[Job],
    device: Device,
    on_progress: OnProgress | None = None,
    how: How = "alone",
) -> Iterator[tuple[Job, TrialResult]]:
    """Train trials of one seed, length and batch size as one; yield each with its result when it ends.

    Whoever takes the results or is told of the progress does it with its own random states.
    """
    with seeded(jobs[0].trial.seed, device.torch_device) as outside:

        def tell(job: Job, trial_progress: TrialProgress) -> None:
            if on_progress is not None:
                with outside():
                    on_progress(job, trial_progress)

        runs = [TrialRun(task, job, device, tell, 1 / len(jobs)) for job in jobs]
        for run in Lanes(runs, how).train():
            result = run.finish()
            with outside():
                yield run.job, result


class Lanes:
    """Trials that take the same batches, iteration by iteration.

    Args:
        runs: The trials.
        how: The pass over a batch.

    Raises:
        ValueError: The trials are not at the same iteration.
    """

    def __init__(self, runs: Sequence[TrialRun], how: How = "alone") -> None:
        self._runs, self._how, first = list(runs), how, runs[0]
        if any(run.first_iteration != first.first_iteration for run in runs):
            raise ValueError("they were interrupted at different iterations")
        self._ranks = first.device.ranks
        self._passes = range(first.trial.settings.accumulate - 1)  # after the first one of a step
        self._rho = first.trial.settings.sam
        self._choices: bool | None = None
        self._begin_at(first.first_iteration)
        for run in runs:
            run.optimizer.match_layout()
            run.begin()

    def _begin_at(self, iteration: int) -> None:
        """Make the pass for the iterations to come, and what gives it its batches."""
        first = self._runs[0]
        self._pass = pass_of(self._runs, self._how, iteration)
        if (choices := reads(first, iteration)) != self._choices:
            self._choices = choices
            self._batches = batches_from(
                first.train_data, first.trial, iteration, self._ranks, choices=choices
            )

    def train(self) -> Iterator[TrialRun]:
        """Run the iterations; yield each run when it has ended.

        Raises:
            KeyboardInterrupt: A signal came; what is left has been saved.
        """
        with interrupt.in_flight():
            yield from self._train()

    def _train(self) -> Iterator[TrialRun]:
        first, losses = self._runs[0], list[Tensor]()
        if first.ended:
            yield from self._runs
            return
        alone = not self._ranks.joined  # one of several would leave the others waiting
        if alone and interrupt.requested():  # while the trial before ended
            raise KeyboardInterrupt
        turns = first.releases.turns(first.first_iteration)
        for iteration in range(first.first_iteration, first.trial.iterations):
            if iteration in turns:
                for run in self._runs:
                    run.releases.turn(iteration)
                    run.optimizer.other_parameters_train()
                self._begin_at(iteration)
            for run in self._runs:
                run.optimizer.set(*run.rates[iteration])
            losses.append(self.step())
            stops = alone and interrupt.requested() and iteration + 1 < first.trial.iterations
            if iteration not in first.evaluate_at and len(losses) < BLOCK and not stops:
                continue
            block = self._ranks.mean(torch.stack(losses))
            read = block.view(len(losses), -1).T.tolist()  # waits for the device
            losses.clear()
            for run, own in zip(self._runs, read, strict=True):
                run.end_of_block(iteration, own)
            if ended := [run for run in self._runs if run.ended]:
                yield from ended
                self._runs = [run for run in self._runs if not run.ended]
                if not self._runs:
                    return
                self._begin_at(iteration + 1)
            if stops:
                for run in self._runs:
                    run.save(iteration + 1)
                raise KeyboardInterrupt
        for run in self._runs:
            run.ended = Status.COMPLETE, ""
            yield run

    def step(self) -> Tensor:
        """Take an optimizer step in each lane; return the losses of its batch, still on the device."""
        losses = self.gradients()
        for run in self._runs:
            run.update()
        return losses

    def gradients(self) -> Tensor:
        """Leave the gradients on the next batch in each lane, or take the step where the pass does.

        Returns:
            The losses, still on the device.
        """
        return self._gradients_on(self._batches)

    def _gradients_on(self, batches: Iterator[Batch]) -> Tensor:
        if not self._rho:
            return self._accumulated(batches)
        own = [next(batches) for _ in range(len(self._passes) + 1)]
        models, place = [run.model for run in self._runs], self._runs[0].device.torch_device
        return sharpness_aware(lambda: self._accumulated(iter(own)), models, self._rho, place)

    def _accumulated(self, batches: Iterator[Batch]) -> Tensor:
        losses = self._pass(next(batches))
        for _ in self._passes:
            losses = losses + self._pass(next(batches))
        return losses

    @property
    def not_captured(self) -> str | None:
        """Why the passes, or the steps with them, could not be recorded, if they were to be."""
        return self._pass.error if isinstance(self._pass, Captured | Stepping) else None


def batches_from(
    source: Source, trial: Trial, first: int, ranks: Ranks = ALONE, *, choices: bool = False
) -> Iterator[Batch]:
    """Yield the batches of a trial from an iteration on, without end; micro-batches where it accumulates.

    Several devices take turns at the micro-batches of one that accumulates as often. Where a
    recorded pass reads them itself, they are choices.

    Raises:
        InputError: The batch cannot be cut into so many parts.
    """
    accumulate, devices = trial.settings.accumulate, ranks.size
    size = micro_batch(trial.batch_size, accumulate, devices)
    per_epoch = iterations_per_epoch(len(source), trial.batch_size)
    epoch, skip = divmod(first, per_epoch)
    while True:
        wanted = (per_epoch - skip) * accumulate
        before = skip * accumulate * devices + ranks.rank
        deliver = source.choices if choices and isinstance(source, Resident) else source.batches
        passing = deliver(size, seed=trial.seed, epoch=epoch, skip=before, every=devices)
        for _, batch in zip(range(wanted), passing, strict=False):
            yield batch
        epoch, skip = epoch + 1, 0
