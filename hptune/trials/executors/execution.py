"""How a run executes its sweeps: by the executor that the user names, kept from stage to stage."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import torch

from hptune.errors import InputError, did_you_mean
from hptune.results.records import Scalar, Trial
from hptune.results.run_dir import RunDir
from hptune.task import Task
from hptune.training.device import Device, cpu_threads, pinned
from hptune.training.speed import measure_iteration
from hptune.trials.executors import DISTRIBUTED, EXECUTORS, Cluster
from hptune.trials.executors.executor import Executor

PARALLEL = 0.8  # of what as many cores would gain if they did not share memory and caches


class Execution:
    """Gives each sweep its executor.

    Args:
        device: Where to train; a CUDA device without an index stands for all of them. Its
            attribute is set anew once the precision is known.
        run_dir: Keeps what was measured.
        executor: The name of one in the table of executors.
        jobs: Trials at once; None takes the usable cores or the devices.
        cluster: Of what a cluster's executor needs to know.
        candidates: That stages may try side by side; see `side_by_side`.
        compiles: Whether models are compiled: True, False, or "auto" for where that pays.
        tell: Hears where the user's choice cannot be followed.

    Attributes:
        kept: Executors that are kept from stage to stage and closed at the end, by what they need.

    Raises:
        InputError: There is no such executor, or it does not run several trials at once.
    """

    def __init__(
        self,
        device: Device,
        run_dir: RunDir,
        *,
        executor: str = "auto",
        jobs: int | None = None,
        cluster: Cluster | None = None,
        candidates: int | None = None,
        compiles: Literal["auto"] | bool = "auto",
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        if jobs == 1 and executor == "auto":
            executor = "inline"
        if device.ranks.size > 1:
            if executor not in ("auto", "inline"):
                raise InputError(
                    f"--executor: {executor} with --devices-per-trial {device.ranks.size}, which has "
                    "an executor of its own; leave one of them out"
                )
            self._kind = DISTRIBUTED
        elif executor in EXECUTORS:
            self._kind = EXECUTORS[executor]
        else:
            raise InputError(
                f"--executor: {executor!r}; must be one of {', '.join(EXECUTORS)}; "
                + did_you_mean(executor, EXECUTORS, "choose one of these")
            )
        if not self._kind.several and jobs not in (None, 1):
            raise InputError(
                f"--jobs: {jobs} with --executor {executor}, which runs one trial at a time; "
                "leave one of them out"
            )
        self.device, self.jobs, self.tell = device, jobs, tell
        self.cluster, self._candidates = cluster or Cluster(), candidates
        self.kept: dict[Any, Any] = {}
        self.run_dir, self.compiles = run_dir, compiles
        self._used = list[str]()
        self._told = set[str]()

    def tell_once(self, text: str) -> None:
        """Tell something that every stage would tell."""
        if text not in self._told:
            self._told.add(text)
            self.tell(text)

    def choose(self, task: Task, trials: Sequence[Trial]) -> Executor:
        """Return the executor for a sweep: for all its trials, also those that are there already."""
        executor: Executor = self._module.make(self, task, trials)
        if (words := executor.in_words) not in self._used:
            self._used.append(words)
            self.run_dir.add_fact("executors", "; ".join(self._used))
        return executor

    def gain(self, task: Task, trials: Sequence[Trial]) -> float:
        """Return how many times as fast as one after another a sweep's trials are expected to be."""
        if measured := getattr(self._module, "gain", None):
            return float(measured(self, task, trials))
        return max(1.0, PARALLEL * min(self.at_once, len(trials)))

    def seconds_of_iteration(self, task: Task, trials: Sequence[Trial], **how: Any) -> float:
        """Return the seconds of an iteration of the first of some trials; see `measure_iteration`.

        With the threads, or on the devices, that the executor for all of them gives each.

        Raises:
            TrialError: The trial fails.
        """
        if measure := getattr(self._module, "seconds_of_iteration", None):
            return float(measure(self, task, trials[0], how))
        with cpu_threads(self.choose(task, trials).threads):
            return measure_iteration(task, trials[0], self.device, **how)

    @property
    def _module(self) -> Any:
        return import_module(f"{__package__}.{self._kind.module or self._kind.name}")

    @contextmanager
    def measurements(self, task: Task) -> Iterator[dict[str, Any]]:
        """Give what timings.json has of a task's speed on the device; what is added to it is kept."""
        key = f"execution/{task.fingerprint}/{self.device.key}"
        kept = self.run_dir.timing(key)
        measured = copy.deepcopy(kept) if isinstance(kept, dict) else {}
        yield measured
        if measured != kept:
            self.run_dir.set_timing(key, measured)

    @property
    def at_once(self) -> int:
        """Trials that may run beside each other."""
        if self.device.ranks.size > 1:
            return len(teams(self.device, self.jobs))
        if counted := getattr(self._module, "at_once", None):
            return int(counted(self))
        return len(devices(self.device, self.jobs)) if self._kind.several else 1

    @property
    def side_by_side(self) -> int:
        """Candidates that stages try at once where they could follow each other.

        As the user says, else the room that a cluster had when the run directory was begun: the
        decisions depend on it, so a resumed run takes the same. 1 without a cluster.
        """
        if self._candidates is not None or not hasattr(self._module, "at_once"):
            return self._candidates or 1
        kept = self.run_dir.timing("candidates")
        if not isinstance(kept, int):
            self.run_dir.set_timing("candidates", kept := max(self.at_once, 1))
        return kept

    @property
    def facts(self) -> dict[str, Scalar]:
        """What may move the last bits of a curve, for the manifest."""
        facts: dict[str, Scalar] = {
            "executor": self._kind.name,
            "threads": torch.get_num_threads(),
            "device": self.device.name,
        }
        # What a probe still has to find out, it finds again in timings.json.
        return facts if self.device.needs_probe else facts | {"precision": self.device.precision}

    def close(self) -> None:
        """End what is kept."""
        for executor in self.kept.values():
            executor.close()
        self.kept.clear()


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
    return (replace(device, torch_device=pinned(place)),)


def teams(device: Device, jobs: int | None) -> tuple[tuple[Device, ...], ...]:
    """Return the devices of each of so many trials that are trained on several together.

    Without a number: as many as the cores are enough for, or one on the first GPUs.
    """
    ranks, place = device.ranks, device.torch_device
    if place.type == "cpu":
        count = jobs or max(usable_cores() // ranks.size, 1)
    else:
        count = min(jobs or 1, torch.cuda.device_count() // ranks.size)
    return tuple(
        tuple(
            replace(
                device,
                torch_device=torch.device(place.type, team * ranks.size + rank)
                if place.type == "cuda"
                else place,
                ranks=replace(ranks, rank=rank),
            )
            for rank in range(ranks.size)
        )
        for team in range(count)
    )


def usable_cores() -> int:
    """Return the cores that this process may use, by affinity and by its control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores or 1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no control groups, or no limit
        return cores or 1
