"""A training loop of one's own under hptune, beside the same loop alone.

The plain loop sets LR and momentum of each iteration and keeps no loss, so what is held against it
is all of a trial: its iterations, the schedule in the optimizer's groups, and every training loss.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch.nn.functional import cross_entropy

from hptune.api.loop import LoopTask
from hptune.own_loop.trial import Trial
from hptune.results.records import Status
from hptune.training.device import resolve_device
from hptune.training.trial_run import Job
from scripts.bench.cases import CASES, Case, trial_of
from scripts.bench.plain import WEIGHT_DECAY, Problem, problem_of
from scripts.bench.rounds import PLAIN, OwnProcess, Row, alternate, rows
from scripts.bench.training import Options, plain_loop

AIM = 1.05


def seconds(
    name: str, iterations: int, batch_size: int, seed: int, device: str, runs: int
) -> float:
    """Return what so many trials of the plain loop's code take, as hptune runs them."""
    problem, place = problem_of(name, device), resolve_device(device, "fp32")
    torch.set_num_threads(CASES[name].threads or torch.get_num_threads())

    def train(trial: Trial) -> None:
        model = problem.make_model()
        optimizer = torch.optim.SGD(
            model.parameters(), lr=1.0, momentum=0.9, nesterov=True, weight_decay=WEIGHT_DECAY
        )
        schedule = trial.schedule(optimizer)
        model.train()
        for _, index in zip(trial, _indices(problem, batch_size), strict=False):
            optimizer.zero_grad()
            loss = cross_entropy(model(problem.x[index]), problem.y[index])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            trial.log(train_loss=loss)
            if trial.evaluate_now:
                trial.log(val_loss=loss)

    task = LoopTask(train, iterations_per_epoch=len(problem.y) // batch_size, batch_size=batch_size)
    began = time.perf_counter()
    for run in range(runs):
        trial = trial_of(CASES[name], iterations, seed + run).change(task=task.fingerprint)
        assert task.loop is not None
        result = task.loop.run(task, Job(trial), place)
        if result.status is not Status.COMPLETE:
            raise RuntimeError(f"{result.status}: {result.message}")
    return time.perf_counter() - began


def own_loop(case: Case, options: Options) -> Iterator[Row]:
    """Time a loop as a function of a trial beside the same loop without one."""
    iterations = options.iterations(case, "own-loop")
    with OwnProcess() as process, OwnProcess() as other:
        args = (case.name, iterations, case.batch_size)
        taken = alternate(
            {
                PLAIN: plain_loop(process, case, iterations, options),
                "hptune, own loop": lambda seed: other(seconds, *args, seed, options.device, 1),
            },
            options.repeats,
        )
    yield from rows("own-loop", case.name, taken, "less", {"hptune, own loop": AIM})


def _indices(problem: Problem, batch_size: int) -> Iterator[torch.Tensor]:
    examples = len(problem.y)
    while True:
        order = torch.randperm(examples, device=problem.y.device)
        for start in range(0, examples - batch_size + 1, batch_size):
            yield order[start : start + batch_size]
