"""Short measurements: what an iteration takes alone, by the number of CPU threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hptune.results.records import Trial
from hptune.task import Task
from hptune.training.device import Device, cpu_threads
from hptune.training.speed import measure_iteration

WORTH_PROBING = 0.3  # seconds: what a sweep takes at least for its executor to matter
# An iteration of less, in seconds, gains nothing from a second thread, and on a busy machine
# loses a hundredfold: its threads wait for each other many times in it.
SMALL = 0.005
CLEARLY = 0.95  # of the time: what the less simple choice must not exceed


def inline_seconds(
    measured: dict[str, Any], task: Task, trials: Sequence[Trial], device: Device
) -> dict[str, float]:
    """Return the seconds of an iteration by the number of threads, as far as that is worth knowing.

    Args:
        measured: What is known of the task's speed; receives what is found.
        task: What is trained.
        trials: The sweep.
        device: Where.
    """

    def seconds(threads: int) -> float:
        with cpu_threads(threads):
            return measure_iteration(task, trials[0], device)

    inline: dict[str, float] = measured.setdefault("inline", {})
    if "1" not in inline:
        inline["1"] = seconds(1)
    usual = torch.get_num_threads()
    gains = inline["1"] > SMALL and is_worth_probing(trials, inline)
    if gains and len(inline) == 1 and usual > 1:
        inline[str(usual)] = seconds(usual)
    return inline


def is_worth_probing(trials: Sequence[Trial], inline: Mapping[str, float]) -> bool:
    """Say whether a sweep takes so long that its executor matters."""
    return sum(trial.iterations for trial in trials) * inline["1"] > WORTH_PROBING


def best_threads(inline: Mapping[str, float]) -> tuple[int, float]:
    """Return the number of threads that is fastest, and its seconds; one thread wins within the noise."""
    best = min(inline.values())
    threads = min(int(n) for n, seconds in inline.items() if CLEARLY * seconds <= best)
    return threads, inline[str(threads)]
