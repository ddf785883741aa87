"""Which batch sizes can be run: those that the model takes, and that fit into the memory.

Memory is tried by real steps in a fresh process, with a margin.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from hptune.config.load import dump
from hptune.errors import one_line
from hptune.procedure.session.context import Context
from hptune.procedure.session.problem import Problem
from hptune.training.check_batch import first_batch
from hptune.training.device import pinned, seeded
from hptune.training.freezing import train_mode
from hptune.training.lengths import micro_batch
from hptune.training.memory import available_memory, estimated_memory
from hptune.training.model import make_model

MARGIN = 0.85  # of the memory that is there; the rest is for what else runs, and fragments
SURE = 0.25  # an estimate below this share of it needs no proof
PROBE_SECONDS = 600


def sizes_that_fit(context: Context, sizes: Sequence[int]) -> list[int]:
    """Return the batch sizes that can be run, the present one always.

    A size far below the limit by estimate is not tried. The others are, in a fresh process: what
    memory is left there does not depend on what this one has done before.
    """
    _ = context.runner  # so that the device's mode is chosen
    problem, present = context.problem, context.batch_size(quiet=True)
    if problem.task.loop is not None:  # one that does not fit is a trial that fails
        return list(sizes)
    sizes = [size for size in sizes if size == present or _is_taken(context, size)]
    device, devices = problem.device, problem.device.ranks.size
    available = available_memory(device)
    if available is not None and device.torch_device.type == "cpu":
        available //= devices  # processes that share it
    larger = sorted(size for size in sizes if size > present)
    if available is None or not larger:
        return list(sizes)
    largest = larger[-1]
    task, seed = problem.task, problem.experiment.seed
    needed = estimated_memory(
        task, device, batch_size=largest // devices, at=present // devices, seed=seed
    )
    if needed < SURE * available:
        return list(sizes)
    if problem.given is not None:  # no other process could build it, so the estimate has to do
        sure = SURE * available * largest / needed
        return [size for size in sizes if size <= max(present, sure)]
    fitting = present
    for size in larger:
        if not _fits(problem, size, available):
            context.progress.message(
                f"  batch sizes from {size} on: left out, their steps do not fit into "
                f"{MARGIN:.0%} of the {available / 2**30:.3g} GiB that are there"
            )
            break
        fitting = size
    return [size for size in sizes if size <= fitting]


def _is_taken(context: Context, size: int) -> bool:
    """Say whether the model takes a batch size of which a device gets a single example.

    Batch normalization does not. What else a model refuses is told by its trial.
    """
    problem, seed = context.problem, context.experiment.seed
    place, together = problem.device.torch_device, problem.device.ranks.size
    # A model of the user's own may divide its batch among all GPUs by itself.
    devices = torch.cuda.device_count() if place.type == "cuda" and together == 1 else 1
    try:
        micro = micro_batch(size, context.experiment.training.accumulate, together)
        if min(map(len, torch.arange(micro).chunk(devices))) > 1:
            return True
        with seeded(seed, place), torch.no_grad(), problem.device.autocast():
            batch = first_batch(problem.task.train.to(place), micro, seed)
            problem.task.step(train_mode(make_model(problem.task, problem.device)), batch)
    except Exception as error:
        context.progress.message(
            f"  batch size {size}: left out, it cannot run ({one_line(error)})"
        )
        return False
    return True


def _fits(problem: Problem, size: int, available: int) -> bool:
    """Return whether a batch size fits in the mode that is chosen; tried once a run directory."""
    device = problem.device
    place = device.torch_device if device.ranks.size > 1 else pinned(device.torch_device)
    mode = (str(place), device.precision, device.graph)
    key = f"fits/{problem.task.fingerprint}/{device.key}/{mode[-1]}/{size}"
    known = problem.run_dir.timing(key)
    if isinstance(known, bool):
        return known
    with TemporaryDirectory() as folder:
        path = Path(folder) / "experiment.yaml"
        path.write_text(dump(problem.experiment), encoding="utf-8")
        words = [str(path), *mode, str(size), str(round(MARGIN * available))]
        command = [sys.executable, "-m", "hptune.procedure.session.probe", *words]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=PROBE_SECONDS,
                check=False,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},  # finds the same code
            )
            fits = done.returncode == 0 and int(done.stdout.split()[-1]) <= MARGIN * available
        except (subprocess.TimeoutExpired, ValueError, IndexError):
            fits = False
    problem.run_dir.set_timing(key, fits)
    return fits
