"""In this process: one trial, or one group of fused trials, after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hptune.errors import TrialError
from hptune.results.records import Trial
from hptune.task import Task
from hptune.training.device import Device, cpu_threads
from hptune.training.speed import measure_iteration
from hptune.training.trial_run import Job
from hptune.trials.executors.execution import Execution
from hptune.trials.executors.executor import Listener, Results
from hptune.trials.executors.group import ALONE, Group, grouped, in_words, run_group

WORTH_PROBING = 0.3  # seconds: what a sweep takes at least for its executor to matter
# An iteration of less, in seconds, gains nothing from a second thread, and on a busy machine
# loses a hundredfold: its threads wait for each other many times in it.
SMALL = 0.005
CLEARLY = 0.95  # of the time: what the less simple choice must not exceed


class Inline:
    """Runs jobs one after another.

    Args:
        device: Where.
        threads: CPU threads to train with; None, or another device than a CPU, leaves them as they are.
        group: Trials that are trained as one, where they can be.
    """

    def __init__(self, device: Device, threads: int | None = None, group: Group = ALONE) -> None:
        self.threads = threads if device.torch_device.type == "cpu" else None
        self._device, self.group = device, group

    def run(self, task: Task, jobs: Sequence[Job], listener: Listener) -> Results:
        """Yield each job with its result, in the order given but for those trained as one."""
        for group in grouped(jobs, self.group.size):
            for job in group:
                listener.started(job)
            with cpu_threads(self.threads):
                yield from run_group(task, group, self._device, self.group.how, listener)

    @property
    def in_words(self) -> str:
        """The executor with what may move the last bits of a curve."""
        return in_words("inline", self.threads, self.group)

    def close(self) -> None:
        """Nothing was started."""


def make(execution: Execution, task: Task, trials: Sequence[Trial]) -> Inline:
    """Return one that computes with as many threads as is fastest."""
    if task.loop is not None:  # sets its threads itself
        return Inline(execution.device)
    with execution.measurements(task) as measured:
        threads, _ = best_threads(inline_seconds(measured, task, trials, execution.device))
    return Inline(execution.device, threads)


def inline_seconds(
    measured: dict[str, Any], task: Task, trials: Sequence[Trial], device: Device
) -> dict[str, float]:
    """Return the seconds of an iteration by the number of threads, as far as that is worth knowing.

    What is not in `measured` yet is measured and put there. Of a trial that fails nothing is known,
    which counts as no time at all.
    """

    def seconds(threads: int) -> float:
        with cpu_threads(threads):
            return measure_iteration(task, trials[0], device)

    inline: dict[str, float] = measured.setdefault("inline", {})
    usual = torch.get_num_threads()
    try:
        if "1" not in inline:
            inline["1"] = seconds(1)
        gains = inline["1"] > SMALL and is_worth_probing(trials, inline)
        if gains and len(inline) == 1 and usual > 1:
            inline[str(usual)] = seconds(usual)
    except TrialError:  # told when the trials run
        return {"1": 0.0}
    return inline


def is_worth_probing(trials: Sequence[Trial], inline: Mapping[str, float]) -> bool:
    """Say whether a sweep takes so long that its executor matters."""
    return sum(trial.iterations for trial in trials) * inline["1"] > WORTH_PROBING


def best_threads(inline: Mapping[str, float]) -> tuple[int, float]:
    """Return the number of threads that is fastest, and its seconds; one thread wins within the noise."""
    best = min(inline.values())
    threads = min(int(n) for n, seconds in inline.items() if CLEARLY * seconds <= best)
    return threads, inline[str(threads)]
