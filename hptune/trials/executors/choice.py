"""Which executor runs a sweep: by a short timed probe that is kept, or as the user says."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch

from hptune.errors import InputError
from hptune.results.records import Scalar, Trial
from hptune.results.run_dir import RunDir
from hptune.task import Task
from hptune.training.device import Device
from hptune.trials.executors.fused import ALONE, Group
from hptune.trials.executors.inline import Inline
from hptune.trials.executors.job import Executor
from hptune.trials.executors.probe import (
    FEWEST_FUSED,
    fastest_group,
    seconds_in_workers,
    seconds_inline,
    usable_cores,
    workers_that_fit,
)
from hptune.trials.executors.processes import CannotShareError, Processes

ExecutorName = Literal["auto", "inline", "processes", "fused"]
WORTH_PROBING = 0.3  # seconds: what a sweep takes at least for its executor to matter
# An iteration of less, in seconds, gains nothing from a second thread, and on a busy machine
# loses a hundredfold: its threads wait for each other many times in it.
SMALL = 0.005
# An iteration of more, in seconds, computes most of that time: fused trials save what it does not.
FUSABLE = 0.02
CLEARLY = 0.95  # of the time: what the less simple choice must not exceed
GROUP = 16  # trials that are fused at most
START = {"cpu": 0.1, "cuda": 15.0}  # seconds until workers train: forked, or started anew


@dataclass(frozen=True)
class Choice:
    """An executor, and the seconds that a sweep is expected to take in it."""

    seconds: float
    executor: Executor


class Execution:
    """Chooses the executor of each sweep, and keeps the workers from stage to stage.

    What was measured is kept in timings.json as `execution/TASK/DEVICE`, in seconds per
    iteration: "inline" by the number of threads, "processes" with all its "jobs" at work, and the
    "gain" of "fused" trials over one thread inline, with the "size" of their groups and "how" they
    are fused; null where it cannot be, and not measured where an iteration takes too long to gain.
    The choice follows from that and the sweep's trials alone, so a resumed run makes it again.

    Args:
        device: Where to train; a CUDA device without an index stands for all of them. Its
            attribute is set anew once the precision is known.
        run_dir: Keeps the measurements.
        executor: "auto", or the one to use.
        jobs: Trials at once; None takes the usable cores or the devices.
    """

    def __init__(
        self,
        device: Device,
        run_dir: RunDir,
        *,
        executor: ExecutorName = "auto",
        jobs: int | None = None,
    ) -> None:
        if executor == "inline" and jobs not in (None, 1):
            raise InputError(
                f"--jobs: {jobs} with --executor inline, which runs one trial at a time; "
                "leave one of them out"
            )
        self.device, self._run_dir = device, run_dir
        self._name = "inline" if jobs == 1 and executor == "auto" else executor
        self._jobs = jobs
        self._processes: dict[tuple[Device, ...], Processes] = {}
        self._used: list[str] = []

    def choose(self, task: Task, trials: Sequence[Trial]) -> Executor:
        """Return the executor for a sweep; it runs any of the trials, the others being there.

        Args:
            task: What is trained.
            trials: The whole sweep, also what the run directory holds already.
        """
        executor = self._chosen(task, trials)
        if (words := executor.in_words) not in self._used:
            self._used.append(words)
            self._run_dir.add_fact("executors", "; ".join(self._used))
        return executor

    def _chosen(self, task: Task, trials: Sequence[Trial]) -> Executor:
        if self._name == "processes":
            return self._workers(devices(self.device, self._jobs))
        if self._name == "fused":
            places = devices(self.device, self._jobs)
            places = places[: math.ceil(len(trials) / FEWEST_FUSED)]
            if len(places) > 1:
                return self._workers(places, Group(GROUP))
            return Inline(self.device, self._threads(1), Group(GROUP))
        measured = self._measured(task, trials)
        threads, seconds = _fewest(measured["inline"])
        if self._name == "inline" or len(trials) == 1:
            return Inline(self.device, self._threads(threads))
        return self._fastest(measured, trials, threads, seconds)

    def _fastest(
        self, measured: Mapping[str, Any], trials: Sequence[Trial], threads: int, seconds: float
    ) -> Executor:
        """Return the executor that the measurements promise the shortest time of, the simplest first.

        Args:
            measured: See the class.
            trials: The sweep.
            threads: The best number inline.
            seconds: What an iteration takes inline with them.
        """
        length = sum(trial.iterations for trial in trials) / len(trials)
        fused, workers = measured.get("fused"), measured.get("processes")
        gain = _gain(fused, len(trials))
        all_iterations = len(trials) * length
        choices = [Choice(all_iterations * seconds, Inline(self.device, self._threads(threads)))]
        if gain > 1:
            fused_seconds = all_iterations * measured["inline"]["1"] / gain
            fused_inline = Inline(self.device, self._threads(1), _group(fused))
            choices.append(Choice(fused_seconds, fused_inline))
        if workers:
            rounds = math.ceil(len(trials) / workers["jobs"])
            there = START.get(self.device.torch_device.type, 0.0)
            in_group = _gain(fused, rounds)
            group = _group(fused) if in_group > 1 else ALONE
            choices.append(
                Choice(
                    there + rounds * length * workers["seconds"] / in_group,
                    self._workers(devices(self.device, workers["jobs"]), group),
                )
            )
        best = choices[0]
        for choice in choices[1:]:
            if choice.seconds < CLEARLY * best.seconds:
                best = choice
        return best.executor

    @property
    def at_once(self) -> int:
        """Trials that may run beside each other."""
        jobs = self._jobs or usable_cores()
        return 1 if self._name == "inline" else len(devices(self.device, jobs))

    @property
    def facts(self) -> dict[str, Scalar]:
        """What may move the last bits of a curve, for the manifest."""
        facts: dict[str, Scalar] = {
            "executor": self._name,
            "threads": torch.get_num_threads(),
            "device": self.device.name,
        }
        # What a probe still has to find out, it finds again in timings.json.
        return facts if self.device.needs_probe else facts | {"precision": self.device.precision}

    def close(self) -> None:
        """End the workers."""
        for processes in self._processes.values():
            processes.close()
        self._processes.clear()

    def _measured(self, task: Task, trials: Sequence[Trial]) -> dict[str, Any]:
        """Return what is known of the task's speed, measured as far as these trials are worth it."""
        key = self._key(task)
        kept = self._run_dir.timing(key)
        measured: dict[str, Any] = dict(kept) if isinstance(kept, dict) else {}
        inline: dict[str, float] = dict(measured.get("inline", {}))
        if "1" not in inline:
            inline["1"] = seconds_inline(task, trials[0], self.device, 1)
        worth = sum(trial.iterations for trial in trials) * inline["1"] > WORTH_PROBING
        usual = torch.get_num_threads()
        if worth and inline["1"] > SMALL and len(inline) == 1 and usual > 1:
            inline[str(usual)] = seconds_inline(task, trials[0], self.device, usual)
        measured["inline"] = inline
        if worth and len(trials) > 1 and self._name == "auto" and "processes" not in measured:
            measured["processes"] = self._measure_processes(task, trials[0], min(inline.values()))
        if (
            worth
            and inline["1"] < FUSABLE
            and len(trials) >= FEWEST_FUSED
            and self._name == "auto"
            and "fused" not in measured
        ):
            measured["fused"] = None
            if found := fastest_group(task, trials[0], self.device, GROUP):
                each, group = found
                measured["fused"] = {"gain": inline["1"] / each, **asdict(group)}
        if measured != kept:
            self._run_dir.set_timing(key, measured)
        return measured

    def _key(self, task: Task) -> str:
        return f"execution/{task.fingerprint}/{self.device.key}"

    def _measure_processes(self, task: Task, trial: Trial, inline: float) -> dict[str, Any] | None:
        """Return jobs and seconds per iteration of workers; None where they are no choice."""
        on_cpu = self.device.torch_device.type == "cpu"
        wanted = workers_that_fit(task, trial, self.device, self._jobs or usable_cores())
        places = devices(self.device, wanted if on_cpu or self._jobs else None)
        if len(places) < 2:
            return None
        if self.device.torch_device.type != "cpu":
            # Devices do not disturb each other, and workers that are not needed take long to start.
            return {"jobs": len(places), "seconds": inline}
        try:
            seconds = seconds_in_workers(task, trial, self._workers(places))
            if seconds and seconds > CLEARLY * len(places) * inline:
                # A neighbour may have been in the way: it makes slower, never faster.
                again = seconds_in_workers(task, trial, self._workers(places))
                seconds = min(seconds, again or seconds)
        except CannotShareError:
            return None
        return None if seconds is None else {"jobs": len(places), "seconds": seconds}

    def _threads(self, count: int) -> int | None:
        return count if self.device.torch_device.type == "cpu" else None

    def _workers(self, places: tuple[Device, ...], group: Group = ALONE) -> Processes:
        if places not in self._processes:
            self._processes[places] = Processes(places)
        self._processes[places].group = group
        return self._processes[places]


