"""Whether a CPU trains a model faster in bf16, by a short timed probe.

CPUs with matrix units or dot products for bf16 train convolutions about twice as fast in it;
on others it is slower, and for small layers everywhere: so it is measured, never assumed.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import replace

import torch

from hptune.results.records import Trial
from hptune.task import Task
from hptune.training.device import Device, seeded
from hptune.training.evaluation import evaluate
from hptune.training.loop import TrialRun

WORTH = 0.005  # seconds: what an iteration takes at least for its precision to matter
CLEARLY = 0.8  # of the time in fp32: what bf16 must not exceed
BATCH = 64  # examples in a batch of the probe at most; larger ones gain no less
STEPS = 5  # timed, after one that is not
AGREE = 0.1  # of the first loss: how far the losses of both may be apart

Seconds = dict[str, float | None]
"""Of an iteration, by precision; None where it was not measured, or cannot be used."""


def measure_precisions(task: Task, trial: Trial, device: Device) -> Seconds:
    """Time a few iterations in fp32 and in bf16.

    bf16 counts only where the model trains in it and its losses agree with those of fp32.

    Args:
        task: What is trained.
        trial: Its batch size, up to a limit, and its optimizer are used.
        device: The CPU.
    """
    probe = trial.change(batch_size=min(trial.batch_size, BATCH))
    try:
        full, losses, _ = _steps(task, probe, device)
    except Exception:  # told when the trials run
        return {"fp32": None, "bf16": None}
    seconds: Seconds = {"fp32": full, "bf16": None}
    if full < WORTH:
        return seconds
    try:
        half, found, read = _steps(task, probe, replace(device, dtype=torch.bfloat16))
    except Exception:  # an operation that knows no bf16
        return seconds
    tolerance = AGREE * abs(losses[0])
    agree = all(abs(a - b) <= tolerance for a, b in zip(losses, found, strict=True))  # NaN never
    if agree and math.isfinite(read):
        seconds["bf16"] = half
    return seconds


def settled(device: Device, seconds: Seconds) -> Device:
    """Return the device with the precision that the measurement speaks for."""
    full, half = seconds.get("fp32"), seconds.get("bf16")
    faster = full is not None and half is not None and half < CLEARLY * full
    return replace(device, dtype=torch.bfloat16 if faster else torch.float32, undecided=False)


def _steps(task: Task, trial: Trial, device: Device) -> tuple[float, list[float], float]:
    """Take some steps; return the seconds of one, their losses, and the validation loss then."""
    times: list[float] = []
    losses: list[float] = []
    with seeded(trial.seed, device.torch_device):
        run = TrialRun(task, trial, device)
        batches = run.batches()
        for _ in range(STEPS + 1):
            began = time.perf_counter()
            losses.append(float(run.step(batches)))
            times.append(time.perf_counter() - began)
        # Metrics have to take what comes out, too. What it is, a batch norm has not settled yet.
        read = evaluate(task, run.model, run.validation_data, device, limit=BATCH).loss
    return statistics.median(times[1:]), losses, read
