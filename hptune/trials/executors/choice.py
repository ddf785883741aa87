"""The fastest executor for a sweep, by a short timed probe that is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from hptune.results.records import Trial
from hptune.task import Task
from hptune.training.device import Device
from hptune.training.memory import available_memory, estimated_memory
from hptune.training.speed import measure_iteration
from hptune.trials.executors.execution import Execution, devices, usable_cores
from hptune.trials.executors.executor import Executor
from hptune.trials.executors.fused import FEWEST_FUSED, GROUP, fastest_group
from hptune.trials.executors.group import ALONE, Group
from hptune.trials.executors.inline import (
    CLEARLY,
    Inline,
    best_threads,
    inline_seconds,
    is_worth_probing,
)
from hptune.trials.executors.processes import CannotShareError, Processes, workers

# An iteration of more, in seconds, computes most of that time: fused trials save what it does not.
FUSABLE = 0.02
START = {"cpu": 0.1, "cuda": 15.0}  # seconds until workers train: forked, or started anew
SHARE = 0.8  # of the memory there is, for all workers


def make(execution: Execution, task: Task, trials: Sequence[Trial]) -> Executor:
    """Return the executor that the measurements promise the shortest time of, the simplest first.

    They are, in seconds per iteration: "inline" by the number of threads, "processes" with all its
    "jobs" at work, and the "gain" of "fused" trials over one thread inline, with the "size" of their
    groups and "how" they are fused; null where it cannot be, and not measured where an iteration
    takes too long to gain. The choice follows from them and from the trials alone, so a resumed run
    makes it again.
    """
    return _fastest(execution, task, trials)[0]


def gain(execution: Execution, task: Task, trials: Sequence[Trial]) -> float:
    """Return how many times as fast as one after another, inline, a sweep's trials are expected to be."""
    return _fastest(execution, task, trials)[1]


def _fastest(execution: Execution, task: Task, trials: Sequence[Trial]) -> tuple[Executor, float]:
    """Return the fastest executor, with its gain."""
    device = execution.device
    if task.loop is not None:  # which may be of any size, and use the whole machine
        if min(execution.jobs or 1, len(trials)) > 1:
            return workers(execution, devices(device, execution.jobs)), 1.0
        return Inline(device), 1.0
    with execution.measurements(task) as measured:
        inline = inline_seconds(measured, task, trials, device)
        threads, seconds = best_threads(inline)
        if len(trials) == 1:
            return Inline(device, threads), 1.0
        if is_worth_probing(trials, inline):
            _measure(execution, task, trials, measured)
    all_iterations = sum(trial.iterations for trial in trials)
    # The seconds that the sweep is expected to take in each, the simplest first.
    choices: list[tuple[float, Executor]] = [(all_iterations * seconds, Inline(device, threads))]
    gain, group = _gain(measured, len(trials))
    if gain > 1:
        choices.append((all_iterations * inline["1"] / gain, Inline(device, 1, group)))
    if processes := measured.get("processes"):
        rounds = math.ceil(len(trials) / processes["jobs"])
        in_rounds = rounds * all_iterations / len(trials) * processes["seconds"]
        gain, group = _gain(measured, rounds)
        start = START.get(device.torch_device.type, 0.0)
        places = devices(device, processes["jobs"])
        choices.append((start + in_rounds / gain, workers(execution, places, group)))
    shortest, best = choices[0]
    for expected, executor in choices[1:]:
        if expected < CLEARLY * shortest:
            shortest, best = expected, executor
    return best, choices[0][0] / shortest


def _gain(measured: dict[str, Any], trials: int) -> tuple[float, Group]:
    """Return how many times as fast so many trials are in groups, and the groups."""
    fused = measured.get("fused")
    if not fused or trials < FEWEST_FUSED or fused["gain"] <= 1:
        return 1.0, ALONE
    return fused["gain"], Group(fused.get("size", GROUP), fused.get("how", "stacked"))


def _measure(
    execution: Execution, task: Task, trials: Sequence[Trial], measured: dict[str, Any]
) -> None:
    """Measure what is not known of the speed in workers and in groups."""
    inline = measured["inline"]
    if "processes" not in measured:
        measured["processes"] = _processes(execution, task, trials[0], min(inline.values()))
    if inline["1"] < FUSABLE and len(trials) >= FEWEST_FUSED and "fused" not in measured:
        found = fastest_group(task, trials[0], execution.device)
        measured["fused"] = found and {"gain": inline["1"] / found[0], **asdict(found[1])}


def _processes(
    execution: Execution, task: Task, trial: Trial, inline: float
) -> dict[str, Any] | None:
    """Return jobs and seconds per iteration of workers; None where they are no choice."""
    device, jobs = execution.device, execution.jobs
    if on_cpu := device.torch_device.type == "cpu":
        jobs = workers_that_fit(task, trial, device, jobs or usable_cores())
    places = devices(device, jobs)
    if len(places) < 2:
        return None
    if not on_cpu:
        # Devices do not disturb each other, and workers that are not needed take long to start.
        return {"jobs": len(places), "seconds": inline}
    processes = workers(execution, places)
    try:
        seconds = seconds_in_workers(task, trial, processes)
        if seconds and seconds > CLEARLY * len(places) * inline:
            # A neighbour may have been in the way: it makes slower, never faster.
            seconds = min(seconds, seconds_in_workers(task, trial, processes) or seconds)
    except CannotShareError:
        return None
    return None if seconds is None else {"jobs": len(places), "seconds": seconds}


def workers_that_fit(task: Task, trial: Trial, device: Device, most: int) -> int:
    """Return how many trials fit into the memory of a CPU at once."""
    there = available_memory(device)
    if there is None or most < 2:
        return most
    sample, size = min(trial.batch_size, 8), trial.batch_size
    try:
        each = estimated_memory(task, device, batch_size=size, at=sample, seed=trial.seed)
    except Exception:  # a model of one batch size; an error is told when the trials run
        return most
    return max(1, min(most, math.floor(SHARE * there / max(each, 1))))


def seconds_in_workers(task: Task, trial: Trial, processes: Processes) -> float | None:
    """Return the seconds that an iteration takes while all workers train; None if they cannot."""
    times = processes.each(task, _iteration, trial)
    return None if None in times else sum(times) / len(times)


def _iteration(
    task: Task, trial: Trial, device: Device, report: Callable[[Any], None]
) -> float | None:
    """Measure in a worker; None where the trial cannot run at all."""
    try:
        return measure_iteration(task, trial, device)
    except Exception:  # told when the trial runs
        return None
