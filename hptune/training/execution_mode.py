"""How a device trains a model fastest, by a short timed probe: measured, never assumed.

CPUs with matrix units or dot products for bf16 train convolutions about twice as fast in it;
on others it is slower, and for small layers everywhere. A GPU waits for the host to launch its
kernels where they are short, and replays a CUDA graph without waiting.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from itertools import islice

import torch

from hptune.results.records import Trial
from hptune.task import Task
from hptune.training.capture import WARM_UP
from hptune.training.device import Device, seeded
from hptune.training.evaluation import evaluate
from hptune.training.loop import Lanes
from hptune.training.speed import timed_steps
from hptune.training.trial_run import Job, TrialRun

WORTH = 0.005  # seconds: what an iteration takes at least for a CPU's precision to matter
CLEARLY = {"cpu": 0.8, "cuda": 0.95}  # of the time as it is: what another mode must not exceed
BATCH = 64  # examples in a batch of a CPU's probe at most; larger ones gain no less
STEPS = {"cpu": 5, "cuda": 20}  # timed, after some that are not
AGREE = {"cpu": 0.1, "cuda": 0.02}  # of the first loss: how far the losses of both may be apart

NAMES = {"cpu": ("fp32", "bf16"), "cuda": ("launched", "replayed")}  # the usual mode, another
Seconds = dict[str, float | None]
"""Of an iteration, by mode, and of a first one that is recorded; None: not measured, or of no use."""


def measure_modes(task: Task, trial: Trial, device: Device) -> tuple[Seconds, str]:
    """Time a few iterations in each mode that the device has, which are those of `NAMES`.

    The second counts only where the model trains in it, and its losses agree with those of the first.
    Of the trial the optimizer is used, and the batch size, on a CPU up to a limit.

    Returns:
        The seconds, and why the second mode cannot be used, if it cannot.
    """
    kind = device.torch_device.type
    usually, otherwise = NAMES[kind]
    seconds: Seconds = {usually: None, otherwise: None}
    if on_cpu := kind == "cpu":
        other = replace(device, dtype=torch.bfloat16)
        trial = trial.change(batch_size=min(trial.batch_size, BATCH))
    else:
        other = replace(device, graph_from_iteration=0)
    try:
        usual = _steps(task, trial, device)
    except Exception:  # told when the trials run
        return seconds, ""
    seconds[usually] = usual.seconds
    if on_cpu and usual.seconds < WORTH:
        return seconds, ""
    try:
        found = _steps(task, trial, other)
    except Exception as error:  # an operation that knows no bf16
        return seconds, type(error).__name__
    tolerance = AGREE[kind] * abs(usual.losses[0])
    pairs = zip(usual.losses, found.losses, strict=True)
    if found.not_captured:
        return seconds, found.not_captured
    if not all(abs(a - b) <= tolerance for a, b in pairs) or not math.isfinite(found.read):
        return seconds, "the model trains otherwise"  # NaN is never within the tolerance
    seconds[otherwise] = found.seconds
    if not on_cpu:
        seconds["recording"] = found.first
    return seconds, ""


def choose_mode(device: Device, seconds: Seconds) -> Device:
    """Return the device in the mode that the measurement speaks for."""
    kind = device.torch_device.type
    usual, other = (seconds.get(name) for name in NAMES[kind])
    if usual is None or other is None or other >= CLEARLY[kind] * usual:
        return replace(device, needs_probe=False)
    if kind == "cpu":
        return replace(device, dtype=torch.bfloat16, needs_probe=False)
    pays_from = math.ceil((seconds.get("recording") or 0.0) / (usual - other))
    return replace(device, graph_from_iteration=pays_from, needs_probe=False)


@dataclass(frozen=True)
class _Steps:
    """Some steps of a trial: seconds of the first and of another, the losses, the validation loss."""

    first: float
    seconds: float
    losses: list[float]
    read: float
    not_captured: str | None


def _steps(task: Task, trial: Trial, device: Device) -> _Steps:
    kind = device.torch_device.type
    untimed = 1 if kind == "cpu" else WARM_UP
    with seeded(trial.seed, device.torch_device):
        run = TrialRun(task, Job(trial), device)
        lanes = Lanes([run])
        times, losses = zip(*islice(timed_steps(lanes), untimed + STEPS[kind]), strict=True)
        # Metrics have to take what comes out, too. What it is, a batch norm has not settled yet.
        read = evaluate(task, run.model, run.validation_data, device, limit=BATCH).loss
    seconds = statistics.median(times[untimed:])
    return _Steps(times[0], seconds, torch.stack(losses).tolist(), read, lanes.not_captured)