def warn_if_mixed(
    run_dir: RunDir, facts: Mapping[str, Scalar], message: Callable[[str], None]
) -> None:
    """Tell where a run directory's trials were run by other means: device, precision, executor, threads."""
    for name, now in facts.items():
        before = run_dir.facts().get(name)
        if before is not None and before != now:
            message(
                f"note: the trials in {run_dir.path} were run with {name} {before}, now it is "
                f"{now}: curves from both may differ in the last digits"
            )


def devices(device: Device, jobs: int | None) -> tuple[Device, ...]:
    """Return a device for each of so many workers: the CPU again and again, or one GPU each.

    Without a number: as many CPUs as there are cores, or the one GPU that is current. Others may be
    at work on the rest.
    """
    place = device.torch_device
    if place.type == "cpu":
        return (device,) * (jobs or usable_cores())
    if str(place) == "cuda" and jobs is not None:
        count = min(jobs, torch.cuda.device_count())
        return tuple(replace(device, torch_device=torch.device("cuda", n)) for n in range(count))
    return (device,)


def _group(fused: Mapping[str, Any] | None) -> Group:
    """Return the group that was measured."""
    assert fused is not None
    return Group(fused.get("size", GROUP), fused.get("how", "stacked"))


def _gain(fused: Mapping[str, Any] | None, trials: int) -> float:
    """Return how many times as fast so many trials are when they are fused."""
    return float(fused["gain"]) if fused and trials >= FEWEST_FUSED else 1.0


def _fewest(inline: dict[str, float]) -> tuple[int, float]:
    """Return the number of threads that is fastest; one thread wins within the noise."""
    best = min(inline.values())
    threads = min(int(n) for n, seconds in inline.items() if CLEARLY * seconds <= best)
    return threads, inline[str(threads)]
