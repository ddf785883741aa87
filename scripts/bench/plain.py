"""The plain loop that everything is held against, and the process that it runs in.

Tensors in memory, batches by index, torch.optim, no logging: a few lines that nobody can call
slow. It has a process of its own, because hptune sets the C library's allocator for its whole
process, which the plain loop would profit from.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hptune.data.sources.memory import TensorSource
from scripts.bench.cases import CASES, task_of

MOMENTUM, MOMENTUM_MIN, WEIGHT_DECAY = 0.95, 0.85, 1e-4


@dataclass(frozen=True)
class Problem:
    """Tensors on the device, and how to make the net there.

    Attributes:
        x: (N, ...) float32, normalised.
        y: (N,) int64.
    """

    x: Tensor
    y: Tensor
    make_model: Callable[[], nn.Module]
    lr: float


def train(problem: Problem, iterations: int, batch_size: int, seed: int) -> float:
    """Train a fresh net under a triangle of LR and momentum; return the last loss."""
    torch.manual_seed(seed)
    model = problem.make_model()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=1.0, momentum=0.9, nesterov=True, weight_decay=WEIGHT_DECAY
    )
    height = 1 - np.abs(np.linspace(-1, 1, iterations))
    lrs = (problem.lr * (0.1 + 0.9 * height)).tolist()
    momenta = (MOMENTUM - (MOMENTUM - MOMENTUM_MIN) * height).tolist()
    examples, done = len(problem.y), 0
    group = optimizer.param_groups[0]
    model.train()
    while done < iterations:
        order = torch.randperm(examples, device=problem.y.device)
        for start in range(0, examples - batch_size + 1, batch_size):
            index = order[start : start + batch_size]
            group["lr"], group["momentum"] = lrs[done], momenta[done]
            optimizer.zero_grad()
            loss = cross_entropy(model(problem.x[index]), problem.y[index])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            done += 1
            if done == iterations:
                break
    return loss.item()


@lru_cache(maxsize=1)
def problem_of(name: str, device: str) -> Problem:
    """Return a case's training data and net."""
    task = task_of(name)
    assert isinstance(task.train, TensorSource)
    inputs, targets = next(iter(task.train.batches(len(task.train))))
    inputs = inputs.contiguous(memory_format=torch.contiguous_format)
    return Problem(
        inputs.to(device), targets.to(device), lambda: task.make_model().to(device), CASES[name].lr
    )


def seconds(
    name: str, iterations: int, batch_size: int, seed: int, device: str, runs: int
) -> float:
    """Return what so many runs one after another take. Called in the plain loop's process."""
    problem = problem_of(name, device)
    torch.set_num_threads(CASES[name].threads or torch.get_num_threads())
    began = time.perf_counter()
    for run in range(runs):
        train(problem, iterations, batch_size, seed + run)
    return time.perf_counter() - began
