"""A walk along training: what the loss looks like between one step and the next.

Sources: Xing et al. 2018, "A walk with SGD" (the loss between iterates, the height above the floor,
angles); Hoffer, Hubara and Soudry 2017, "Train longer, generalize better" (distance against log of
iterations); McCandlish et al. 2018, "An empirical model of large-batch training" (noise scale).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hptune.landscape.batches import halved, step_of
from hptune.landscape.objective import still
from hptune.results.records import Trial, TrialResult
from hptune.task import Batch, Task
from hptune.training.device import Device, random_state, restore_random_state, seeded
from hptune.training.evaluation import batch_size_of
from hptune.training.loop import Lanes
from hptune.training.trial_run import Job, OnProgress, TrialRun

EVERY = 10  # iterations, of which one is measured: it costs three to ten more, the smaller the net
BETWEEN = 3  # points between two iterates
KEPT = 25  # states along the walk
KEPT_BYTES = 2**30  # that they may take
Row = dict[str, float | int | None]


class Walk:
    """Measures some of the steps of any training loop; the others cost nothing.

        walk = Walk(model, loss)
        for batch in batches:
            loss_of(batch).backward()
            with walk.step(batch):
                optimizer.step()

    What is measured is the loss of the step's own batch, batch norm by that batch, dropout off.
    Neither weights nor averages nor random states are moved: training goes on as without it.

    Args:
        model: That is trained.
        loss: See `hptune.landscape`.
        every: Iterations of which one is measured.
        between: Points between two iterates.
        iterations: Of all training, so that the states that are kept lie evenly; None keeps none.

    Attributes:
        rows: A measured iteration each: iteration, loss (before the step), after, lowest (of the points
            between, and the ends), height (the ends' mean above the lowest), cosine (of this gradient
            and the one before), gradient_norm, distance (from where the walk began), step (length),
            signal and noise: estimates of |G|² and tr(Sigma), whose ratio noise / signal, each averaged
            over some steps, is the noise scale in examples; single ones may be below 0.
        path: Parameters that were kept, on the CPU, by name.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Any = None,
        *,
        every: int = EVERY,
        between: int = BETWEEN,
        iterations: int | None = None,
    ) -> None:
        self.model, self._step, self._every, self._between = model, step_of(loss), every, between
        self._named = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._parameters = list(self._named.values())
        self._start = _copies(self._parameters)
        self._previous: list[Tensor] | None = None
        self.iteration, self.rows, self.path = 0, list[Row](), list[dict[str, Tensor]]()
        size = sum(p.numel() * p.element_size() for p in model.parameters())
        kept = 0 if iterations is None else min(KEPT, iterations + 1, KEPT_BYTES // max(size, 1))
        # From the first weights to the last ones.
        last = iterations or 0
        self._keep = {round(n * last / (kept - 1)) for n in range(kept)} if kept > 1 else set()
        self._keep_if_due()

    @contextmanager
    def step(self, *batches: Batch) -> Iterator[None]:
        """Let the optimizer take its step from the gradients that are there.

        Args:
            batches: That the gradients are of; several where gradients are accumulated.
        """
        iteration, every = self.iteration, self._every
        measured = iteration % every == every - 1
        gradient = None
        if measured or (iteration + 1) % every == every - 1:
            gradient = _copies([_gradient_of(p) for p in self._parameters])
        before = _copies(self._parameters) if measured else []
        yield
        self.iteration += 1
        self._keep_if_due()
        if measured and gradient is not None:
            self.rows.append(self._measured(iteration, batches, before, gradient))
        self._previous = gradient

    def _measured(
        self,
        iteration: int,
        batches: Sequence[Batch],
        before: Sequence[Tensor],
        gradient: Sequence[Tensor],
    ) -> Row:
        after = _copies(self._parameters)
        moved = [a - b for a, b in zip(after, before, strict=True)]
        norm, cosine = _norm(gradient), None
        if self._previous is not None and norm and (other := _norm(self._previous)):
            cosine = _dot(gradient, self._previous) / (norm * other)
        with still(self.model, "batch"), _random_states_kept(self._parameters[0].device):
            losses = []
            for n in range(self._between + 2):
                self._move(before, moved, n / (self._between + 1))
                losses.append(self._loss(batches))
            self._move(before, moved, 0.0)
            signal, noise = self._signal_and_noise(batches)
        lowest = min(losses)
        return {
            "iteration": iteration,
            "loss": losses[0],
            "after": losses[-1],
            "lowest": lowest,
            "height": (losses[0] + losses[-1]) / 2 - lowest,
            "cosine": cosine,
            "gradient_norm": norm,
            "distance": _norm([a - s for a, s in zip(after, self._start, strict=True)]),
            "step": _norm(moved),
            "signal": signal,
            "noise": noise,
        }

    def _move(self, before: Sequence[Tensor], moved: Sequence[Tensor], share: float) -> None:
        with torch.no_grad():
            for p, b, m in zip(self._parameters, before, moved, strict=True):
                torch.add(b, m, alpha=share, out=p)

    def _loss(self, batches: Sequence[Batch]) -> float:
        with torch.no_grad():
            losses = [float(self._step(self.model, batch)[0]) for batch in batches]
        return math.fsum(losses) / len(losses)

    def _signal_and_noise(self, batches: Sequence[Batch]) -> tuple[float | None, float | None]:
        """Return unbiased estimates of |G|² and tr(Sigma) from the gradients of two halves."""
        halves = halved(batches)
        if halves is None:
            return None, None
        gradients = []
        for half in halves:
            loss = torch.stack([self._step(self.model, batch)[0] for batch in half]).mean()
            gradients.append(torch.autograd.grad(loss, self._parameters, materialize_grads=True))
        small = sum(batch_size_of(batch) for batch in halves[0])
        of_halves = sum(_dot(g, g) for g in gradients) / 2
        whole = [(a + b) / 2 for a, b in zip(*gradients, strict=True)]
        of_whole = _dot(whole, whole)
        # Equations A.2 of McCandlish et al. for batches of `small` and of twice as many examples.
        return 2 * of_whole - of_halves, (of_halves - of_whole) * 2 * small

    def _keep_if_due(self) -> None:
        if self.iteration in self._keep:
            named = self.model.named_parameters()
            self.path.append({name: p.detach().cpu().clone() for name, p in named})


@dataclass(frozen=True)
class Walked:
    """A trial that was trained again, with what was measured on the way."""

    walk: Walk
    result: TrialResult


def retrace(
    task: Task,
    trial: Trial,
    device: Device,
    *,
    every: int = EVERY,
    between: int = BETWEEN,
    on_progress: OnProgress | None = None,
) -> Walked:
    """Train a trial as it was trained, and measure steps on the way.

    Args:
        task, trial, device: What to train, and where.
        every, between: See `Walk`.
        on_progress: Hears the progress.
    """
    with seeded(trial.seed, device.torch_device):
        run = TrialRun(task, Job(trial), device, on_progress)
        walk = Walk(run.model, task.step, every=every, between=between, iterations=trial.iterations)
        (ended,) = _WalkedLane(run, walk).train()
        return Walked(walk, ended.finish())


class _WalkedLane(Lanes):
    """One trial whose steps are measured."""

    def __init__(self, run: TrialRun, walk: Walk) -> None:
        super().__init__([run])
        self._walk = walk

    def step(self) -> Tensor:
        """Take an optimizer step, and return the loss of its batch."""
        batches = [next(self._batches) for _ in range(1 + len(self._passes))]
        losses = self._gradients_on(iter(batches))
        with self._walk.step(*batches):
            self._runs[0].update()
        return losses


@contextmanager
def _random_states_kept(device: torch.device) -> Iterator[None]:
    state = random_state(device)
    yield
    restore_random_state(state, device)


def _gradient_of(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in tensors]


def _dot(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    parts = [(a.double() * b.double()).sum() for a, b in zip(one, other, strict=True)]
    return float(torch.stack(parts).sum())


def _norm(tensors: Sequence[Tensor]) -> float:
    return math.sqrt(_dot(tensors, tensors))
